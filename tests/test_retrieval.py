"""Every registered retriever keeps the contract, and finds what it says it finds."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from purchases import bought, histories, ids, moment

from cortex_rec.arrays import F32, Ragged, distinct, pointers, save_arrays, vars_of
from cortex_rec.catalogue import Catalogue, Promotions
from cortex_rec.config import Retrieval
from cortex_rec.embeddings.placed import Placed
from cortex_rec.errors import ArtifactError
from cortex_rec.features import statistics
from cortex_rec.histories import Past, from_baskets
from cortex_rec.queries import Queries, ask
from cortex_rec.retrieval import arrivals, graph, index, lightgcn, popular, vector
from cortex_rec.retrieval.added import added
from cortex_rec.retrieval.favourites import Favourites
from cortex_rec.retrieval.index import Index, search
from cortex_rec.retrieval.neighbours import Neighbours
from cortex_rec.retrieval.outlines import Outlines
from cortex_rec.retrieval.protocol import Evidence, Retriever, best
from cortex_rec.retrieval.repeats import Repeats
from cortex_rec.retrieval.union import REGISTRY
from cortex_rec.splits import distinct as distinct_items
from cortex_rec.testing.evidence import small_evidence, unit_vectors
from cortex_rec.testing.retriever_contract import RetrieverContract

CONFIG = Retrieval.model_validate({"graph": {"dimensions": 8, "steps": 2, "batch_size": 64, "negatives": 16}})


class TestEveryRegisteredRetriever(RetrieverContract):
    @pytest.fixture(autouse=True, params=list(REGISTRY))
    def _one_of_the_registry(self, request: pytest.FixtureRequest) -> None:
        self.name: str = request.param

    def fit(self, evidence: Evidence) -> Retriever:
        return REGISTRY[self.name].fit(evidence, getattr(CONFIG, self.name))


class TestARetrieverWhoseIndexHasCells(TestEveryRegisteredRetriever):
    @pytest.fixture(autouse=True, params=["vector"])
    def _one_of_the_registry(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name = request.param
        # All cells are searched, so that nothing is missed.
        for name, value in {"index.EXACT": 0, "index.SEARCHED": 1}.items():
            monkeypatch.setattr(f"cortex_rec.retrieval.{name}", value)


def evidence(*rows: dict[str, Any], day: float = 20, offers: tuple[tuple[str, str | None], ...] = ()) -> Evidence:
    """As of a day; items a and b are fruit, c and d are drinks."""
    of = histories(*rows)
    table = pl.DataFrame({"title": ["a", "b", "c", "d"], "subcategory": ["FRUIT", "FRUIT", "DRINKS", "DRINKS"]})
    catalogue = Catalogue.of(table)
    counts = statistics.fit(of, catalogue.codes["subcategory"], 4, 2, as_of=moment(day))
    times = {"start": moment(day - 1), "end": moment(day + 6)}
    week = pl.DataFrame([{"item_id": item, "store_id": store, "display": "1", "mailer": "A"} for item, store in offers], schema=OFFER)
    week = week.with_columns([pl.from_epoch(pl.lit(at), "s").alias(name) for name, at in times.items()])
    promotions = Promotions.of(week, ids("a", "b", "c", "d"), ids("s0", "s1"))
    content = Placed(np.eye(4, dtype=np.float32), np.zeros(4, np.float32))
    return Evidence(Past(of, moment(day)), counts, catalogue, promotions, content, moment(day), 7)


OFFER = dict.fromkeys(["item_id", "store_id", "display", "mailer"], pl.String)


def asked(known: Evidence) -> Queries:
    return ask(known.histories.whole(), np.array([0, 1], np.int32), known.as_of, known.n_items)


def found(name: str, known: Evidence, n: int = 4) -> list[list[int]]:
    lists = REGISTRY[name].fit(known, getattr(CONFIG, name)).retrieve(asked(known), n)
    return [lists[i].tolist() for i in range(2)]


def test_repeats_are_the_users_own_items_the_latest_and_most_often_first() -> None:
    known = evidence(bought("u0", "c", 1), bought("u0", "b", 15), bought("u0", "a", 15), bought("u0", "a", 19), bought("u1", "d", 3))
    assert found("repeats", known) == [[0, 1, 2], [3]]


def test_what_lay_in_one_basket_with_the_users_items_is_found_and_what_did_not_is_not() -> None:
    known = evidence(
        bought("u0", "a", 1), bought("u1", "a", 2, "x"), bought("u1", "b", 2, "x"), bought("u1", "c", 3), bought("u1", "d", 3, "y")
    )
    assert found("copurchase", known)[0] == [1]


def test_popular_items_are_those_of_the_users_store_before_those_of_others() -> None:
    known = evidence(
        *(bought("u0", item, day, store="s0") for item, day in (("a", 1), ("a", 2), ("b", 3))),
        *(bought("u1", item, day, store="s1") for item, day in (("c", 1), ("c", 2), ("c", 3), ("d", 1))),
    )
    assert found("popular", known) == [[0, 1, 2, 3], [2, 3, 0, 1]]


def test_popular_forgets_what_sold_more_than_four_weeks_ago() -> None:
    known = evidence(bought("u0", "a", 1, store="s0"), bought("u0", "b", 30, store="s0"), bought("u1", "b", 31, store="s0"), day=40)
    assert found("popular", known) == [[1], [1]]


def test_popular_asked_for_more_than_it_kept_of_a_store_is_still_best_first() -> None:
    of_store = [bought("u0", "abcd"[item], day, store="s0") for item, days in ((0, 5), (1, 4), (2, 3)) for day in range(days)]
    known = evidence(*of_store, *(bought("u1", item, day, store="s1") for item in "dd" for day in range(4)))
    retriever = popular.fit(known, CONFIG.popular.model_copy(update={"n": 2}))
    lists = retriever.retrieve(asked(known), 4)
    scores = retriever.score(asked(known), lists)
    assert np.all(np.diff(scores[: lists.pointer[1]]) <= 0)


def test_favourites_are_the_best_sellers_of_the_subcategories_that_the_user_buys() -> None:
    known = evidence(
        bought("u0", "a", 1), bought("u1", "c", 1), bought("u1", "d", 2), bought("u1", "d", 3), bought("u1", "b", 4), bought("u1", "b", 5)
    )
    assert found("favourites", known)[0] == [1, 0]


def test_promoted_are_those_of_the_favourites_that_are_on_offer_in_the_users_store_or_everywhere() -> None:
    rows = [bought("u0", item, 1, store="s0") for item in "abcd"] + [bought("u1", item, 1, store="s1") for item in "abcd"]
    assert found("promoted", evidence(*rows, offers=(("a", "s0"), ("b", "s1"), ("c", None)))) == [[0, 2], [1, 2]]


@pytest.mark.parametrize(
    ("offers", "expected"),
    [((("b", "s0"), ("a", "s0"), ("b", "s1")), [[0, 1], [1]]), ((("c", None), ("a", None)), [[0, 2], [0, 2]])],
    ids=["of stores alone", "everywhere alone"],
)
def test_offers_of_one_kind_alone_are_found_too(offers: tuple[tuple[str, str | None], ...], expected: list[list[int]]) -> None:
    rows = [bought("u0", item, 1, store="s0") for item in "abcd"] + [bought("u1", item, 1, store="s1") for item in "abcd"]
    assert found("promoted", evidence(*rows, offers=offers)) == expected


def test_nobody_is_offered_anything_when_nothing_is_on_offer() -> None:
    assert found("promoted", evidence(bought("u0", "a", 1, store="s0"))) == [[], []]


def test_vector_finds_what_nobody_ever_bought_by_its_words() -> None:
    assert found("vector", placed(evidence(bought("u0", "a", 1)), [1, 0], [0, 1], [-1, 0], [0.8, 0.6]))[0] == [0, 3, 1, 2]


def placed(known: Evidence, *vectors: Sequence[float], appeal: Sequence[float] = (0, 0, 0, 0)) -> Evidence:
    return replace(known, content=Placed(np.array(vectors, np.float32), np.array(appeal, np.float32)))


def test_arrivals_are_what_nobody_bought_the_nearest_to_one_item_of_the_history_before_the_nearest_to_their_mean() -> None:
    known = placed(evidence(bought("u0", "a", 1), bought("u0", "b", 1)), [1, 0], [0, 1], [0.8, 0.6], [0.98, 0.199])
    assert found("vector", known)[0][0] == 2
    assert found("arrivals", known)[0] == [3, 2]


def test_of_two_arrivals_that_are_alike_the_one_of_the_kind_that_is_bought_more_comes_first() -> None:
    vectors = [1, 0], [0, 1], [0.8, 0.6], [0.8, 0.6]
    assert found("arrivals", placed(evidence(bought("u0", "a", 1)), *vectors))[0] == [2, 3, 1]
    assert found("arrivals", placed(evidence(bought("u0", "a", 1)), *vectors, appeal=[0, 0, 0, 0.1]))[0] == [3, 2, 1]


def test_arrivals_count_the_heaviest_items_of_a_long_history() -> None:
    vectors = unit_vectors(40, 16, seed=3)
    few = arrivals.Arrivals(Placed(vectors, np.zeros(40, np.float32)), Index(vectors[:0], np.arange(0)), 30.0)
    weight = np.arange(40, 0, -1, dtype=np.float32)
    heaviest = few._likeness(np.arange(40, dtype=np.int32), weight, np.arange(40, dtype=np.int32))
    cut = few._likeness(np.arange(arrivals.HISTORY, dtype=np.int32), weight[: arrivals.HISTORY], np.arange(40, dtype=np.int32))
    assert heaviest.tobytes() == cut.tobytes()


def test_best_takes_positive_scores_only_and_breaks_ties_by_row() -> None:
    assert best(np.array([1.0, 0, 3, 3, -2]), 9).tolist() == [2, 3, 0]
    assert best(np.array([1.0, 0, 3, 3, -2]), 2, np.array([9, 8, 7, 6, 5], np.int32)).tolist() == [6, 7]


@given(st.lists(st.integers(-2, 3), max_size=40), st.integers(1, 40))
def test_best_of_equal_scores_is_the_same_whatever_n(scores: list[int], n: int) -> None:
    values = np.array(scores, np.float64)
    assert best(values, n).tolist() == best(values, 99).tolist()[:n]


@given(st.integers(0, 10**6), st.integers(1, 60))
def test_favourites_of_long_shelves_are_what_looking_at_every_item_finds(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    group, share = generator.integers(-1, 5, 300).astype(np.int32), generator.integers(0, 9, 300).astype(np.float32) / 8
    known = Favourites(group, share, np.flatnonzero((share > 0) & (group >= 0)).astype(np.int32), np.zeros(0, np.int64))
    history = from_baskets(Ragged.of([np.sort(generator.choice(300, 5, replace=False))]), 0)
    queries = Queries(history, np.zeros(1, np.int32), 1, np.full(1, -1, np.int32), 300)
    liked = known._liked(queries)[0]
    assert known.retrieve(queries, n)[0].tolist() == best(liked[group[known.items]] * share[known.items], n, known.items).tolist()


@given(st.lists(st.integers(-5, 5)))
def test_distinct_keys_are_those_that_numpy_finds(keys: list[int]) -> None:
    assert distinct(np.array(keys, np.int64)).tolist() == np.unique(np.array(keys, np.int64)).tolist()


@dataclass(frozen=True)
class Faulty(Repeats):
    """Breaks one promise."""

    fault: str = ""

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        right = super().retrieve(queries, n)
        if self.fault == "too many":
            return super().retrieve(queries, n + 1)
        if self.fault == "worst first":
            return Ragged(right.pointer, np.concatenate([right[i][::-1] for i in range(len(right))] + [right.item[:0]]))
        if self.fault == "worst items":
            own = super().retrieve(queries, 1_000)
            worst = [own[i][-n:] for i in range(len(own))]
            return Ragged(pointers(np.array([len(items) for items in worst])), np.concatenate([*worst, own.item[:0]]))
        if self.fault == "one list lost":
            return Ragged(right.pointer[:-1], right.item)
        if self.fault == "twice":
            return Ragged(right.pointer, np.repeat(right.item[right.pointer[:-1].clip(max=len(right.item) - 1)], np.diff(right.pointer)))
        if self.fault == "by position":
            return Ragged(right.pointer, (right.item + len(queries)) % queries.n_items)
        return right

    def score(self, queries: Queries, lists: Ragged) -> F32:
        right = super().score(queries, lists)
        return (
            np.where(right > 0, right, np.float32(np.nan)) if self.fault == "not a number" else right + np.float32(self.fault == "forgets")
        )

    def save(self, folder: Path) -> None:
        save_arrays(folder / "repeats.safetensors", {"half_life_days": np.array([self.half_life_days])})
        if self.fault == "by chance":
            (folder / "noise").write_bytes(np.random.default_rng().bytes(8))
        if self.fault == "pickle":
            (folder / "model.pkl").write_bytes(b"\x80\x04N.")


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("too many", "test_a_list_is_made_of_at_most_n_distinct_items_of_the_catalogue"),
        ("twice", "test_a_list_is_made_of_at_most_n_distinct_items_of_the_catalogue"),
        ("one list lost", "test_a_list_is_made_of_at_most_n_distinct_items_of_the_catalogue"),
        ("worst first", "test_a_list_is_best_first_by_the_retrievers_own_score"),
        ("worst items", "test_what_is_left_out_scores_no_better_than_what_is_returned"),
        ("not a number", "test_any_item_has_a_finite_score"),
        ("by position", "test_a_batch_answers_as_its_single_queries_do_bit_for_bit"),
        ("forgets", "test_saved_and_loaded_it_answers_the_same_bits"),
        ("pickle", "test_it_is_saved_without_pickle"),
        ("by chance", "test_fitted_twice_it_is_the_same"),
    ],
)
def test_the_contract_catches_a_broken_promise(fault: str, test: str, tmp_path: Path) -> None:
    class Contract(RetrieverContract):
        def fit(self, evidence: Evidence) -> Retriever:
            return Faulty(60.0, fault)

    method = getattr(Contract(), test)
    with pytest.raises((AssertionError, IndexError)):
        method(*[tmp_path] * ("tmp_path" in inspect.signature(method).parameters))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_faiss_answers_one_query_as_it_answers_many_however_many_threads_there_are(threads: int) -> None:
    twins = np.repeat(unit_vectors(300, 64, seed=1), 20, axis=0)
    vectors, questions = Index(twins, np.arange(len(twins))), unit_vectors(16, 64, seed=2)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        together = search(vectors, questions, 110)
        alone = [search(vectors, questions[i : i + 1], 110)[0].tolist() for i in range(16)]
        assert faiss.omp_get_max_threads() == threads
    finally:
        faiss.omp_set_num_threads(before)
    assert alone == [together[i].tolist() for i in range(16)]


@given(st.integers(0, 10**6), st.integers(1, 400), st.sampled_from([1, 8, 17, 64]), st.integers(1, 60), st.booleans(), st.integers(1, 40))
def test_a_search_finds_what_looking_at_every_vector_finds(seed: int, n: int, width: int, wanted: int, ties: bool, asked: int) -> None:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(n, width)).astype(np.float32) * generator.choice([0.01, 1, 30], (n, 1)).astype(np.float32)
    if ties:
        vectors = np.round(vectors)
    rows, queries = generator.permutation(10 * n)[:n].astype(np.int64), generator.normal(size=(asked, width)).astype(np.float32)
    queries[asked // 2 :: 7] = 0
    found = search(Index(vectors, rows), queries, wanted)
    for i, query in enumerate(queries):
        products = np.einsum("ij,ij->i", np.broadcast_to(query, vectors.shape), vectors)
        assert found[i].tolist() == (rows[np.lexsort((rows, -products))[:wanted]].tolist() if query.any() else [])


@given(st.integers(0, 10**6), st.integers(1, 300), st.sampled_from([1, 8, 17]), st.integers(1, 60), st.sampled_from([1, 2, 40]))
def test_equal_vectors_are_searched_once_and_found_as_if_they_were_not(seed: int, n: int, width: int, wanted: int, kinds: int) -> None:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(kinds, width)).astype(np.float32)[generator.integers(0, kinds, n)]
    # Of the other half some differ, and yet have the same product.
    vectors[n // 2 :] = generator.integers(-1, 2, (n - n // 2, width))
    rows, questions = np.sort(generator.permutation(10 * n)[:n]).astype(np.int64), unit_vectors(9, width, seed=seed)
    questions[0] = 1
    for each in (Index.over(vectors, rows), Index.over(vectors[: n // 3], rows[: n // 3]).with_others(vectors[n // 3 :], rows[n // 3 :])):
        assert search(each, questions, wanted).item.tolist() == search(Index(vectors, rows), questions, wanted).item.tolist()
    assert len(Index.over(vectors, rows).vectors) == len(np.unique(vectors.view(np.uint32), axis=0))


@given(st.integers(0, 10**6), st.sampled_from([1, 8, 17, 64]))
def test_no_product_is_larger_than_the_outlines_say(seed: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(50, width)).astype(np.float32) * generator.choice([0.01, 1, 30], (50, 1)).astype(np.float32)
    outlines, query = Outlines.of(vectors), generator.normal(size=width).astype(np.float32)
    _, most = outlines.near(query, 50)
    ordered, rounding = vectors[outlines.order], outlines.slack * np.linalg.norm(query)
    assert np.all(ordered.astype(np.float64) @ query <= most + rounding)
    assert np.all(index.inner_products(np.broadcast_to(query, vectors.shape), ordered) <= most + rounding)
    assert np.all(np.diff(outlines.length) <= 0)
    assert np.all(np.abs(ordered.astype(np.float64) @ query) <= outlines.length * np.linalg.norm(query) + rounding)


def test_the_outlines_of_vectors_that_lie_along_few_axes_leave_few_to_be_multiplied_out() -> None:
    vectors = np.random.default_rng(1).normal(size=(2_000, 64)).astype(np.float32) * np.float32(0.8) ** np.arange(64, dtype=np.float32)
    outlines = Outlines.of(vectors)
    nearly, most = outlines.near(vectors[0], 2_000)
    products = vectors[outlines.order] @ vectors[0]
    assert np.count_nonzero(most >= np.sort(products)[-20]) < 40
    assert np.max(np.abs(nearly - products)) < 0.1 * products.max()


@given(st.integers(0, 10**6), st.sampled_from([1, 63, 64, 65, 500]), st.integers(0, 30), st.integers(1, 80))
def test_rows_add_up_in_their_order_to_the_bits_of_one_column_after_the_other(seed: int, width: int, n: int, longest: int) -> None:
    generator = np.random.default_rng(seed)
    pointer = pointers(generator.integers(0, longest + 1, 40))
    column = generator.integers(-1, width, pointer[-1]).astype(np.int32)
    value = np.where(column < 0, 0, generator.random(pointer[-1])).astype(np.float32)
    for _ in range(3):
        rows, weight = generator.integers(0, 40, n), generator.random(n)
        expected, met = [0.0] * width, set()
        for row, factor in zip(rows.tolist(), weight.tolist(), strict=True):
            for at in range(pointer[row], pointer[row + 1]):
                if column[at] >= 0:
                    expected[column[at]] += factor * float(value[at])
                    met.add(int(column[at]))
        columns, sums = added(width, pointer[rows], pointer[rows + 1], weight, column, value)
        assert columns.tolist() == sorted(met)
        assert sums.tolist() == [expected[item] for item in sorted(met)]


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> Index:
    """4,000 vectors around 100 places, in cells."""
    monkeypatch.setattr("cortex_rec.retrieval.index.EXACT", 3_999)
    places = np.repeat(unit_vectors(100, 32, seed=1), 40, axis=0)
    vectors = places + np.random.default_rng(2).normal(0, 0.08, places.shape).astype(np.float32)
    return Index.over(vectors, np.arange(0, 8_000, 2))


def test_by_cells_nearly_the_same_is_found_as_by_looking_at_each_best_first(crowded: Index) -> None:
    questions = unit_vectors(50, 32, seed=3)
    by_cells, exact = search(crowded, questions, 20), search(replace(crowded, cells=None), questions, 20)
    shared = [len(np.intersect1d(by_cells[i], exact[i])) / 20 for i in range(50)]
    assert crowded.cells is not None
    assert 0.3 < np.mean(shared) < 1, "a search of a 32nd of the cells is neither useless nor exact"
    for i in range(50):
        products = crowded.vectors[by_cells[i] // 2] @ questions[i]
        assert np.all(np.diff(products) <= 1e-5)
    assert [search(crowded, questions[i : i + 1], 20)[0].tolist() for i in range(50)] == [by_cells[i].tolist() for i in range(50)]
    crowded.cells.nprobe = crowded.cells.nlist
    assert [search(crowded, questions, 20)[i].tolist() for i in range(50)] == [exact[i].tolist() for i in range(50)]


def test_cells_are_stored_and_what_comes_later_joins_them(crowded: Index, tmp_path: Path) -> None:
    questions = unit_vectors(5, 32, seed=3)
    crowded.save(tmp_path)
    again = Index.load(tmp_path, crowded.vectors, crowded.rows)
    assert again.cells is not None
    assert search(again, questions, 20).item.tobytes() == search(crowded, questions, 20).item.tobytes()
    more = again.with_others(questions, np.arange(8_001, 8_006))
    assert search(more, questions, 1).item.tolist() == [8_001, 8_002, 8_003, 8_004, 8_005]
    assert search(again, questions, 1).item.max() < 8_000, "the index that was joined is another one"
    twice = Index.over(np.repeat(crowded.vectors, 2, axis=0), np.arange(8_000))
    assert twice.cells is not None
    assert twice.cells.ntotal == 4_000
    twice.save(tmp_path)
    pairs = search(Index.load(tmp_path, np.repeat(crowded.vectors, 2, axis=0), np.arange(8_000)), questions, 40)
    assert pairs.item.tolist() == np.add.outer(search(crowded, questions, 20).item, [0, 1]).ravel().tolist()
    with pytest.raises(ArtifactError, match=r"index.faiss: holds 4000 vectors of 32 numbers, expected \(3, 32\)"):
        Index.load(tmp_path, crowded.vectors[:3], crowded.rows[:3])
    (tmp_path / "index.faiss").write_bytes(b"no index")
    with pytest.raises(ArtifactError, match=r"index.faiss: FAISS cannot read this index"):
        Index.load(tmp_path, crowded.vectors, crowded.rows)


def test_a_release_keeps_the_cells_that_were_learned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cortex_rec.retrieval.index.EXACT", 63)
    content, unsold = Placed(unit_vectors(80, 16, seed=1), np.zeros(80, np.float32)), np.arange(8, 72)
    searched = np.column_stack([content.vectors[unsold], np.zeros(64, np.float32)])
    for each in (
        vector.Vector(content.vectors, Index.over(content.vectors, np.arange(80)), 30.0),
        arrivals.Arrivals(content, Index.over(searched, unsold), 30.0),
    ):
        folder = tmp_path / type(each).__name__
        folder.mkdir()
        each.save(folder)
        loaded = type(each).load(folder)
        assert each.index.cells is not None
        assert loaded.index.cells is not None
        assert loaded.index.cells.ntotal == len(each.index.rows)
        assert loaded.index.rows.tolist() == each.index.rows.tolist()


def test_the_graphs_items_have_no_cells_however_many_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortex_rec.retrieval.index.EXACT", 0)
    assert graph.fit(small_evidence(), CONFIG.graph).index.cells is None


def test_where_lengths_differ_few_vectors_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(4)
    vectors = (generator.normal(size=(5_000, 24)) * generator.lognormal(0, 1.5, (5_000, 1))).astype(np.float32)
    looked_at: list[int] = []

    def near(self: Outlines, query: F32, n: int) -> tuple[F32, F32]:
        looked_at.append(n)
        return original(self, query, n)

    original = Outlines.near
    monkeypatch.setattr(Outlines, "near", near)
    queries = generator.normal(size=(50, 24)).astype(np.float32)
    found = search(Index(vectors, np.arange(5_000)), queries, 10)
    products = [index.inner_products(np.broadcast_to(query, vectors.shape), vectors) for query in queries]
    assert [found[i].tolist() for i in range(50)] == [np.argsort(-each)[:10].tolist() for each in products]
    assert np.median(looked_at) < 500
    # Of like lengths all are looked at.
    looked_at.clear()
    search(Index(unit_vectors(5_000, 24, seed=1), np.arange(5_000)), queries[:1], 10)
    assert looked_at == [320, 5_000]


def test_a_thirty_second_of_the_cells_is_searched_and_few_vectors_have_none() -> None:
    assert Index.over(np.ones((3, 4), np.float32), np.arange(3)).cells is None
    for n, cells in {200_001: 1_024, 10_000_000: 8_192}.items():
        searcher = index.in_cells(n, 64)
        assert (searcher.nlist, searcher.nprobe) == (cells, cells // 32)


def test_a_neighbour_with_the_same_taste_lends_what_it_bought_lately_the_latest_first() -> None:
    known = evidence(bought("u0", "a", 1), bought("u1", "a", 1), bought("u1", "d", 2), bought("u1", "c", 19))
    retriever = REGISTRY["neighbours"].fit(known, CONFIG.neighbours)
    found = retriever.retrieve(asked(known), 4)
    assert [found[0].tolist(), found[1].tolist()] == [[2, 3, 0], [0]]
    # One neighbour of each: its weight is one, and what it lends is decayed by a half every 7 days.
    assert retriever.score(asked(known), found).tolist() == pytest.approx([2 ** (-1 / 7), 2 ** (-18 / 7), 2 ** (-19 / 7), 2 ** (-19 / 7)])


def test_households_without_a_common_item_are_no_neighbours() -> None:
    known = evidence(bought("u0", "a", 18), bought("u1", "c", 19))
    found = REGISTRY["neighbours"].fit(known, CONFIG.neighbours).retrieve(asked(known), 4)
    assert len(found.item) == 0


def test_of_many_who_bought_lately_so_many_are_drawn_as_neighbours_and_the_others_lend_nothing() -> None:
    known = small_evidence()
    everybody, few = (REGISTRY["neighbours"].fit(known, CONFIG.neighbours.model_copy(update={"users": n})) for n in (60, 7))
    assert isinstance(everybody, Neighbours)
    assert isinstance(few, Neighbours)
    assert len(np.unique(everybody.holder)) > 7
    lending = np.unique(few.holder)
    assert len(lending) == 7
    assert np.flatnonzero(np.diff(few.recent_pointer)).tolist() == lending.tolist()
    for user in lending:
        mine, theirs = (each.recent_item[each.recent_pointer[user] : each.recent_pointer[user + 1]] for each in (few, everybody))
        assert mine.tolist() == theirs.tolist()
    kept = np.isin(everybody.holder, lending)
    assert few.holder.tolist() == everybody.holder[kept].tolist()
    assert few.taste.tolist() == everybody.taste[kept].tolist()
    owner = np.repeat(np.arange(known.n_items), np.diff(everybody.taste_pointer))[kept]
    assert np.diff(few.taste_pointer).tolist() == np.bincount(owner, minlength=known.n_items).tolist()


def test_the_graph_places_what_nobody_bought_where_items_that_say_the_same_are() -> None:
    known = small_evidence()
    unsold = np.flatnonzero(known.statistics.unsold)
    # Content that tells the place in the graph, and two new items that say what items 3 and 4 say.
    content = graph.fit(known, CONFIG.graph).items
    content[unsold] = content[[3, 4]]
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    fitted = graph.fit(replace(known, content=Placed(content, known.content.appeal)), CONFIG.graph)
    place = fitted.items / np.linalg.norm(fitted.items, axis=1, keepdims=True)
    assert np.all(np.sum(place[unsold] * place[[3, 4]], axis=1) > 0.9)
    assert not np.isin(unsold, fitted.index.rows).any()
    start = fitted.base_items[unsold] / np.linalg.norm(fitted.base_items[unsold], axis=1, keepdims=True)
    old = fitted.base_items[[3, 4]] / np.linalg.norm(fitted.base_items[[3, 4]], axis=1, keepdims=True)
    assert np.all(np.sum(start * old, axis=1) > 0.7)


def test_a_shop_with_few_users_is_learned_from_all_of_them() -> None:
    known = small_evidence()
    n_buyers = int(known.histories.buyers.sum())
    everybody, just = (graph.fit(known, CONFIG.graph.model_copy(update={"users": n})) for n in (25_000, n_buyers))
    for name, values in vars_of(everybody).items():
        if name != "index":
            assert values.tobytes() == getattr(just, name).tobytes(), name


def test_of_many_users_some_are_learned_from_as_if_there_were_no_others_and_the_others_follow_from_their_items() -> None:
    known = small_evidence()
    fitted = graph.fit(known, CONFIG.graph.model_copy(update={"users": 12}))
    learners = np.flatnonzero(fitted.base_users.any(axis=1)).astype(np.int32)
    assert len(learners) == 12
    pairs = distinct_items(known.histories.take(learners))
    learned = np.unique(pairs.item)
    alone = lightgcn.train(Ragged(pairs.pointer, np.searchsorted(learned, pairs.item)), len(learned), CONFIG.graph, seed=known.seed)
    np.testing.assert_array_equal(fitted.users[learners], alone.users)
    np.testing.assert_array_equal(fitted.items[learned], alone.items)
    np.testing.assert_array_equal(fitted.base_items[learned], alone.base_items)
    buyers = np.bincount(pairs.item, minlength=known.n_items)
    everybodys = distinct_items(known.histories)

    def propagated(user: int) -> F32:
        own = np.intersect1d(everybodys[user], learned)
        return np.sum(fitted.items[own] / np.sqrt(buyers[own])[:, None], axis=0) / np.sqrt(len(everybodys[user]))

    # The factor is that of least squares over the learners.
    made = np.stack([propagated(user) for user in learners])
    factor = np.sum(made * alone.users) / np.sum(made * made)
    others = np.setdiff1d(np.flatnonzero(known.histories.buyers), learners)
    assert len(others) > 12
    np.testing.assert_allclose(fitted.users[others], [factor * propagated(user) for user in others], rtol=1e-4, atol=1e-6)


def test_what_only_others_bought_is_placed_by_its_content_and_can_be_found() -> None:
    known = small_evidence()
    fitted = graph.fit(known, CONFIG.graph.model_copy(update={"users": 2}))
    learners = np.flatnonzero(fitted.base_users.any(axis=1)).astype(np.int32)
    theirs = np.unique(known.histories.take(learners).item)
    sold = np.flatnonzero(~known.statistics.unsold)
    assert fitted.index.rows.tolist() == sold.tolist()
    only_others = np.setdiff1d(sold, theirs)
    assert len(only_others) > 0
    np.testing.assert_allclose(fitted.items[only_others], known.content.vectors[only_others] @ fitted.placing, rtol=1e-4, atol=1e-6)
    assert np.all(fitted.items[only_others].any(axis=1))


def test_users_who_were_learned_from_stay_when_the_graph_goes_on() -> None:
    known = small_evidence()

    def learners(fitted: graph.Graph) -> set[int]:
        return set(np.flatnonzero(fitted.base_users.any(axis=1)).tolist())

    first = graph.fit(known, CONFIG.graph.model_copy(update={"users": 10}))
    # By another seed others would be drawn.
    later = replace(known, seed=known.seed + 1)
    assert learners(graph.fit(later, CONFIG.graph.model_copy(update={"users": 10}))) != learners(first)
    fewer, same, more = (graph.fit(later, CONFIG.graph.model_copy(update={"users": n}), start=first) for n in (6, 10, 15))
    assert learners(same) == learners(first)
    assert learners(fewer) < learners(first) < learners(more)
    assert [len(learners(each)) for each in (fewer, more)] == [6, 15]
