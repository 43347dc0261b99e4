"""The retrievers together: one candidate list a query, in which each item keeps every retriever's score and rank."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np

from cortex_rec.arrays import F32, Ragged, load_arrays, save_arrays
from cortex_rec.config import Retrieval
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval import arrivals, copurchase, favourites, graph, neighbours, popular, repeats, vector
from cortex_rec.retrieval.protocol import Evidence, Fit, Retriever


class Registered(NamedTuple):
    """How a retriever is fitted and loaded."""

    fit: Fit
    model: type[Retriever]


#: One line a retriever; its name is also its section of `retrieval:` in the YAML.
REGISTRY: Final[Mapping[str, Registered]] = {
    "repeats": Registered(repeats.fit, repeats.Repeats),
    "copurchase": Registered(copurchase.fit, copurchase.Copurchase),
    "neighbours": Registered(neighbours.fit, neighbours.Neighbours),
    "graph": Registered(graph.fit, graph.Graph),
    "vector": Registered(vector.fit, vector.Vector),
    "popular": Registered(popular.fit, popular.Popular),
    "favourites": Registered(favourites.fit, favourites.Favourites),
    "promoted": Registered(favourites.fit_promoted, favourites.Favourites),
    "arrivals": Registered(arrivals.fit, arrivals.Arrivals),
}


@dataclass(frozen=True)
class Candidates:
    """The union's answer.

    Parameters
    ----------
    lists
        Distinct items a query, ascending by row.
    scores
        (n, n_retrievers) float32, each retriever's score of each candidate, whoever found it.
    ranks
        (n, n_retrievers) float32, 1 for a retriever's best; NaN where it did not return the item.
    """

    lists: Ragged
    scores: F32
    ranks: F32


@dataclass(frozen=True)
class Union:
    """Fitted retrievers by name, and how many items each is asked for."""

    retrievers: Mapping[str, Retriever]
    sizes: Mapping[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.retrievers)

    def retrieve(self, queries: Queries) -> Candidates:
        """Ask every retriever and join the answers; none is masked, all scores are kept."""
        found = [retriever.retrieve(queries, self.sizes[name]) for name, retriever in self.retrievers.items()]
        keys = [lists.owner * queries.n_items + lists.item for lists in found]
        union = np.unique(np.concatenate(keys))
        lists = Ragged.from_owner(union // queries.n_items, (union % queries.n_items).astype(np.int32), len(queries))
        ranks = np.full((len(union), len(found)), np.nan, np.float32)
        for column, (single, key) in enumerate(zip(found, keys, strict=True)):
            place = np.arange(len(key)) - single.pointer[single.owner] + 1
            ranks[np.searchsorted(union, key), column] = place
        return Candidates(lists, self.score(queries, lists), ranks)

    def score(self, queries: Queries, lists: Ragged) -> F32:
        """(n, n_retrievers) float32 scores of given items."""
        return np.stack([retriever.score(queries, lists) for retriever in self.retrievers.values()], axis=1)

    def widened(self, new: Newcomers) -> Self:
        """Every retriever with room for further items."""
        return replace(self, retrievers={name: retriever.widened(new) for name, retriever in self.retrievers.items()})

    def save(self, folder: Path) -> None:
        for name, retriever in self.retrievers.items():
            (folder / name).mkdir()
            retriever.save(folder / name)
        save_arrays(folder / "sizes.safetensors", {name: np.array([size]) for name, size in self.sizes.items()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        sizes = load_arrays(folder / "sizes.safetensors")
        return cls(
            {name: registered.model.load(folder / name) for name, registered in REGISTRY.items()},
            {name: int(sizes[name][0]) for name in REGISTRY},
        )


def fit(evidence: Evidence, config: Retrieval, *, start: Union | None = None) -> Union:
    """Fit all retrievers as of one moment, those that can from the union of an earlier moment."""
    fitted = {
        name: registered.fit(evidence, getattr(config, name), start=None if start is None else start.retrievers[name])
        for name, registered in REGISTRY.items()
    }
    return Union(fitted, {name: getattr(config, name).n for name in REGISTRY})
