"""What the user bought before: in groceries, most of what they will buy next."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F32, I32, Ragged, load_arrays, save_arrays
from cortex_rec.config import Repeats as RepeatsConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval.protocol import Evidence, best, each


@dataclass(frozen=True)
class Repeats:
    """Scores an item by the user's decayed number of purchases."""

    half_life_days: float

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        weight = queries.weights(self.half_life_days)
        pointer, item = queries.items_pointer, queries.items.member

        def answer(i: int) -> I32:
            own = slice(pointer[i], pointer[i + 1])
            return best(weight[own], n, item[own])

        return each(queries, answer)

    def score(self, queries: Queries, lists: Ragged) -> F32:
        entry = queries.items.find(lists.owner, lists.item)
        weight = np.append(queries.weights(self.half_life_days), 0.0)
        return weight[entry].astype(np.float32)

    def widened(self, new: Newcomers) -> Self:
        return self

    def save(self, folder: Path) -> None:
        save_arrays(folder / "repeats.safetensors", {"half_life_days": np.array([self.half_life_days])})

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(float(load_arrays(folder / "repeats.safetensors")["half_life_days"][0]))


def fit(evidence: Evidence, config: RepeatsConfig, *, start: object = None) -> Repeats:
    """Nothing to learn: a user's history comes with the query."""
    return Repeats(config.half_life_days)
