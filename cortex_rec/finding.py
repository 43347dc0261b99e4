"""From what is asked to the candidates: retrieve, filter, and look further where too few are left."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from cortex_rec.answered import Asked, Found
from cortex_rec.arrays import I8, I32
from cortex_rec.encoding import Encoded
from cortex_rec.filters import PASSES, Sieve, item_rows, sieve
from cortex_rec.requests import Rules
from cortex_rec.reranking.needs import needs
from cortex_rec.retrieval.protocol import best
from cortex_rec.retrieval.union import Candidates
from cortex_rec.snapshot import Snapshot
from cortex_rec.watch import Watch

#: Each time that a query looks further, its retrievers may return so many times as many items as before.
WIDER: Final = 4
#: Part of `Slate.degraded` when a wider look would have come too late.
NOT_FURTHER: Final = "retrieval: did not look further, the time was up"
#: Best sellers that are ranked where no retriever answers.
FALLBACK: Final = 200
_NO_RULES: Final = Rules()


class Further(NamedTuple):
    """Item rows, ascending, to be ranked beside what was found, how often retrieval had to look for them, and what was left undone."""

    items: I32
    widened: int
    degraded: tuple[str, ...] = ()


_NOTHING: Final = Further(np.zeros(0, np.int32), 0)


def find(asked: Asked, snapshot: Snapshot, data: Encoded, watch: Watch) -> Found:
    """Retrieve for all queries at once; a query that has filters or rules, or gets too little, is then looked after by itself.

    Raises
    ------
    UnknownItem, InvalidRequest
        If a filter or a rule names what the catalogue does not have.
    """
    queries, union = asked.queries, snapshot.union
    everything = union.retrieve(queries, watch)
    if everything.missing and len(everything.missing) == len(union.names):
        sellers = np.sort(best(snapshot.statistics.lines[:, 1], FALLBACK))
        everything = union.added(queries, everything, [sellers] * len(queries))
    sieves = [sieve(asked, i, snapshot, data) for i in range(len(queries))]
    special = [
        i
        for i, request in enumerate(asked.requests)
        if sieves[i] is not None or request.rules != _NO_RULES or len(everything.lists[i]) < request.n
    ]
    if not special:
        return _found(everything, np.full(len(everything.lists.item), PASSES, np.int8), [_NOTHING] * len(queries))
    further = [_NOTHING] * len(queries)
    for i in special:
        further[i] = _further(asked, i, everything, sieves[i], snapshot, data, watch)
    if any(len(each.items) for each in further):
        everything = union.added(queries, everything, [each.items for each in further])
    verdicts = np.full(len(everything.lists.item), PASSES, np.int8)
    for i, own in enumerate(sieves):
        if own is not None:
            entries = slice(everything.lists.pointer[i], everything.lists.pointer[i + 1])
            verdicts[entries] = own.verdicts(everything.lists.item[entries])
    return _found(everything, verdicts, further)


def _found(everything: Candidates, verdicts: I8, further: Sequence[Further]) -> Found:
    passing = verdicts == PASSES
    candidates = everything if passing.all() else everything.rows(np.flatnonzero(passing))
    widened = np.array([each.widened for each in further], np.int64)
    return Found(everything, verdicts, candidates, widened, [without(everything) + each.degraded for each in further])


def without(found: Candidates) -> tuple[str, ...]:
    """Which retrievers failed or were not asked, in words."""
    return tuple(f"retriever {name!r} {why}" for name, why in found.missing.items())


def _further(asked: Asked, i: int, everything: Candidates, own: Sieve | None, snapshot: Snapshot, data: Encoded, watch: Watch) -> Further:
    """What query `i` is to be ranked on beside what was found: pinned items, and what a wider look finds until it has what it needs."""
    request, union = asked.requests[i], snapshot.union
    known = everything.lists[i]
    pinned = item_rows(request.rules.pinned, data, "rules.pinned")
    items, need = np.union1d(known, pinned), needs(asked, i, snapshot.statistics, data.catalogue)
    if need.met(passing(own, items)):
        return Further(np.setdiff1d(items, known), 0)
    possible = passing(own, np.arange(asked.queries.n_items, dtype=np.int32))
    need, single, usual = need.as_far_as(possible), asked.queries.one(i), sum(union.sizes.values())
    times, widened = 1, 0
    while not need.met(passing(own, items)) and not watch.late():
        times, widened = times * WIDER, widened + 1
        # All that may be shown are tried at once where they are no more than what a usual request ranks.
        tried_all = len(possible) <= usual or times * usual >= asked.queries.n_items
        more = possible if tried_all else passing(own, union.further(single, times, everything.missing, watch))
        items = np.union1d(items, more)
    return Further(np.setdiff1d(items, known), widened, () if need.met(passing(own, items)) else (NOT_FURTHER,))


def passing(own: Sieve | None, items: I32) -> I32:
    """Those of the item rows that pass the filters."""
    return items if own is None else items[own.verdicts(items) == PASSES]
