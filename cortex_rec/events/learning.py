"""Live purchases as training data: those that the shop's own files do not hold yet join its table."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import DAY
from cortex_rec.dataset import Dataset
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


def join(dataset: Dataset, live: pl.DataFrame) -> tuple[Dataset, int]:
    """Add live purchases, as `purchases` gives them, that are later than the source's last one; what came up to it is in the source.

    Of a live purchase those columns are taken that the source's table has.

    Returns
    -------
    dataset
        The same tables with more interactions, the live ones last.
    unlisted
        How many were left out because the source has no such item.
    """
    bought = dataset.interactions
    later = live if bought.is_empty() else live.filter(pl.col(columns.TIMESTAMP) > bought[columns.TIMESTAMP].max())
    listed = later.filter(pl.col(columns.ITEM).is_in(dataset.items[columns.ITEM].implode()))
    taken = listed.select([name for name in bought.columns if name in listed.columns])
    return replace(dataset, interactions=pl.concat([bought, taken], how="diagonal")), later.height - listed.height


def without(dataset: Dataset, users: Collection[str]) -> Dataset:
    """The dataset without all that its tables tell of some users."""
    if not users:
        return dataset
    tables = {
        name: table.filter(~pl.col(columns.USER).is_in(list(users)) | pl.col(columns.USER).is_null())
        for name, table in dataset.tables().items()
        if columns.USER in table.columns
    }
    return replace(dataset, **tables)


def keep(store: EventStore, dataset: Dataset, days: int) -> int:
    """Remove events that are more than some days older than the source's last purchase, but for hides; gives their number."""
    last = dataset.interactions[columns.TIMESTAMP].dt.epoch("s").max()
    return store.trim(last - days * DAY) if isinstance(last, int) else 0
