"""Where a check takes a day from: the shop's source, its live events, and the service's log of answers."""

from contextlib import closing
from pathlib import Path

import polars as pl

from cortex_rec import columns, events, sources
from cortex_rec.arrays import DAY
from cortex_rec.config import Config
from cortex_rec.events import exposures, learning
from cortex_rec.events.protocol import EventStore
from cortex_rec.monitoring import requests
from cortex_rec.monitoring.check import LOG_WEEKS, Seen
from cortex_rec.monitoring.raw import WEEK
from cortex_rec.releases import forgotten, places


def look(config: Config, log: Path | None, day: int) -> Seen:
    """Read what the shop tells of a day and of the time before it, as a training run would: without who asked to be forgotten.

    Parameters
    ----------
    config
        Its source, and its events where there are any.
    log
        The folder of exposures, None where none is kept.
    day
        Its first second, on the shop's own wall clock.
    """
    told = learning.without(sources.stream(config.source, config.windows), forgotten.read(places.state_of(config.releases)))
    since, until, theirs = day - LOG_WEEKS * WEEK, day + DAY, None
    if config.events is not None:
        with closing(events.open(config.events.store)) as store:
            told, _, _ = learning.join(told, learning.purchases(store), learning.newest(told))
            theirs = _events(store, since, until) if log is not None else None
    shown = None if log is None else exposures.read(log, since, until)
    dataset = told.whole()
    items = dataset.items if set(dataset.items.columns) > {columns.ITEM} else None
    return Seen(dataset.interactions, items, shown, theirs)


def _events(store: EventStore, since: int, until: int) -> pl.DataFrame:
    """What users did in [since, until), but for what they hid."""
    rows = [
        (one.kind, one.user, one.item, one.time, one.impression)
        for one in store.since(max(since, 0), ["click", "cart", "purchase", "impression"])
        if one.time < until
    ]
    return pl.DataFrame(rows, requests.EVENTS, orient="row")
