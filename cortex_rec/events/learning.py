"""Live purchases as training data: those that the shop's own files do not hold yet join its table."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import Final

import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import DAY
from cortex_rec.dataset import Stream
from cortex_rec.events.protocol import EventStore

_COLUMNS: Final = (columns.USER, columns.ITEM, columns.TIMESTAMP, columns.BASKET, columns.QUANTITY, columns.PRICE)
_SCHEMA: Final = {name: columns.INTERACTIONS[name] for name in _COLUMNS}


def purchases(store: EventStore) -> pl.DataFrame:
    """All purchases of a store, by time: columns of `columns.INTERACTIONS`; lines of one basket, item and second are one.

    Raises
    ------
    EventsUnavailable
        If the store does not answer.
    """
    rows = [
        (one.user, one.item, datetime.fromtimestamp(one.time, UTC).replace(tzinfo=None), one.basket or None, one.quantity, one.price)
        for one in store.since(0, ["purchase"])
    ]
    line = (columns.USER, columns.ITEM, columns.TIMESTAMP, columns.BASKET)
    summed = pl.col(columns.QUANTITY).sum(), pl.col(columns.PRICE).first()
    return pl.DataFrame(rows, _SCHEMA, orient="row").group_by(line, maintain_order=True).agg(summed)


def newest(stream: Stream, before: datetime = datetime.max) -> datetime | None:
    """The time of the last purchase before a moment, None where there is none."""
    time = pl.col(columns.TIMESTAMP)
    times = [block.select(time.filter(time < before).max()).item() for block in stream.blocks()]
    return max((time for time in times if isinstance(time, datetime)), default=None)


def join(stream: Stream, live: pl.DataFrame, last: datetime | None, *, known: pl.Series | None = None) -> tuple[Stream, pl.DataFrame, int]:
    """Add live purchases, as `purchases` gives them, that are later than the source's last one; what came up to it is in the source.

    Of a live purchase those columns are taken that the source's table has.

    Parameters
    ----------
    last
        What `newest` says of the stream.
    known
        Ids of further items that count as listed: the release's, where the source has no table of items and so lists only what its lines
        of the night name.

    Returns
    -------
    stream
        The same tables with more interactions, the live ones last.
    added
        Those that joined.
    unlisted
        How many were left out because the source has no such item.
    """
    later = live if last is None else live.filter(pl.col(columns.TIMESTAMP) > last)
    rest = stream.rest
    if known is not None:
        further = later.select(columns.ITEM).filter(pl.col(columns.ITEM).is_in(known.implode()))
        items = pl.concat([rest.items, further], how="diagonal").unique(columns.ITEM, keep="first", maintain_order=True)
        rest = replace(rest, items=items)
    listed = later.filter(pl.col(columns.ITEM).is_in(rest.items[columns.ITEM].implode()))
    added = pl.concat([rest.interactions, listed], how="diagonal").select(rest.interactions.columns)
    return replace(stream, rest=rest, blocks=lambda: chain(stream.blocks(), [added])), added, later.height - listed.height


def without(stream: Stream, users: Collection[str]) -> Stream:
    """The dataset without all that its tables tell of some users."""
    if not users:
        return stream
    stays = ~pl.col(columns.USER).is_in(list(users)) | pl.col(columns.USER).is_null()
    tables = {name: table.filter(stays) for name, table in stream.rest.tables().items() if columns.USER in table.columns}
    return replace(stream.each(lambda lines: lines.filter(stays)), rest=replace(stream.rest, **tables))


def keep(store: EventStore, last: datetime | None, days: int) -> int:
    """Remove events that are more than some days older than the source's last purchase, but for hides; gives their number."""
    return 0 if last is None else store.trim(int(last.replace(tzinfo=UTC).timestamp()) - days * DAY)
