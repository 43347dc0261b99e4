"""What every retriever must hold to: inherit the class in a test module and say how yours is fitted."""

import pickletools
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import I32, Ragged
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval.protocol import Evidence, Retriever
from cortex_rec.testing.evidence import all_kinds_of_queries, places, small_evidence, subset


class RetrieverContract:
    """Tests that a subclass inherits; pytest collects them when its name starts with `Test`.

    Examples
    --------
    >>> class TestMyRetriever(RetrieverContract):
    ...     def fit(self, evidence):
    ...         return my_retriever.fit(evidence, MyConfig())
    """

    #: How many items are asked for: one, a few, and more than the catalogue holds.
    sizes = (1, 7, 1_000)
    #: FAISS and NumPy may round one inner product differently; scores may rise by this share of the largest.
    tolerance = 1e-5

    def fit(self, evidence: Evidence) -> Retriever:
        """Fit the retriever under test, with a configuration small enough for a second."""
        raise NotImplementedError

    def evidence(self) -> Evidence:
        """What to fit on; replace it where the retriever needs data that the small shop lacks."""
        return small_evidence()

    def test_it_finds_something_for_most_known_users(self) -> None:
        evidence = self.evidence()
        found = self.fit(evidence).retrieve(all_kinds_of_queries(evidence), 7)
        known = np.diff(found.pointer)[: evidence.histories.n_users]
        assert np.mean(known > 0) > 0.5

    def test_a_list_is_made_of_at_most_n_distinct_items_of_the_catalogue(self) -> None:
        evidence = self.evidence()
        queries, retriever = all_kinds_of_queries(evidence), self.fit(evidence)
        for n in self.sizes:
            found = retriever.retrieve(queries, n)
            assert len(found) == len(queries)
            assert found.item.dtype == np.int32
            for items in _lists(found):
                assert len(items) <= n
                assert len(np.unique(items)) == len(items)
                assert np.all((items >= 0) & (items < evidence.n_items))

    def test_a_list_is_best_first_by_the_retrievers_own_score(self) -> None:
        evidence = self.evidence()
        queries, retriever = all_kinds_of_queries(evidence), self.fit(evidence)
        for n in self.sizes:
            found = retriever.retrieve(queries, n)
            scores = retriever.score(queries, found)
            for i in range(len(queries)):
                own = scores[found.pointer[i] : found.pointer[i + 1]]
                assert np.all(np.diff(own) <= self.tolerance * np.abs(own).max(initial=0))

    def test_what_is_left_out_scores_no_better_than_what_is_returned(self) -> None:
        evidence = self.evidence()
        queries, retriever = all_kinds_of_queries(evidence), self.fit(evidence)
        few, all_found = retriever.retrieve(queries, 7), retriever.retrieve(queries, 1_000)
        scores = retriever.score(queries, all_found)
        for i, items in enumerate(_lists(few)):
            own = scores[all_found.pointer[i] : all_found.pointer[i + 1]]
            returned = np.isin(all_found[i], items)
            assert np.isin(items, all_found[i]).all()
            if returned.any() and not returned.all():
                assert own[~returned].max() <= own[returned].min() + self.tolerance * np.abs(own).max()

    def test_any_item_has_a_finite_score(self) -> None:
        evidence = self.evidence()
        queries, retriever = all_kinds_of_queries(evidence), self.fit(evidence)
        scores = retriever.score(queries, _everything(queries))
        assert scores.dtype == np.float32
        assert scores.shape == (len(queries) * evidence.n_items,)
        assert np.isfinite(scores).all()

    def test_no_query_at_all_gets_no_list(self) -> None:
        evidence = self.evidence()
        queries, retriever = subset(all_kinds_of_queries(evidence), []), self.fit(evidence)
        found = retriever.retrieve(queries, 7)
        assert len(found) == 0
        assert retriever.score(queries, found).shape == (0,)

    def test_a_batch_answers_as_its_single_queries_do_bit_for_bit(self) -> None:
        evidence = self.evidence()
        queries, retriever = all_kinds_of_queries(evidence), self.fit(evidence)
        found = retriever.retrieve(queries, 7)
        scores = retriever.score(queries, _everything(queries)).reshape(len(queries), -1)
        for i in range(len(queries)):
            alone = subset(queries, [i])
            assert np.array_equal(retriever.retrieve(alone, 7)[0], found[i])
            assert retriever.score(alone, _everything(alone)).tobytes() == scores[i].tobytes()

    def test_saved_and_loaded_it_answers_the_same_bits(self, tmp_path: Path) -> None:
        evidence = self.evidence()
        queries, retriever = all_kinds_of_queries(evidence), self.fit(evidence)
        retriever.save(tmp_path)
        assert_same_answers(retriever, type(retriever).load(tmp_path), queries)

    def test_items_that_join_later_have_a_score_and_leave_those_of_the_others_as_they_are(self) -> None:
        evidence = self.evidence()
        queries, retriever = all_kinds_of_queries(evidence), self.fit(evidence)
        n, table = evidence.n_items, pl.DataFrame({columns.ITEM: ["new", "newer"], columns.SUBCATEGORY: ["MILK", None]})
        content = places(2, evidence.content.vectors.shape[1], seed=1)
        widened = retriever.widened(Newcomers(evidence.catalogue.with_items(table), content))
        wider = Queries(queries.histories, queries.users, queries.as_of, queries.store, n + 2)
        scores = widened.score(wider, _everything(wider)).reshape(len(queries), n + 2)
        assert np.isfinite(scores).all()
        assert scores[:, :n].tobytes() == retriever.score(queries, _everything(queries)).tobytes()
        found = widened.retrieve(wider, 1_000)
        assert found.item.max(initial=0) < n + 2

    def test_it_is_saved_without_pickle(self, tmp_path: Path) -> None:
        self.fit(self.evidence()).save(tmp_path)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files
        assert not [path.name for path in files if _is_pickle(path.read_bytes())]
        assert not [path.name for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".joblib")]

    def test_fitted_twice_it_is_the_same(self, tmp_path: Path) -> None:
        evidence = self.evidence()
        first, second = tmp_path / "first", tmp_path / "second"
        for folder in (first, second):
            folder.mkdir()
            self.fit(evidence).save(folder)
        names = sorted(path.relative_to(first) for path in first.rglob("*"))
        assert names == sorted(path.relative_to(second) for path in second.rglob("*"))
        for name in names:
            assert (first / name).read_bytes() == (second / name).read_bytes()


def assert_same_answers(one: Retriever, other: Retriever, queries: Queries) -> None:
    """Fail unless both return the same items and score every item alike, bit for bit."""
    found, again = one.retrieve(queries, 7), other.retrieve(queries, 7)
    assert np.array_equal(found.pointer, again.pointer)
    assert np.array_equal(found.item, again.item)
    everything = _everything(queries)
    assert one.score(queries, everything).tobytes() == other.score(queries, everything).tobytes()


def _everything(queries: Queries) -> Ragged:
    """The whole catalogue for each query."""
    n = queries.n_items
    return Ragged(np.arange(len(queries) + 1, dtype=np.int64) * n, np.tile(np.arange(n, dtype=np.int32), len(queries)))


def _lists(lists: Ragged) -> list[I32]:
    return [lists[i] for i in range(len(lists))]


def _is_pickle(data: bytes) -> bool:
    """Whether the first steps of an unpickler can be read; a pickle of protocol 2 or later starts with a byte that others may too."""
    try:
        return data[:1] == b"\x80" and len(list(islice(pickletools.genops(data), 2))) == 2
    except ValueError:
        return False
