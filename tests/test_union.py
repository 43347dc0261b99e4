"""The union keeps every retriever's items, scores and ranks in the right places."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from purchases import queries

from cortex_rec.arrays import F32, Ragged, pointers
from cortex_rec.config import Retrieval
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval import union
from cortex_rec.retrieval.union import REGISTRY, Union
from cortex_rec.testing.evidence import all_kinds_of_queries, small_evidence
from cortex_rec.testing.retriever_contract import assert_same_answers

CONFIG = Retrieval.model_validate({"graph": {"dimensions": 8, "steps": 2, "batch_size": 64, "negatives": 16}})
N_ITEMS = 12


@dataclass(frozen=True)
class Fixed:
    """A fake retriever: says the same lists whoever asks, and scores item `i` of query `q` as `base + 100 q + i`."""

    lists: list[list[int]]
    base: float = 0.0

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        own = [items[:n] for items in self.lists]
        return Ragged(pointers(np.array([len(items) for items in own])), np.array([item for items in own for item in items], np.int32))

    def score(self, queries: Queries, lists: Ragged) -> F32:
        return (self.base + 100 * lists.owner + lists.item).astype(np.float32)

    def widened(self, new: Newcomers) -> Self:
        raise NotImplementedError

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise NotImplementedError


def two_queries() -> Queries:
    return queries(day=1, n_items=N_ITEMS)


LISTS = st.lists(st.permutations(range(N_ITEMS)).flatmap(lambda items: st.integers(0, 6).map(lambda n: items[:n])), min_size=2, max_size=2)


@given(st.lists(LISTS, min_size=1, max_size=4), st.integers(1, 6))
def test_every_item_that_a_retriever_returns_is_a_candidate_with_that_retrievers_rank_and_score(
    answers: list[list[list[int]]], n: int
) -> None:
    fakes = {f"fake{i}": Fixed(lists, base=1_000.0 * i) for i, lists in enumerate(answers)}
    found = Union(fakes, dict.fromkeys(fakes, n)).retrieve(two_queries())
    for query in range(2):
        own = slice(found.lists.pointer[query], found.lists.pointer[query + 1])
        items = found.lists.item[own].tolist()
        assert items == sorted({item for lists in answers for item in lists[query][:n]})
        for column, lists in enumerate(answers):
            asked = lists[query][:n]
            ranks = [asked.index(item) + 1 if item in asked else np.nan for item in items]
            np.testing.assert_array_equal(found.ranks[own, column], np.array(ranks, np.float32))
            assert found.scores[own, column].tolist() == [1_000 * column + 100 * query + item for item in items]


def test_a_size_limits_its_own_retriever_only() -> None:
    both = Union({"few": Fixed([[5, 6], []]), "many": Fixed([[7, 8], [9]])}, {"few": 1, "many": 2}).retrieve(two_queries())
    assert [both.lists[i].tolist() for i in range(2)] == [[5, 7, 8], [9]]


def test_every_real_retrievers_best_item_is_a_candidate_of_rank_one() -> None:
    evidence = small_evidence()
    fitted, asked = union.fit(evidence, CONFIG), all_kinds_of_queries(small_evidence())
    found = fitted.retrieve(asked)
    for column, (name, retriever) in enumerate(fitted.retrievers.items()):
        alone = retriever.retrieve(asked, fitted.sizes[name])
        assert len(alone.item) > 0, name
        for query in np.flatnonzero(np.diff(alone.pointer)):
            own = slice(found.lists.pointer[query], found.lists.pointer[query + 1])
            best = found.lists.item[own][found.ranks[own, column] == 1]
            assert best.tolist() == [alone[query][0]]


def test_it_is_fitted_from_the_registry_in_its_order_with_the_sizes_of_the_configuration() -> None:
    fitted = union.fit(small_evidence(), CONFIG.model_copy(update={"popular": CONFIG.popular.model_copy(update={"n": 3})}))
    assert fitted.names == tuple(REGISTRY)
    assert fitted.sizes == {name: 3 if name == "popular" else getattr(CONFIG, name).n for name in REGISTRY}


def test_every_retriever_has_its_section_in_the_configuration() -> None:
    assert set(REGISTRY) == set(Retrieval.model_fields)


def test_a_later_fit_starts_from_the_retrievers_of_an_earlier_one() -> None:
    evidence = small_evidence()
    fresh = union.fit(evidence, CONFIG)
    later = union.fit(evidence, CONFIG, start=fresh)
    again = union.fit(evidence, CONFIG, start=fresh)
    assert later.retrievers["graph"].base_items.tobytes() == again.retrievers["graph"].base_items.tobytes()  # type: ignore[attr-defined]
    assert later.retrievers["graph"].base_items.tobytes() != fresh.retrievers["graph"].base_items.tobytes()  # type: ignore[attr-defined]


def test_saved_and_loaded_it_asks_the_same_retrievers_for_as_many_items(tmp_path: Path) -> None:
    fitted, asked = union.fit(small_evidence(), CONFIG), all_kinds_of_queries(small_evidence())
    fitted.save(tmp_path)
    again = Union.load(tmp_path)
    assert (again.names, again.sizes) == (fitted.names, fitted.sizes)
    for name in fitted.names:
        assert_same_answers(fitted.retrievers[name], again.retrievers[name], asked)
    one, other = fitted.retrieve(asked), again.retrieve(asked)
    assert (one.lists.item.tobytes(), one.scores.tobytes(), one.ranks.tobytes()) == (
        other.lists.item.tobytes(),
        other.scores.tobytes(),
        other.ranks.tobytes(),
    )
