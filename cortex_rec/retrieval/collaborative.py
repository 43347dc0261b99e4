"""The closed form and LightGCN together: what lies near the user's items in the graph, and what learned vectors say of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F32, F64, Array, Ragged, extended, load_arrays, save_arrays, vars_of
from cortex_rec.config import Collaborative as CollaborativeConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval import linear
from cortex_rec.retrieval.index import directions
from cortex_rec.retrieval.linear import Linear, alone, indicators
from cortex_rec.retrieval.protocol import Evidence, ScoresAll
from cortex_rec.splits import distinct


@dataclass(frozen=True)
class Collaborative(ScoresAll):
    """Users whom the training knew have a vector of their own; a stranger's is made of the items.

    Parameters
    ----------
    linear
        The closed form; its scores are divided by the root of the number of items in the history.
    users, items
        (n_users, d) and (n_items, d) float32 of unit length, zeros without a purchase.
    popularity
        (n_items,) float32, what is added to an item's cosine.
    learned
        (1,) float32, how much that sum counts.
    """

    linear: Linear
    users: F32
    items: F32
    popularity: F32
    learned: F32

    def scores(self, lists: Ragged, users: Array) -> F32:
        """(len(lists), n_items) float32 for the distinct items of each history.

        Parameters
        ----------
        users
            (len(lists),) whose histories they are, -1 for strangers.
        """
        found = self.linear.scores(lists)
        found /= np.sqrt(np.maximum(np.diff(lists.pointer), 1), dtype=np.float32)[:, None]
        found += self.learned * (self.places(lists, users) @ self.items.T + self.popularity)
        return found

    def places(self, lists: Ragged, users: Array) -> F32:
        """(len(lists), d) float32 unit vectors; a stranger lies where one more layer of the graph would have the history."""
        found = self.users[users]
        strangers = np.flatnonzero((users < 0) | ~found.any(axis=1))
        found[strangers] = directions(indicators(lists.take(strangers), len(self.items)) @ self.items)
        return found

    def _dense(self, queries: Queries) -> Iterator[F64]:
        return alone(queries, self.scores, self.linear.sold)

    def widened(self, new: Newcomers) -> Self:
        items, popularity = (extended(part, len(new), 0) for part in (self.items, self.popularity))
        return replace(self, linear=self.linear.widened(new), items=items, popularity=popularity)

    def save(self, folder: Path) -> None:
        self.linear.save(folder)
        arrays = vars_of(self)
        del arrays["linear"]
        save_arrays(folder / "learned.safetensors", arrays)

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

    learned = lightgcn_softmax.fit(pairs, n_items, config.lightgcn, seed=seed)
    closed = linear.learn(pairs, n_items, config.linear, seed=seed)
    return Collaborative(closed, learned.users, learned.items, learned.popularity, np.array([config.learned], np.float32))
