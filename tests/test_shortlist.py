"""The shortlist keeps the contract of rankers, and takes exactly the best of each list."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_rec.arrays import Ragged
from cortex_rec.errors import EmptyTrainingSetError
from cortex_rec.ranking import shortlist
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.ranking.training import TrainingLists
from cortex_rec.testing.ranker_contract import RankerContract, small_lists


class TestShortlist(RankerContract):
    def fit(self, lists: Sequence[TrainingLists]) -> Ranker:
        return shortlist.fit(lists, seed=7, threads=1, min_rows_in_leaf=20)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=8), max_size=4), st.integers(0, 9))
def test_the_best_of_each_list_are_at_most_n_and_none_left_out_is_better(scores: list[list[float]], n: int) -> None:
    lists = Ragged.of([np.arange(len(own)) for own in scores])
    flat = np.array([score for own in scores for score in own], np.float32)
    kept = lists.leading(flat, n)
    expected = [
        int(lists.pointer[i]) + at
        for i, own in enumerate(scores)
        for at in sorted(sorted(range(len(own)), key=lambda at: (-own[at], at))[:n])
    ]
    assert kept.tolist() == expected


def test_each_list_counts_the_same_however_much_of_it_was_bought() -> None:
    one = small_lists(0)
    few = replace(one, bought=one.bought & (np.arange(len(one.bought)) % 3 == 0))
    for lists in (one, few):
        sums = np.bincount(lists.matrix.lists.owner[lists.bought], shortlist._weight(lists)[lists.bought])
        assert np.allclose(sums[sums > 0], 1)


def test_where_nothing_was_bought_nothing_can_be_learned() -> None:
    lists = small_lists(0)
    with pytest.raises(EmptyTrainingSetError, match="none of the candidates"):
        shortlist.fit([replace(lists, bought=np.zeros_like(lists.bought))], seed=7, threads=1)
