"""What every ranker must hold to: inherit the class in a test module and say how yours is fitted."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from cortex_rec.arrays import Ragged, pointers
from cortex_rec.features.assemble import Matrix
from cortex_rec.features.kinds import KINDS
from cortex_rec.features.recent import LENGTH, Recent
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.ranking.training import TrainingLists

#: Columns of the small lists: what tells bought from not, something that does not, one mostly missing.
NAMES = ("taste", "noise", "seldom")
#: Size of the small lists' catalogue.
ITEMS = 40


class RankerContract:
    """Tests that a subclass inherits; pytest collects them when its name starts with `Test`.

    Examples
    --------
    >>> class TestMyRanker(RankerContract):
    ...     def fit(self, lists):
    ...         return my_ranker.fit(lists, MyConfig(), seed=7)
    """

    def fit(self, lists: Sequence[TrainingLists]) -> Ranker:
        """Fit the ranker under test, with a configuration small enough for a second."""
        raise NotImplementedError

    def test_it_puts_what_is_bought_before_what_is_not(self) -> None:
        ranker, unseen = self.fit([small_lists(0), small_lists(1)]), small_lists(2)
        scores, pointer = ranker.score(unseen.matrix), unseen.matrix.lists.pointer
        assert scores[unseen.bought].mean() > scores[~unseen.bought].mean()
        best = [scores[start:end].argmax() + start for start, end in pairwise(pointer)]
        assert unseen.bought[best].mean() > 2 * unseen.bought.mean()

    def test_every_row_has_a_finite_score_even_when_all_is_missing(self) -> None:
        matrix = small_lists(2).matrix
        matrix.values[::3] = np.nan
        scores = self.fit([small_lists(0)]).score(matrix)
        assert scores.dtype == np.float32
        assert scores.shape == (len(matrix.values),)
        assert np.isfinite(scores).all()

    def test_no_row_gets_no_score(self) -> None:
        nothing = small_lists(2).matrix.rows(slice(0, 0))
        assert self.fit([small_lists(0)]).score(nothing).shape == (0,)

    def test_a_row_scores_alone_as_in_the_matrix_bit_for_bit(self) -> None:
        ranker, matrix = self.fit([small_lists(0)]), small_lists(2).matrix
        together = ranker.score(matrix)
        alone = [ranker.score(matrix.rows(slice(row, row + 1))) for row in range(len(matrix.values))]
        assert np.concatenate(alone).tobytes() == together.tobytes()

    def test_columns_are_found_by_name_in_any_order_and_others_do_not_matter(self) -> None:
        ranker, matrix = self.fit([small_lists(0)]), small_lists(2).matrix
        more = np.concatenate([np.full((len(matrix.values), 1), 5, np.float32), matrix.values[:, ::-1]], axis=1)
        mixed = replace(matrix, names=("unknown", *matrix.names[::-1]), values=more)
        assert np.array_equal(ranker.score(mixed), ranker.score(matrix))

    def test_a_column_that_is_not_there_counts_as_missing(self) -> None:
        ranker, matrix = self.fit([small_lists(0)]), small_lists(2).matrix
        missing = matrix.values.copy()
        missing[:, 0] = np.nan
        without = replace(matrix, names=matrix.names[1:], values=matrix.values[:, 1:])
        assert np.array_equal(ranker.score(without), ranker.score(replace(matrix, values=missing)))

    def test_what_it_reads_is_among_what_it_was_given(self) -> None:
        assert set(self.fit([small_lists(0)]).features) <= set(NAMES)

    def test_what_its_features_add_and_the_rest_make_the_score(self) -> None:
        ranker, matrix = self.fit([small_lists(0)]), small_lists(2).matrix
        added = ranker.contributions(matrix)
        if added is None:
            return
        assert added.shape == (len(matrix.values), len(ranker.features) + 1)
        assert added.dtype == np.float32
        assert np.allclose(added.sum(axis=1), ranker.score(matrix), atol=1e-4)
        assert np.ptp(added[:, 0]) > 0

    def test_what_kinds_of_features_add_is_told_of_every_row(self) -> None:
        ranker, matrix = self.fit([small_lists(0)]), small_lists(2).matrix
        added = ranker.contributions_by_kind(matrix)
        if added is None:
            return
        assert added.shape == (len(matrix.values), len(KINDS))
        assert added.dtype == np.float32
        assert np.ptp(added, axis=0).max() > 0

    def test_saved_and_loaded_it_gives_the_same_bits(self, tmp_path: Path) -> None:
        ranker, matrix = self.fit([small_lists(0)]), small_lists(2).matrix
        ranker.save(tmp_path)
        again = type(ranker).load(tmp_path)
        assert again.features == ranker.features
        assert again.score(matrix).tobytes() == ranker.score(matrix).tobytes()

    def test_fitted_twice_it_is_the_same(self, tmp_path: Path) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        for folder in (first, second):
            folder.mkdir()
            self.fit([small_lists(0)]).save(folder)
        names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
        assert names
        for name in names:
            assert (first / name).read_bytes() == (second / name).read_bytes()


def small_lists(seed: int, lists: int = 60, length: int = 12) -> TrainingLists:
    """Made-up training lists in which `taste` is high where an item was bought; a fifth of each column is missing, most of `seldom`."""
    rng = np.random.default_rng(seed)
    n = lists * length
    values = rng.normal(size=(n, len(NAMES))).astype(np.float32)
    bought = rng.random(n) < 1 / (1 + np.exp(3 - 3 * values[:, 0]))
    values[rng.random((n, len(NAMES))) < np.array([0.2, 0.2, 0.8])] = np.nan
    item = np.concatenate([np.sort(rng.choice(ITEMS, length, replace=False)) for _ in range(lists)]).astype(np.int32)
    known = rng.integers(0, LENGTH, (lists, 1)) > np.arange(LENGTH)
    days = np.sort(rng.integers(1, 90, (lists, LENGTH)), axis=1)
    recent = Recent(
        np.where(known, rng.integers(0, ITEMS, (lists, LENGTH)), -1).astype(np.int32),
        np.where(known, days, np.nan).astype(np.float32),
        np.where(known, rng.integers(1, 9, (lists, LENGTH)), np.nan).astype(np.float32),
    )
    vectors = np.random.default_rng(99).normal(size=(ITEMS, 6)).astype(np.float32)
    matrix = Matrix(Ragged(pointers(np.full(lists, length)), item), NAMES, values, recent, vectors)
    return TrainingLists(matrix, bought, np.ones(n, np.float32))
