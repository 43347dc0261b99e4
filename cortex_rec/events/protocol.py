"""What shoppers do while a release is served, and the seam of a store that keeps it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, get_args

from cortex_rec.errors import InvalidEvent

Kind = Literal["impression", "click", "cart", "purchase", "hide"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
#: The last moment of the year 9999: what is later is milliseconds by mistake.
_LATEST_TIME: Final = 253_402_300_799
_LONGEST: Final = 200
#: How many of a user's latest events of each kind an answer rests on: it takes as long for the busiest user as for any other.
LIMITS: Final[Mapping[str, int]] = {"click": 100, "cart": 100, "purchase": 200, "hide": 1_000}


@dataclass(frozen=True)
class Event:
    """One thing that a user did with one item.

    Parameters
    ----------
    event_id
        Unique among all events; one that is sent again counts once.
    kind
        `impression` (was shown), `click`, `cart` (was put into the basket), `purchase`, or `hide` (do not show again).
    user, item
        External ids, whether or not a release knows them.
    time
        Seconds since 1970 on the shop's own wall clock, as in its purchases.
    basket
        What ties events together: the id of a session or of an order; empty when there is none.
    quantity, price
        Of a purchase: how many, and what one unit cost after discounts; None where unknown.
    impression
        The `impression_id` of the answer that the event followed; empty when there is none.

    Raises
    ------
    InvalidEvent
        If a field is not as it must be; the message names it.
    """

    event_id: str
    kind: Kind
    user: str
    item: str
    time: int
    basket: str = ""
    quantity: float = 1.0
    price: float | None = None
    impression: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidEvent(f"kind: {self.kind!r} is not one of {', '.join(KINDS)}.")
        for name in ("event_id", "user", "item", "basket", "impression"):
            _check_id(name, getattr(self, name), needed=name in ("event_id", "user", "item"))
        if type(self.time) is not int or not 0 <= self.time <= _LATEST_TIME:
            raise InvalidEvent(f"time: {self.time!r} is not a whole number of seconds since 1970. Milliseconds are to be divided by 1,000.")
        if not (_is_number(self.quantity) and self.quantity > 0):
            raise InvalidEvent(f"quantity: {self.quantity!r} is not a number above 0. Leave out what was given back.")
        if not (self.price is None or (_is_number(self.price) and self.price >= 0)):
            raise InvalidEvent(f"price: {self.price!r} is not a number of at least 0. Leave it out where it is unknown.")


class Line(NamedTuple):
    """What answering needs of one event of a user."""

    kind: str
    item: str
    time: int
    basket: str
    quantity: float
    price: float | None


class EventStore(Protocol):
    """Keeps events, and gives back what a user did lately. All verbs may be called from several threads.

    Each raises `EventsUnavailable` when the store does not answer.
    """

    def append(self, events: Sequence[Event]) -> int:
        """Keep events; gives how many were new by their `event_id`.

        The first one of an id stays as it is. All are as durable as the store is when this returns, and seen by every read after it.
        """
        ...

    def of(self, users: Sequence[str]) -> list[list[Line]]:
        """For each user, oldest first, the latest clicks, carts, purchases and hides, of each kind as many as the store's limit.

        Events of one second are in the order in which they arrived.
        """
        ...

    def since(self, time: int, kinds: Sequence[str] = KINDS) -> Iterator[Event]:
        """All events of some kinds at or after a moment, by time, then by arrival: what a nightly run learns from."""
        ...

    def forget(self, user: str) -> int:
        """Remove everything about a user; gives the number of events."""
        ...

    def trim(self, before: int) -> int:
        """Remove what happened before a moment, but for hides; gives the number of events. What a release has learned can go."""
        ...

    def close(self) -> None:
        """Give back connections and files; the store is not used after it."""
        ...


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _check_id(name: str, value: object, *, needed: bool) -> None:
    if not isinstance(value, str) or len(value) > _LONGEST or (needed and not value):
        raise InvalidEvent(f"{name}: {str(value)[:80]!r} is not a text of {1 if needed else 0} to {_LONGEST} characters.")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidEvent(f"{name}: {value!r} has half of a character, which UTF-8 cannot hold.")
