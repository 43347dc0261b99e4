"""What a few numbers a vector say of its inner products: an exact search need not multiply out most of them."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from cortex_rec.arrays import F32

#: The axes on which every vector is looked at first.
AXES: Final = 16


@dataclass(frozen=True)
class Outlines:
    """A few numbers a vector that say what its product with another is nearly, and can be at most.

    Parameters
    ----------
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
    the most of a product into its first terms, and Cauchy and Schwarz bound the others.
    """

    axes: F32
    places: F32
    left: F32
    slack: float

    @classmethod
    def of(cls, vectors: F32) -> Self:
        _, axes = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
        axes = axes[:, ::-1].astype(np.float32)
        turned = vectors @ axes
        longest = np.linalg.norm(vectors, axis=1).max(initial=0)
        slack = np.finfo(np.float32).eps * (2 * len(axes) + AXES) * longest
        return cls(axes, np.asfortranarray(turned[:, :AXES]), np.linalg.norm(turned[:, AXES:], axis=1), float(slack))

    @property
    def nbytes(self) -> int:
        return self.axes.nbytes + self.places.nbytes + self.left.nbytes

    def near(self, query: F32) -> tuple[F32, F32]:
        """Of each vector what its product with a query (d,) nearly is, and what it can be at most but for rounding: (n,) float32."""
        turned = query @ self.axes
        nearly = self.places @ turned[:AXES]
        most = self.left * np.sqrt(turned[AXES:] @ turned[AXES:])
        most += nearly
        return nearly, most
