"""A soft best match: one item that is much alike counts more than many that are a little so."""

import numpy as np
import pytest

from cortex_rec.arrays import F32
from cortex_rec.retrieval.likeness import SOFTNESS, likeness

#: Two that are much alike, one at a right angle to both, and one between.
VECTORS = np.array([[1, 0], [0.96, 0.28], [0, 1], [0.6, 0.8]], np.float32)


def like(history: list[int], share: list[float], items: list[int]) -> F32:
    return likeness(VECTORS[history], np.array(share, np.float32), VECTORS[items])


def test_of_one_item_it_is_the_cosine() -> None:
    np.testing.assert_allclose(like([0], [1], [1, 2]), [0.96, 0], atol=1e-6)
    np.testing.assert_allclose(like([3], [1], [1, 2]), [0.8, 0.8], atol=1e-6)


def test_of_several_it_lies_between_the_mean_and_the_best_and_near_the_best() -> None:
    (found,) = like([0, 2], [0.5, 0.5], [1])
    by_hand = 1 + 0.1 * np.log((np.exp(-0.4) + np.exp(-7.2)) / 2)
    assert found == pytest.approx(by_hand, abs=1e-5)
    assert (0.96 + 0.28) / 2 < found < 0.96
    assert found > 0.96 - SOFTNESS


def test_a_share_tells_how_much_an_item_counts() -> None:
    heavy, light = like([0, 2], [0.9, 0.1], [1, 2]), like([0, 2], [0.1, 0.9], [1, 2])
    assert heavy[0] > light[0]
    assert heavy[1] < light[1]
    assert like([0, 2], [1, 0], [1])[0] == pytest.approx(0.96, abs=1e-6)
