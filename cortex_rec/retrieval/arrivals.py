"""What nobody has bought yet, nearest to the user's history by what it says and shows: how a new product gets its first shoppers."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import faiss
import numpy as np

from cortex_rec.arrays import F32, I64, Array, Ragged, find, load_arrays, save_arrays
from cortex_rec.config import Arrivals as ArrivalsConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval import index as flat
from cortex_rec.retrieval.protocol import Evidence
from cortex_rec.retrieval.vector import taste

#: Score of an item that was sold before: below every cosine that a new one can have.
SOLD: Final = np.float32(-2)


@dataclass(frozen=True)
class Arrivals:
    """Exact search over the items of the catalogue without a purchase.

    Parameters
    ----------
    vectors
        (n_items, d) float32 unit vectors of all items; the user's taste is the mean of those in their history.
    unsold
        (k,) int64 rows of the items without a purchase, ascending.
    half_life_days
        Of a purchase's weight in the user's taste.
    """

    vectors: F32
    unsold: I64
    half_life_days: float

    @cached_property
    def index(self) -> faiss.IndexFlatIP:
        """The vectors of `unsold`."""
        return flat.build(self.vectors[self.unsold])

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        return flat.search(self.index, self.unsold, taste(queries, self.vectors, self.half_life_days), n)

    def score(self, queries: Queries, lists: Ragged) -> F32:
        likeness = flat.inner_products(taste(queries, self.vectors, self.half_life_days)[lists.owner], self.vectors[lists.item])
        return np.where(find(self.unsold, lists.item) >= 0, likeness, SOLD)

    def widened(self, new: Newcomers) -> Self:
        unsold = np.append(self.unsold, np.arange(new.n_before, len(new.catalogue)))
        return type(self)(np.concatenate([self.vectors, new.vectors]), unsold, self.half_life_days)

    def save(self, folder: Path) -> None:
        arrays: dict[str, Array] = {"vectors": self.vectors, "unsold": self.unsold, "half_life_days": np.array([self.half_life_days])}
        save_arrays(folder / "arrivals.safetensors", arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        arrays = load_arrays(folder / "arrivals.safetensors")
        return cls(arrays["vectors"], arrays["unsold"], float(arrays["half_life_days"][0]))


def fit(evidence: Evidence, config: ArrivalsConfig, *, start: object = None) -> Arrivals:
    """Put what was never sold before `as_of` into an index."""
    return Arrivals(evidence.content, np.flatnonzero(evidence.statistics.unsold), config.half_life_days)
