"""The seam of the first stage: what a retriever is given to learn from, and the verbs that it answers to."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from cortex_rec.arrays import F32, F64, I32, Array, Ragged, find, pointers, reached
from cortex_rec.catalogue import Catalogue, Promotions
from cortex_rec.embeddings.placed import Placed
from cortex_rec.features.statistics import Statistics
from cortex_rec.histories import Past
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries, once


@dataclass(frozen=True)
class Evidence:
    """All that a retriever may learn from: nothing in it is of `as_of` or later, but for offers announced before.

    Parameters
    ----------
    histories
        All users' purchases before `as_of`, in blocks of users.
    statistics
        Counts of the same purchases.
    catalogue
        Every item that the shop lists.
    promotions
        The offers that run at `as_of`.
    content
        The places of all items, by what they say and show.
    """

    histories: Past
    statistics: Statistics
    catalogue: Catalogue
    promotions: Promotions
    content: Placed
    as_of: int
    seed: int

    @property
    def n_items(self) -> int:
        return len(self.catalogue)


class Retriever(Protocol):
    """Finds candidates. Frozen once fitted; the same question always gets the same answer, in a batch or alone."""

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        """At most `n` distinct items a query, best first."""
        ...

    def score(self, queries: Queries, lists: Ragged) -> F32:
        """(len(lists.item),) float32 score of any item for its query, larger is better, on the scale that `retrieve` ranks by."""
        ...

    def widened(self, new: Newcomers) -> Self:
        """The same retriever with room for items that nobody has bought yet: what `fit` would have made with them in the catalogue."""
        ...

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        ...


class Fit(Protocol):
    """Learn a retriever; `start` is the one of an earlier moment, for those that can go on from it."""

    def __call__(self, evidence: Evidence, config: Any, *, start: Any = None) -> Retriever: ...


def best(scores: Array, n: int, items: I32 | None = None) -> I32:
    """The `n` items with the largest positive score, best first, ties by row.

    Parameters
    ----------
    scores
        (k,) float; items at zero or below are never returned.
    items
        (k,) the rows that the scores belong to; `arange(k)` when absent.
    """
    least = reached(scores, n)
    leading = np.flatnonzero(scores >= least if least > 0 else scores > 0)
    rows = leading.astype(np.int32) if items is None else items[leading]
    return rows[np.lexsort((rows, -scores[leading]))[:n]]


def each(queries: Queries, answer: Callable[[int], I32]) -> Ragged:
    """One list a query, made one at a time."""
    lists = [answer(i) for i in range(len(queries))]
    counts = np.array([len(items) for items in lists], np.int64)
    return Ragged(pointers(counts), np.concatenate([*lists, np.zeros(0, np.int32)]).astype(np.int32))


class Scored(NamedTuple):
    """All items that one query has a positive score for, and perhaps others.

    Parameters
    ----------
    items
        (k,) int32 rows, ascending; absent where all items are there.
    scores
        (k,) float64, not below zero where `items` are given.
    """

    items: I32 | None
    scores: F64

    @classmethod
    def of(cls, dense: F64) -> "Scored":
        """From the scores (n_items,) of all items."""
        positive = np.flatnonzero(dense > 0)
        return cls(positive.astype(np.int32), dense[positive])

    def of_items(self, wanted: I32) -> F64:
        """(len(wanted),) float64 scores of given items."""
        if self.items is None:
            return np.maximum(self.scores[wanted], 0.0)
        found: F64 = np.append(self.scores, 0.0)[find(self.items, wanted)]
        return found


class ScoresItems(ABC):
    """The two verbs of a retriever that knows every item with a score for a query."""

    @abstractmethod
    def _each(self, queries: Queries) -> Iterator[Scored]:
        """Query by query the items that have a score; no other is retrieved."""

    @once
    def _scored(self, queries: Queries) -> list[Scored]:
        return list(self._each(queries))

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        scored = self._scored(queries)
        return each(queries, lambda i: best(scored[i].scores, n, scored[i].items))

    def score(self, queries: Queries, lists: Ragged) -> F32:
        return picked(lists, self._scored(queries))


class ScoresAll(ScoresItems):
    """One that has the score of every item of the catalogue."""

    @abstractmethod
    def _dense(self, queries: Queries) -> Iterator[F64]:
        """(n_items,) the scores of all items, query by query; what is not above zero is not retrieved."""

    def _each(self, queries: Queries) -> Iterator[Scored]:
        # Of a single query all scores are kept, as taking the positive ones out takes longer than all else that is done with them.
        alone = len(queries) == 1
        return (Scored(None, dense) if alone else Scored.of(dense) for dense in self._dense(queries))


def picked(lists: Ragged, scored: Sequence[Scored]) -> F32:
    """(len(lists.item),) float32 scores of given items."""
    return np.concatenate([*(each.of_items(lists[i]) for i, each in enumerate(scored)), np.zeros(0)]).astype(np.float32)
