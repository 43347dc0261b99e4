"""What can go wrong with a day, planted into a shop's real purchases, items, requests or served state."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import DAY
from cortex_rec.features import statistics as item_statistics
from cortex_rec.monitoring.check import Seen
from cortex_rec.recommender import Recommender

#: Bots and what each of them buys, or asks for, in a day.
BOTS: Final = 3
BOT_EVENTS: Final = 2_000
STALE_WEEKS: Final = 2
#: The name of the user of a bot's requests.
BOT: Final = "bot-"


@dataclass(frozen=True)
class Day:
    """What a check is given; `first` is the day from which the fault holds."""

    seen: Seen
    recommender: Recommender
    first: int


Fault = Callable[[Day], Day]


def price_in_cents(day: Day) -> Day:
    """Every price a hundredfold."""
    return _bought(day, pl.when(_from(day)).then(pl.col(columns.PRICE) * 100).otherwise(pl.col(columns.PRICE)).alias(columns.PRICE))


def store_missing(rank: int) -> Fault:
    """No purchase of the store that had so many stores above it by baskets of the four weeks before."""

    def plant(day: Day) -> Day:
        as_of = day.recommender.snapshot.as_of
        lately = day.seen.bought.filter(_seconds().is_between(as_of - 28 * DAY, as_of - 1))
        by_size = lately.group_by(columns.STORE).agg(pl.col(columns.BASKET).n_unique()).sort(columns.BASKET, columns.STORE, descending=True)
        gone = by_size[columns.STORE][rank]
        return replace(day, seen=replace(day.seen, bought=day.seen.bought.filter(~(_from(day) & (pl.col(columns.STORE) == gone)))))

    return plant


def category_renamed(rank: int) -> Fault:
    """Another name for the category that had so many above it by lines of the four weeks before."""

    def plant(day: Day) -> Day:
        as_of, items = day.recommender.snapshot.as_of, day.seen.items
        assert items is not None
        lately = day.seen.bought.filter(_seconds().is_between(as_of - 28 * DAY, as_of - 1))
        of_line = lately.join(items, on=columns.ITEM).drop_nulls(columns.CATEGORY)
        lines = of_line.group_by(columns.CATEGORY).len().sort("len", columns.CATEGORY, descending=True)
        named = items.with_columns(pl.col(columns.CATEGORY).replace({lines[columns.CATEGORY][rank]: "A NEW NAME"}))
        return replace(day, seen=replace(day.seen, items=named))

    return plant


def buying_bots(day: Day) -> Day:
    """A few new users who buy what there is, thousands of lines each."""
    rng = np.random.default_rng(day.first)
    own = day.seen.bought.filter(_from(day))
    chosen = own[rng.integers(0, own.height, BOTS * BOT_EVENTS)]
    names = [f"{BOT}{number}" for number in range(BOTS) for _ in range(BOT_EVENTS)]
    made = chosen.with_columns(pl.Series(columns.USER, names), pl.Series(columns.BASKET, names))
    return replace(day, seen=replace(day.seen, bought=pl.concat([day.seen.bought, made])))


def asking_bots(day: Day) -> Day:
    """A few users who ask, thousands of times each, and never buy."""
    shown = day.seen.exposures
    assert shown is not None
    rng = np.random.default_rng(day.first)
    own = shown.filter(pl.col("time") >= day.first)
    made = own[rng.integers(0, own.height, BOTS * BOT_EVENTS)].with_columns(
        pl.Series("user", [f"{BOT}{number}" for number in range(BOTS) for _ in range(BOT_EVENTS)]),
        pl.Series("impression", [f"{BOT}{number}" for number in range(BOTS * BOT_EVENTS)]),
    )
    return replace(day, seen=replace(day.seen, exposures=pl.concat([shown, made])))


def clicks_lost(day: Day) -> Day:
    """Events that have lost the answer that they followed."""
    events = day.seen.events
    assert events is not None
    lost = pl.when(pl.col("time") >= day.first).then(pl.lit("")).otherwise(pl.col("impression")).alias("impression")
    return replace(day, seen=replace(day.seen, events=events.with_columns(lost)))


def stale_statistics(day: Day) -> Day:
    """What is served of items is some weeks old; all else is of the release's moment."""
    data, snapshot = day.recommender.data, day.recommender.snapshot
    then = snapshot.as_of - STALE_WEEKS * 7 * DAY
    old = item_statistics.fit(
        data.histories.before(then), data.catalogue.codes[columns.SUBCATEGORY], len(data.items), len(data.stores), as_of=then
    )
    return replace(day, recommender=replace(day.recommender, snapshot=replace(snapshot, statistics=old)))


def stale_histories(day: Day) -> Day:
    """What is served of users ends some weeks before the release's moment."""
    data = day.recommender.data
    then = day.recommender.snapshot.as_of - STALE_WEEKS * 7 * DAY
    return replace(day, recommender=replace(day.recommender, data=replace(data, histories=data.histories.before(then))))


def frozen(name: str) -> Fault:
    """One of the served item statistics stuck at its mean: the features that read it are the same for all items."""

    def plant(day: Day) -> Day:
        snapshot = day.recommender.snapshot
        values = getattr(snapshot.statistics, name)
        stuck = np.full_like(values, np.nanmean(values))
        statistics = replace(snapshot.statistics, **{name: stuck})
        return replace(day, recommender=replace(day.recommender, snapshot=replace(snapshot, statistics=statistics)))

    return plant


#: By name; those of the first group need purchases alone, of the second the release's answers, of the third the log of answers.
OF_PURCHASES: Final[dict[str, Fault]] = {
    "price column in cents": price_in_cents,
    "store missing, the largest": store_missing(0),
    "store missing, the 10th": store_missing(9),
    "store missing, the 50th": store_missing(49),
    "category renamed, the largest": category_renamed(0),
    "category renamed, the 30th": category_renamed(29),
    "bots that buy": buying_bots,
    "stale item statistics": stale_statistics,
    "stale histories": stale_histories,
}
OF_ANSWERS: Final[dict[str, Fault]] = {f"frozen feature, {name}": frozen(name) for name in ("lines", "repeat_share", "discount", "trials")}
OF_REQUESTS: Final[dict[str, Fault]] = {"bots that ask": asking_bots, "clicks lost": clicks_lost}


def _bought(day: Day, expression: pl.Expr) -> Day:
    return replace(day, seen=replace(day.seen, bought=day.seen.bought.with_columns(expression)))


def _seconds() -> pl.Expr:
    return pl.col(columns.TIMESTAMP).dt.epoch("s")


def _from(day: Day) -> pl.Expr:
    return _seconds() >= day.first
