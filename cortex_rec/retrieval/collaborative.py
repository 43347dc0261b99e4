"""The closed form and LightGCN together: what lies near the user's items in the graph, and what learned vectors say of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F32, Ragged, extended, load_arrays, save_arrays
from cortex_rec.config import Collaborative as CollaborativeConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries, once
from cortex_rec.retrieval import linear
from cortex_rec.retrieval.index import inner_products
from cortex_rec.retrieval.linear import Linear, alone, indicators
from cortex_rec.retrieval.protocol import Evidence, Scored, ScoresItems
from cortex_rec.splits import distinct


@dataclass(frozen=True)
class Collaborative(ScoresItems):
    """Both parts know a user by the items alone.

    Parameters
    ----------
    linear
        The closed form; its scores are divided by the root of the number of items in the history.
    vectors
        (n_items, d) float32 of unit length, zeros without a purchase.
    learned
        (1,) float32, how much the cosine of an item's vector with that of the history counts.
    """

    linear: Linear
    vectors: F32
    learned: F32

    def scores(self, lists: Ragged) -> F32:
        """(len(lists), n_items) float32 for the distinct items of each history; zeros for an empty one."""
        found = self.linear.scores(lists)
        found /= np.sqrt(np.maximum(np.diff(lists.pointer), 1), dtype=np.float32)[:, None]
        found += self.learned * self.places(lists) @ self.vectors.T
        return found

    def places(self, lists: Ragged) -> F32:
        """(len(lists), d) float32 unit vectors of the histories, as one more layer of the graph would have them."""
        total: F32 = indicators(lists, len(self.vectors)) @ self.vectors
        length = np.sqrt(inner_products(total, total))[:, None]
        return np.divide(total, length, out=np.zeros_like(total), where=length > 0)

    @once
    def _scored(self, queries: Queries) -> list[Scored]:
        return alone(queries, self.scores, self.linear.sold)

    def widened(self, new: Newcomers) -> Self:
        return replace(self, linear=self.linear.widened(new), vectors=extended(self.vectors, len(new), 0))

    def save(self, folder: Path) -> None:
        self.linear.save(folder)
        save_arrays(folder / "learned.safetensors", {"vectors": self.vectors, "learned": self.learned})

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(Linear.load(folder), **load_arrays(folder / "learned.safetensors"))


def fit(evidence: Evidence, config: CollaborativeConfig, *, start: object = None) -> Collaborative:
    """Learn both parts from the distinct (user, item) pairs before `as_of`."""
    return learn(distinct(evidence.histories), evidence.n_items, config, seed=evidence.seed)


def learn(pairs: Ragged, n_items: int, config: CollaborativeConfig, *, seed: int) -> Collaborative:
    """Learn both parts from each user's distinct items."""
    # Imported here so that a service that only answers never loads torch and DGL.
    from cortex_rec.retrieval import lightgcn_softmax

    vectors = lightgcn_softmax.fit(pairs, n_items, config.lightgcn, seed=seed).items
    return Collaborative(linear.learn(pairs, n_items, config.linear, seed=seed), vectors, np.array([config.learned], np.float32))
