"""What every ranker must hold to: inherit the class in a test module and say how yours is fitted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cortex_rec.arrays import F32, Ragged, pointers
from cortex_rec.features.assemble import Matrix
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.ranking.training import TrainingLists

#: Columns of the small lists: what tells bought from not, something that does not, one mostly missing.
NAMES = ("taste", "noise", "seldom")


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
        scores = ranker.score(_matrix(unseen))
        assert scores[unseen.bought].mean() > scores[~unseen.bought].mean()
        best = [scores[start:end].argmax() + start for start, end in zip(unseen.pointer[:-1], unseen.pointer[1:], strict=True)]
        assert unseen.bought[best].mean() > 2 * unseen.bought.mean()

    def test_every_row_has_a_finite_score_even_when_all_is_missing(self) -> None:
        matrix = _matrix(small_lists(2))
        matrix.values[::3] = np.nan
        scores = self.fit([small_lists(0)]).score(matrix)
        assert scores.dtype == np.float32
        assert scores.shape == (len(matrix.values),)
        assert np.isfinite(scores).all()

    def test_no_row_gets_no_score(self) -> None:
        nothing = Matrix(Ragged(np.zeros(2, np.int64), np.zeros(0, np.int32)), NAMES, np.zeros((0, len(NAMES)), np.float32))
        assert self.fit([small_lists(0)]).score(nothing).shape == (0,)

    def test_a_row_scores_alone_as_in_the_matrix_bit_for_bit(self) -> None:
        ranker, matrix = self.fit([small_lists(0)]), _matrix(small_lists(2))
        together = ranker.score(matrix)
        alone = [ranker.score(_of(matrix.names, matrix.values[row : row + 1])) for row in range(len(matrix.values))]
        assert np.concatenate(alone).tobytes() == together.tobytes()

    def test_columns_are_found_by_name_in_any_order_and_others_do_not_matter(self) -> None:
        ranker, matrix = self.fit([small_lists(0)]), _matrix(small_lists(2))
        more = np.concatenate([np.full((len(matrix.values), 1), 5, np.float32), matrix.values[:, ::-1]], axis=1)
        assert np.array_equal(ranker.score(_of(("unknown", *matrix.names[::-1]), more)), ranker.score(matrix))

    def test_a_column_that_is_not_there_counts_as_missing(self) -> None:
        ranker, matrix = self.fit([small_lists(0)]), _matrix(small_lists(2))
        missing = matrix.values.copy()
        missing[:, 0] = np.nan
        assert np.array_equal(ranker.score(_of(matrix.names[1:], matrix.values[:, 1:])), ranker.score(_of(matrix.names, missing)))

    def test_what_it_reads_is_among_what_it_was_given(self) -> None:
        assert set(self.fit([small_lists(0)]).features) <= set(NAMES)

    def test_saved_and_loaded_it_gives_the_same_bits(self, tmp_path: Path) -> None:
        ranker, matrix = self.fit([small_lists(0)]), _matrix(small_lists(2))
        ranker.save(tmp_path)
        again = type(ranker).load(tmp_path)
        assert again.features == ranker.features
        assert again.score(matrix).tobytes() == ranker.score(matrix).tobytes()

    def test_fitted_twice_it_is_the_same(self, tmp_path: Path) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        for folder in (first, second):
            folder.mkdir()
            self.fit([small_lists(0)]).save(folder)
        names = sorted(path.relative_to(first) for path in first.rglob("*"))
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
    return TrainingLists(NAMES, values, bought, pointers(np.full(lists, length)))


def _matrix(lists: TrainingLists) -> Matrix:
    return _of(lists.names, lists.values.copy())


def _of(names: tuple[str, ...], values: F32) -> Matrix:
    """A matrix of one list."""
    n = len(values)
    return Matrix(Ragged(np.array([0, n]), np.arange(n, dtype=np.int32)), names, values)
