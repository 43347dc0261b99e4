"""What is known of users, what they do, and how they are forgotten."""

import asyncio
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from bentos.answered import Accepted, Forgotten, LiveEvent, Person, Purchase, Users
from bentos.asked import Event, Feedback, OneUser, SearchUsers
from bentos.desk import Desk
from cortex_rec.arrays import DAY, NO_ROW
from cortex_rec.errors import InvalidEvent
from cortex_rec.events.protocol import Event as Happened
from cortex_rec.ids import IdMap
from cortex_rec.recommender import Recommender
from cortex_rec.releases import forgotten

#: Of a user's latest lines, how many are told.
LINES = 100


async def feedback(desk: Desk, asked: Feedback) -> Accepted:
    """Keep what happened: durable when this is answered, and counted by the next recommendation."""
    now = desk.clock(desk.settings.zone)
    given = [happened(event, desk.settings.zone, now) for event in asked.events]
    accepted = await asyncio.to_thread(desk.events.append, given)
    desk.metrics.events(given, accepted)
    if desk.arms is not None:
        desk.metrics.followed(desk.arms.experiment, given)
    return Accepted(accepted=accepted, repeated=len(given) - accepted)


async def search_users(desk: Desk, asked: SearchUsers) -> Users:
    """Users of the release whose id begins with, else holds, a text."""
    known = await asyncio.to_thread(_matching, desk.current.loaded.recommender.data.users, asked.q)
    return Users(users=tuple(known[: asked.n]), total=len(known))


def _matching(users: IdMap, text: str) -> list[str]:
    known = [user for user in users.ids.to_list() if text in user and users.row(user) != NO_ROW]
    return sorted(known, key=lambda user: not user.startswith(text))


async def person(desk: Desk, asked: OneUser) -> Person:
    """The user's latest purchases, and what happened since the release."""
    loaded = desk.current.loaded
    (lines,) = await asyncio.to_thread(desk.events.of, [asked.user_id])
    data = loaded.recommender.data
    lately = tuple(
        LiveEvent(kind=line.kind, item_id=line.item, title=_title(loaded.recommender, line.item), time=_moment(line.time))
        for line in reversed(lines)
    )
    row = data.users.row(asked.user_id)
    own = data.histories.take(np.array([row], np.int32))
    latest = range(len(own.item) - 1, max(-1, len(own.item) - LINES - 1), -1)
    purchases = tuple(
        Purchase(
            item_id=item,
            title=data.catalogue.titles[own.item[at]],
            time=_moment(int(own.time[at])),
            quantity=round(float(own.quantity[at]), 3),
            price=None if np.isnan(own.price[at]) else round(float(own.price[at]), 2),
        )
        for item, at in zip(data.items.external(own.item[latest]), latest, strict=True)
    )
    return Person(
        user_id=asked.user_id,
        known=row != NO_ROW,
        baskets=len(np.unique(own.basket)),
        purchases=purchases,
        events=lately[:LINES],
        release=loaded.release.id,
    )


async def forget(desk: Desk, asked: OneUser) -> Forgotten:
    """Erase the user's events and what they were shown, and stop answering from their purchases; the next training leaves them out."""
    events, exposures = await asyncio.to_thread(_forgotten, desk, asked.user_id)
    return Forgotten(user_id=asked.user_id, events=events, exposures=exposures)


def _forgotten(desk: Desk, user: str) -> tuple[int, int]:
    """How many events and exposures were erased."""
    erased = desk.events.forget(user)
    # Of whom no release knows, the shop's files may hold the first purchases already.
    forgotten.add(desk.settings.beside, user)
    for current in desk.served:
        current.take_beside()
    return erased, 0 if desk.exposures is None else desk.exposures.forget(user)


def happened(event: Event, zone: ZoneInfo, now: datetime) -> Happened:
    """What was sent as what is kept."""
    then = event.time or now
    if on_the_clock(then, zone) > on_the_clock(now, zone) + DAY:
        raise InvalidEvent(f"time: {then.isoformat()} is to come, and the nightly run would learn up to then. Send when it happened.")
    return Happened(
        event_id=event.event_id,
        kind=event.kind,
        user=event.user_id,
        item=event.item_id,
        time=on_the_clock(then, zone),
        basket=event.basket_id or "",
        quantity=event.quantity,
        price=event.price,
        impression=event.impression_id or "",
    )


def on_the_clock(moment: datetime, zone: ZoneInfo) -> int:
    """Seconds since 1970 by the shop's own wall clock, as in its purchases; a moment without a zone is told by that clock."""
    try:
        local = moment if moment.tzinfo is None else moment.astimezone(zone)
    except OverflowError:
        raise InvalidEvent(f"time: {moment.isoformat()} is in no year from 1 to 9999 by the shop's clock. Send when it happened.") from None
    return int(local.replace(tzinfo=UTC).timestamp())


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _title(recommender: Recommender, item: str) -> str:
    row = recommender.data.items.row(item)
    return "" if row == NO_ROW else recommender.data.catalogue.titles[row]
