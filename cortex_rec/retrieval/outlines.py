"""What a few numbers a vector say of its inner products: an exact search need not multiply out most of them, nor look at the short ones."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from cortex_rec.arrays import F32, I64

#: The axes on which every vector is looked at first.
AXES: Final = 16


@dataclass(frozen=True)
class Outlines:
    """A few numbers a vector that say what its product with another is nearly, and can be at most.

    Parameters
    ----------
    order
        (n,) int64, the vectors by their length, the longest first, equal ones as they lie: what follows is in this order.
    length
        (n,) float32.
    axes
        (d, d) float32, the principal axes of the vectors as columns, those that tell most first.
    places
        (n, at most AXES) float32, column by column: the vectors on the first axes.
    left
        (n,) float32, the length of what the first axes leave of each.
    slack
        What rounding may add or take, for a query of length one.

    Source
    ------
    Li, Chan, Yiu, Mamoulis 2017, FEXIPRO: fast and exact inner product retrieval in recommender systems (SIGMOD): singular vectors put
    the most of a product into its first terms, and Cauchy and Schwarz bound the others; vectors are looked at by decreasing length until
    none that is left can be among the nearest.
    """

    order: I64
    length: F32
    axes: F32
    places: F32
    left: F32
    slack: float

    @classmethod
    def of(cls, vectors: F32) -> Self:
        _, axes = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
        axes = axes[:, ::-1].astype(np.float32)
        length = np.linalg.norm(vectors, axis=1)
        order = np.argsort(-length, kind="stable")
        turned = (vectors @ axes)[order]
        slack = np.finfo(np.float32).eps * (2 * len(axes) + AXES) * length.max(initial=0)
        left = np.linalg.norm(turned[:, AXES:], axis=1)
        return cls(order, length[order], axes, np.asfortranarray(turned[:, :AXES]), left, float(slack))

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in (self.order, self.length, self.axes, self.places, self.left))

    def near(self, query: F32, n: int) -> tuple[F32, F32]:
        """Of the `n` longest what the product with a query (d,) nearly is, and what it can be at most but for rounding: (n,) float32."""
        turned = query @ self.axes
        nearly = self.places[:n] @ turned[:AXES]
        most = self.left[:n] * np.sqrt(turned[AXES:] @ turned[AXES:])
        most += nearly
        return nearly, most

    def as_long_as(self, length: float) -> int:
        """How many vectors are no shorter."""
        return len(self.length) - int(np.searchsorted(self.length[::-1], np.float32(length), side="left"))
