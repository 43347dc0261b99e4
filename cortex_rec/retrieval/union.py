"""The retrievers together: one candidate list a query, in which each item keeps every retriever's score and rank."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np

from cortex_rec.arrays import F32, I32, Array, Ragged, distinct, load_arrays, save_arrays
from cortex_rec.config import Retrieval
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval import arrivals, copurchase, favourites, graph, neighbours, popular, repeats, vector
from cortex_rec.retrieval.protocol import Evidence, Fit, Retriever
from cortex_rec.watch import Watch

_LOG: Final = logging.getLogger(__name__)


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
    missing
        Why a retriever has no scores and no ranks (NaN), by its name; empty when all answered.
    """

    lists: Ragged
    scores: F32
    ranks: F32
    missing: Mapping[str, str] = field(default_factory=dict)

    def rows(self, chosen: Array) -> Self:
        """The same lists with only some of their rows, in their order."""
        lists = Ragged.from_owner(self.lists.owner[chosen], self.lists.item[chosen], len(self.lists))
        return replace(self, lists=lists, scores=self.scores[chosen], ranks=self.ranks[chosen])


@dataclass(frozen=True)
class Union:
    """Fitted retrievers by name, and how many items each is asked for."""

    retrievers: Mapping[str, Retriever]
    sizes: Mapping[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.retrievers)

    def retrieve(self, queries: Queries, watch: Watch | None = None) -> Candidates:
        """Ask every retriever and join the answers; none is masked, all scores are kept.

        Parameters
        ----------
        watch
            When given, a retriever that raises is left out, its traceback logged, and so are those whose turn comes too late. Without,
            as in training, a failure is raised.
        """
        missing: dict[str, str] = {}
        found = self._ask(queries, 1, watch, missing)
        every = Ragged.joined(list(found.values()))
        by, query = np.divmod(every.owner, max(len(queries), 1))
        keys = query * queries.n_items + every.item
        union = distinct(keys)
        lists = Ragged.from_owner(union // queries.n_items, union % queries.n_items, len(queries))
        ranks = np.full((len(union), len(self.retrievers)), np.nan, np.float32)
        column = np.array([self.names.index(name) for name in found], np.int64)[by]
        ranks[np.searchsorted(union, keys), column] = every.place + 1
        if watch is not None:
            watch.found({name: len(lists.item) for name, lists in found.items()}, len(union))
        return Candidates(lists, self._score(queries, lists, watch, missing), ranks, missing)

    def further(self, queries: Queries, times: int, missing: Mapping[str, str], watch: Watch) -> I32:
        """Distinct item rows, ascending, that one query's retrievers find when each may return `times` as many as usual.

        Parameters
        ----------
        queries
            A single one.
        missing
            Retrievers that are not asked again.
        watch
            Those whose turn comes too late are left out.
        """
        found = self._ask(queries, times, watch, dict(missing))
        return np.unique(np.concatenate([*(lists.item for lists in found.values()), np.zeros(0, np.int32)]))

    def added(self, queries: Queries, candidates: Candidates, items: Sequence[I32]) -> Candidates:
        """The candidates and further items of each query, scored like the others and without a rank, since no retriever returned them."""
        owner = np.repeat(np.arange(len(queries)), [len(each) for each in items])
        lists = Ragged.from_owner(owner, np.concatenate([*items, np.zeros(0, np.int32)]), len(queries))
        missing = dict(candidates.missing)
        scores = np.concatenate([candidates.scores, self._score(queries, lists, Watch(), missing)])
        ranks = np.concatenate([candidates.ranks, np.full((len(lists.item), len(self.names)), np.nan, np.float32)])
        owner, item = np.append(candidates.lists.owner, owner), np.append(candidates.lists.item, lists.item)
        order = np.lexsort((item, owner))
        return Candidates(Ragged.from_owner(owner[order], item[order], len(queries)), scores[order], ranks[order], missing)

    def score(self, queries: Queries, lists: Ragged) -> F32:
        """(n, n_retrievers) float32 scores of given items."""
        return self._score(queries, lists, None, {})

    def _ask(self, queries: Queries, times: int, watch: Watch | None, missing: dict[str, str]) -> dict[str, Ragged]:
        """Each retriever's own lists; `missing` is told of those that did not answer."""
        found = {}
        for name, retriever in self.retrievers.items():
            if name in missing:
                continue
            if watch is not None and watch.late():
                missing[name] = "was not asked, the time was up"
                continue
            try:
                found[name] = retriever.retrieve(queries, times * self.sizes[name])
            except Exception as error:  # noqa: BLE001  (raised again, unless an answer without it is better than none)
                _failed(name, error, watch, missing)
        return found

    def _score(self, queries: Queries, lists: Ragged, watch: Watch | None, missing: dict[str, str]) -> F32:
        scores = np.full((len(lists.item), len(self.retrievers)), np.nan, np.float32)
        for column, (name, retriever) in enumerate(self.retrievers.items()):
            if name in missing:
                continue
            try:
                scores[:, column] = retriever.score(queries, lists)
            except Exception as error:  # noqa: BLE001  (raised again, unless an answer without it is better than none)
                _failed(name, error, watch, missing)
        return scores

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


def _failed(name: str, error: Exception, watch: Watch | None, missing: dict[str, str]) -> None:
    """Note that a retriever gave no answer, where an answer without it is better than none; else raise."""
    if watch is None:
        raise error
    _LOG.error("retriever %s failed, the answer does without it", name, exc_info=error)
    missing[name] = f"failed ({type(error).__name__})"
