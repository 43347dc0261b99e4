"""A soft best match: one item that is much alike counts more than many that are a little so."""

import numpy as np
import pytest

from cortex_rec.arrays import Ragged
from cortex_rec.retrieval.likeness import SOFTNESS, likeness

#: Two that are much alike, one at a right angle to both, and one between.
VECTORS = np.array([[1, 0], [0.96, 0.28], [0, 1], [0.6, 0.8]], np.float32)


def of(*histories: list[int]) -> Ragged:
    pointer = np.cumsum([0, *map(len, histories)])
    return Ragged(pointer, np.array([item for history in histories for item in history], np.int32))


def test_of_one_item_it_is_the_cosine() -> None:
    found = likeness(of([0], [3]), VECTORS, np.array([1, 2]))
    np.testing.assert_allclose(found, [[0.96, 0], [0.8, 0.8]], atol=1e-6)


def test_of_several_it_lies_between_the_mean_and_the_best_and_near_the_best() -> None:
    (found,) = likeness(of([0, 2]), VECTORS, np.array([1]))
    by_hand = 0.1 * np.log((np.exp(9.6) + np.exp(2.8)) / 2)
    assert found[0] == pytest.approx(by_hand, abs=1e-5)
    assert (0.96 + 0.28) / 2 < found[0] < 0.96
    assert found[0] > 0.96 - SOFTNESS


def test_a_weight_tells_how_much_an_item_counts() -> None:
    heavy, light = (likeness(of([0, 2]), VECTORS, np.array([1, 2]), np.array(weight)) for weight in ([9.0, 1.0], [1.0, 9.0]))
    assert heavy[0, 0] > light[0, 0]
    assert heavy[0, 1] < light[0, 1]
    nothing_else = likeness(of([0, 2]), VECTORS, np.array([1]), np.array([1.0, 0.0]))
    assert nothing_else[0, 0] == pytest.approx(0.96, abs=1e-6)


def test_who_bought_nothing_is_near_to_nothing() -> None:
    assert likeness(of([], [0]), VECTORS, np.array([0, 2])).tolist() == [[-1, -1], [1, 0]]
