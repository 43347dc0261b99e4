"""What shoppers did since a release was made, in rows of its id maps: what an answer adds to their history."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from cortex_rec.arrays import NO_ROW, Ragged, pointers
from cortex_rec.events.protocol import Line
from cortex_rec.histories import Histories
from cortex_rec.ids import IdMap

#: Seconds without anything that end a session which has no id.
SESSION_GAP: Final = 30 * 60


@dataclass(frozen=True)
class Live:
    """Some shoppers' latest doings; entry `i` of each list is the shopper of request `i`. Items that the release lacks are left out.

    Parameters
    ----------
    bought
        Purchases that the release does not know; their times are before its moment, in their order.
    carted, clicked
        Distinct item rows of the last session, ascending, that were not bought yet; a carted item is not among the clicked ones.
    hidden
        Distinct item rows, ascending, that the shopper does not want to see.
    """

    bought: Histories
    carted: Ragged
    clicked: Ragged
    hidden: Ragged

    @classmethod
    def of(cls, lines: Sequence[Sequence[Line]], items: IdMap, *, known_until: int, as_of: int) -> Self:
        """Take in what a store gave.

        Parameters
        ----------
        lines
            `EventStore.of`, one list a request.
        items
            The release's items.
        known_until
            Seconds since 1970, the last purchase that the release knows. What came up to it is history already; only hides stay.
        as_of
            The release's moment; what happened at or after it counts as having happened in the second before.
        """
        known = [[line for line in own if items.row(line.item) != NO_ROW] for own in lines]
        new = [[line for line in own if line.time > known_until and line.kind != "hide"] for own in known]
        pending = [_pending(own) for own in new]
        return cls(
            _bought([[line for line in own if line.kind == "purchase"] for own in new], items, as_of),
            _lists(items, [[item for item, kind in own.items() if kind == "cart"] for own in pending]),
            _lists(items, [[item for item, kind in own.items() if kind == "click"] for own in pending]),
            _lists(items, [[line.item for line in own if line.kind == "hide"] for own in known]),
        )


def _pending(lines: Sequence[Line]) -> dict[str, str]:
    """Items that were put into the basket (`cart`) or only looked at (`click`) in the last session, and not bought since."""
    pending: dict[str, str] = {}
    session = _session(lines)
    for at, line in enumerate(lines):
        if line.kind == "purchase":
            pending.pop(line.item, None)
        elif at in session and pending.get(line.item) != "cart":
            pending[line.item] = line.kind
    return pending


def _session(lines: Sequence[Line]) -> set[int]:
    """Positions of the lines that share the last one's basket id; without one, those that no long pause parts from it."""
    if not lines:
        return set()
    last = lines[-1]
    if last.basket:
        return {at for at, line in enumerate(lines) if line.basket == last.basket}
    start = len(lines) - 1
    while start and not lines[start - 1].basket and lines[start].time - lines[start - 1].time <= SESSION_GAP:
        start -= 1
    return set(range(start, len(lines)))


def _bought(lines: Sequence[Sequence[Line]], items: IdMap, as_of: int) -> Histories:
    """Purchases as arrays; a basket is what has one id, else what was bought in one second, as in a source's table."""
    flat = [line for own in lines for line in own]
    pointer = pointers(np.array([len(own) for own in lines], np.int64))
    user = np.repeat(np.arange(len(lines)), np.diff(pointer))
    item = items.rows([line.item for line in flat]) if flat else np.zeros(0, np.int32)
    time = np.minimum(np.array([line.time for line in flat], np.int64), as_of - 1)
    basket = np.array([number for own in lines for number in _baskets(own)], np.int64)
    order = np.lexsort((item, basket, time, user))
    unknown = np.full(len(flat), np.nan, np.float32)
    return Histories(
        pointer,
        item[order],
        time[order],
        basket[order],
        np.full(len(flat), NO_ROW, np.int32),
        np.array([line.quantity for line in flat], np.float32)[order],
        np.array([np.nan if line.price is None else line.price for line in flat], np.float32)[order],
        unknown,
    )


def _baskets(lines: Sequence[Line]) -> list[int]:
    """The number of each line's basket, in the order of their first lines."""
    numbers: dict[str | int, int] = {}
    return [numbers.setdefault(line.basket or line.time, len(numbers)) for line in lines]


def _lists(items: IdMap, external: Sequence[Sequence[str]]) -> Ragged:
    return Ragged.of([np.unique(items.rows(own)) for own in external])
