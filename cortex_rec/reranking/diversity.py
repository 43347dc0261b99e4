"""Maximal marginal relevance: the next item is the one that is good and unlike those above it.

Source
------
Carbonell and Goldstein 1998, The use of MMR, diversity-based reranking for reordering documents and producing summaries.
"""

from typing import Final

import numpy as np

from cortex_rec.arrays import F32, F64

#: Only so many of the best items are weighed against each other; what comes after them keeps its order.
REACH: Final = 300


class Marginal:
    """What each of the best items still adds to those that are placed.

    Parameters
    ----------
    appeal
        (m,) float64, falling; the ends of its first `REACH` count as 1 and 0.
    vectors
        (min(m, REACH), d) float32 unit vectors of the same items.
    diversity
        From 0 (appeal alone) to 1 (unlikeness alone).
    """

    def __init__(self, appeal: F64, vectors: F32, diversity: float) -> None:
        head = appeal[: len(vectors)]
        width = head[0] - head[-1] if len(head) else 0.0
        self._relevance = (head - head[-1]) / width if width > 0 else np.zeros(len(head))
        self._vectors, self._diversity = vectors, diversity
        # An item of which the opposite is placed is no better than one that has nothing to do with it.
        self._nearest = np.zeros(len(head))

    @property
    def gain(self) -> F64:
        """(min(m, REACH),) float64."""
        gain: F64 = (1 - self._diversity) * self._relevance - self._diversity * self._nearest
        return gain

    def place(self, at: int) -> None:
        """Item `at` has got a place."""
        if at < len(self._vectors):
            self._nearest = np.maximum(self._nearest, self._vectors @ self._vectors[at])
