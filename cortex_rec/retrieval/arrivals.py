"""What nobody has bought yet, most like the user's history by what it says and shows: how a new product gets its first shoppers."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
from threadpoolctl import ThreadpoolController

from cortex_rec.arrays import F32, I32, Ragged, load_arrays, pointers, save_arrays
from cortex_rec.config import Arrivals as ArrivalsConfig
from cortex_rec.embeddings.placed import Placed
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval import index
from cortex_rec.retrieval.index import Index
from cortex_rec.retrieval.likeness import likeness
from cortex_rec.retrieval.protocol import Evidence
from cortex_rec.retrieval.vector import taste

#: How many items are judged for each one that is returned; the mean of the history chooses them.
WIDER: Final = 10
#: What appeal is multiplied by in the index, and divided by in a question: where items differ much, a search leaves more of them out
#: early. A power of two changes no product.
SPREAD: Final = np.float32(8)
#: The heaviest items of the history, which new ones are compared with.
HISTORY: Final = 32
#: Items judged at once, the last ones filled up to as many: matrix products of another shape round otherwise.
BLOCK: Final = 128
# Several threads sum a product in another order than one does.
_blas: Final = ThreadpoolController().select(user_api="blas")


@dataclass(frozen=True)
class Arrivals:
    """The items of the catalogue without a purchase: an index finds those near the history's mean, the best match orders them.

    Parameters
    ----------
    content
        Places of all items.
    index
        The items without a purchase, with their appeal as one more dimension.
    half_life_days
        Of a purchase's weight in the user's history.
    """

    content: Placed
    index: Index
    half_life_days: float

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        mean = taste(queries, self.content.vectors, self.half_life_days)
        asked = np.column_stack([mean, mean.any(axis=1) / SPREAD]).astype(np.float32)
        near = index.search(self.index, asked, n * WIDER)
        order = np.lexsort((near.item, -self.score(queries, near), near.owner))
        return Ragged(pointers(np.minimum(np.diff(near.pointer), n)), near.item[order][near.place < n])

    def score(self, queries: Queries, lists: Ragged) -> F32:
        """Likeness to the history and appeal, of sold items too; -1 and appeal for who has no history."""
        scores, weight = self.content.appeal[lists.item], queries.weights(self.half_life_days)
        with _blas.limit(limits=1):
            for i in range(len(queries)):
                own, mine = slice(lists.pointer[i], lists.pointer[i + 1]), slice(queries.items_pointer[i], queries.items_pointer[i + 1])
                scores[own] += self._likeness(queries.items.member[mine], weight[mine].astype(np.float32), lists.item[own])
        return scores

    def _likeness(self, history: I32, weight: F32, items: I32) -> F32:
        """(len(items),) float32."""
        if len(history) == 0 or len(items) == 0:
            return np.full(len(items), -1, np.float32)
        heaviest = np.lexsort((history, -weight))[:HISTORY]
        share = np.zeros(HISTORY, np.float32)
        share[: len(heaviest)] = weight[heaviest] / weight[heaviest].sum()
        own, asked = self.content.vectors[np.resize(history[heaviest], HISTORY)], np.resize(items, -(-len(items) // BLOCK) * BLOCK)
        return likeness(own, share, self.content.vectors[asked.reshape(-1, BLOCK)]).ravel()[: len(items)]

    def widened(self, new: Newcomers) -> Self:
        others = self.index.with_others(_searched(new.content), np.arange(new.n_before, len(new.catalogue)))
        return replace(self, content=self.content.with_others(new.content), index=others)

    def save(self, folder: Path) -> None:
        self.content.save(folder / "content.safetensors")
        self.index.save(folder)
        save_arrays(
            folder / "arrivals.safetensors", {"unsold": np.sort(self.index.rows), "half_life_days": np.array([self.half_life_days])}
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        arrays, content = load_arrays(folder / "arrivals.safetensors"), Placed.load(folder / "content.safetensors")
        unsold = arrays["unsold"]
        return cls(content, Index.load(folder, _searched(content.take(unsold)), unsold), float(arrays["half_life_days"][0]))


def fit(evidence: Evidence, config: ArrivalsConfig, *, start: object = None) -> Arrivals:
    """Put what was never sold before `as_of` into an index."""
    unsold = np.flatnonzero(evidence.statistics.unsold)
    return Arrivals(evidence.content, Index.over(_searched(evidence.content.take(unsold)), unsold), config.half_life_days)


def _searched(content: Placed) -> F32:
    """(n, d + 1) float32."""
    return np.column_stack([content.vectors, SPREAD * content.appeal])
