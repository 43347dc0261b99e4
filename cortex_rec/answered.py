"""What each stage of the request path made: asked -> found -> ranked -> arranged. Traces and reasons are read off it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cortex_rec.arrays import F32, I8, I32, I64, Bool, Ragged
from cortex_rec.features.assemble import Matrix
from cortex_rec.queries import Queries
from cortex_rec.requests import Request
from cortex_rec.reranking.shares import explore
from cortex_rec.retrieval.union import Candidates


@dataclass(frozen=True)
class Asked:
    """Requests as the release understands them; entry `i` of each is of request `i`.

    Parameters
    ----------
    requests
        As they came.
    queries
        Their histories, with what was bought since the release, and `baskets` and `clicked` as one last basket that is not bought yet.
    baskets
        Distinct item rows, ascending: `Request.items` and what was carted in the user's last session; not recommended.
    clicked
        Distinct item rows, ascending, that were only looked at in the last session; they may be recommended.
    hidden
        Distinct item rows, ascending, that the user does not want to see; not recommended.
    degraded
        What could not be learned.
    """

    requests: tuple[Request, ...]
    queries: Queries
    baskets: Ragged
    clicked: Ragged
    hidden: Ragged
    degraded: list[tuple[str, ...]]

    def bought(self, i: int) -> tuple[I32, I64]:
        """Item rows and times of what query `i` really bought: its history without what is in the basket or was clicked."""
        histories = self.queries.histories
        own = slice(histories.pointer[i], histories.pointer[i + 1])
        item, time, basket = histories.item[own], histories.time[own], histories.basket[own]
        if len(self.baskets[i]) + len(self.clicked[i]) > 0:
            kept = basket < basket.max(initial=0)
            return item[kept], time[kept]
        return item, time


@dataclass(frozen=True)
class Found:
    """What retrieval found and what the filters let through.

    Parameters
    ----------
    everything
        All items that were looked at, found by a retriever or pinned.
    verdicts
        (len(everything.lists.item),) int8: `filters.PASSES`, or the position in `filters.CAUSES` of the first filter that an item fails.
    candidates
        Those of `everything` that pass: what is ranked.
    widened
        (n,) int64, how many times each query had to look further.
    degraded
        What failed or was left undone for each query, in words.
    """

    everything: Candidates
    verdicts: I8
    candidates: Candidates
    widened: I64
    degraded: list[tuple[str, ...]]


@dataclass(frozen=True)
class Ranked:
    """All candidates of each query, best first; the others are aligned with `lists.item`.

    `probabilities` of a purchase are NaN for who has no history; `found_by` is (n, n_retrievers) bool, in the order of the
    union's names; `rows` are int64 positions in the candidates and in the feature matrix.
    """

    lists: Ragged
    scores: F32
    probabilities: F32
    found_by: Bool
    rows: I64

    def explored(self, unsold: Bool, share: float) -> Self:
        """With the best unsold items, `unsold` being (n_items,) bool, moved up to their share of the places."""
        if share == 0:
            return self
        order = explore(self.lists.pointer, unsold[self.lists.item], share)
        lists = Ragged(self.lists.pointer, self.lists.item[order])
        return type(self)(lists, self.scores[order], self.probabilities[order], self.found_by[order], self.rows[order])


@dataclass(frozen=True)
class Arranged:
    """The places of one answer.

    Parameters
    ----------
    at
        (k,) int64 positions in the query's own ranked list of the items shown, in their order.
    rules
        By position in `at`: the names of the rules that put an item there instead of the one whom its score would have; only of items
        that a rule moved.
    capped
        By position in the ranked list: the group whose cap kept an item out.
    """

    at: I64
    rules: Mapping[int, tuple[str, ...]]
    capped: Mapping[int, str]


@dataclass(frozen=True)
class Answered:
    """Everything that was worked out for some requests, stage by stage; `arranged` has one entry a request."""

    asked: Asked
    found: Found
    matrix: Matrix
    ranked: Ranked
    arranged: tuple[Arranged, ...]

    def shown(self, i: int) -> I64:
        """(k,) int64 entries of `ranked` that answer request `i`, in their order."""
        shown: I64 = self.ranked.lists.pointer[i] + self.arranged[i].at
        return shown

    def stranger(self, i: int) -> bool:
        """Whether request `i` has no history, not even a basket: such answers are the popular items in their order."""
        return bool(self.asked.queries.strangers[i])

    def degraded(self, i: int) -> tuple[str, ...]:
        """What failed or came too late for request `i`, in words."""
        return self.asked.degraded[i] + self.found.degraded[i]
