"""Where items lie by what they say and show: what the fusion network gives and the retrievers take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F32, I64, load_arrays, save_arrays, vars_of


@dataclass(frozen=True)
class Placed:
    """One place an item.

    Parameters
    ----------
    vectors
        (n, d) float32 unit vectors; near ones are bought by the same people.
    appeal
        (n,) float32, how much more or less than others such items are bought by anybody, of the size of a cosine.
    """

    vectors: F32
    appeal: F32

    def __len__(self) -> int:
        return len(self.appeal)

    def take(self, rows: I64 | slice) -> Self:
        """Some of the items."""
        return type(self)(self.vectors[rows], self.appeal[rows])

    def with_others(self, others: Self) -> Self:
        """The items and after them others."""
        return type(self)(np.concatenate([self.vectors, others.vectors]), np.concatenate([self.appeal, others.appeal]))

    def save(self, path: Path) -> None:
        save_arrays(path, vars_of(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        return cls(**load_arrays(path))
