"""Measure the shape of a year of purchases; `python -m cortex_rec.synthesis.fit` does so for Complete Journey and writes `shape.json`."""

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from scipy.special import gammaln

from cortex_rec import columns
from cortex_rec.arrays import DAY, F64
from cortex_rec.config import CompleteJourneySource, Windows
from cortex_rec.dataset import Dataset
from cortex_rec.sources import complete_journey
from cortex_rec.synthesis.shape import MEANS, POPULARITY, Groups, Shape

_GROUP: Final = [columns.DEPARTMENT, columns.CATEGORY, columns.SUBCATEGORY]
#: Households and items with fewer lines do not tell when they came and left.
_ENOUGH: Final = 100
#: Days without a purchase after which such an item counts as not there yet, or gone.
_ABSENT: Final = 45
#: A group's mean is drawn to that of all groups as if it had so many pairs, or so many repeats, of the mean.
_PRIOR: Final = 20.0
#: Buyers of an item by which it can be told how often it is bought again.
_KNOWN: Final = 20
#: Steps after which the mixture of popularities does not change any more to speak of.
_STEPS: Final = 300
#: Parts of the households, by their number of baskets, within which the size of baskets is told.
_CLASSES: Final = 10
_QUANTILES: Final = np.linspace(0.005, 0.995, 100)


def fit(dataset: Dataset) -> Shape:
    """Measure a year.

    Parameters
    ----------
    dataset
        Interactions with baskets, stores, prices and discounts, from January 1st to December 31st, and items with their groups.
    """
    start = dataset.interactions[columns.TIMESTAMP].dt.truncate("1y").min()
    lines = (
        dataset.interactions.join(dataset.items.select(columns.ITEM, *_GROUP), on=columns.ITEM, how="left", maintain_order="left")
        .with_columns(day=(pl.col(columns.TIMESTAMP) - start).dt.total_seconds() / DAY)
        .sort(columns.TIMESTAMP, maintain_order=True)
    )
    baskets = lines.group_by(columns.USER, columns.BASKET, maintain_order=True).agg(
        pl.len().alias("lines"), pl.col("day").first(), pl.col(columns.TIMESTAMP).first(), pl.col(columns.STORE).first()
    )
    users = baskets.group_by(columns.USER, maintain_order=True).agg(
        pl.len().alias("trips"), pl.col("lines").mean(), pl.col("day").min().alias("first"), pl.col("day").max().alias("last")
    )
    trips, size = users["trips"].to_numpy().astype(np.float64), users["lines"].to_numpy()
    known = users.filter(pl.col("trips") >= np.sqrt(_ENOUGH))
    groups, popularity, favour = _groups(dataset.items, lines)
    items = lines.group_by(columns.ITEM).agg(pl.len(), pl.col("day").min().alias("first"), pl.col("day").max().alias("last"))
    items = items.filter(pl.col("len") >= _ENOUGH)
    last_day = int(lines["day"].max())  # type: ignore[arg-type]
    sure = 1 - _ABSENT / last_day
    quantity = np.bincount(lines[columns.QUANTITY].to_numpy().astype(np.int64).clip(1, 12))[1:]
    home = (
        baskets.group_by(columns.USER, columns.STORE)
        .len()
        .group_by(columns.USER)
        .agg(own=pl.col("len").max() / pl.col("len").sum(), all=pl.col("len").sum())
    )
    shares = baskets[columns.STORE].value_counts(sort=True)["count"].to_numpy()
    return Shape(
        users=users.height,
        items=dataset.items.height,
        events=lines.height,
        groups=groups,
        popularity=popularity,
        favour=favour,
        trips=np.quantile(trips, _QUANTILES),
        basket=np.array([np.quantile(part, _QUANTILES[::2]) for part in np.array_split(size[np.argsort(trips)], _CLASSES)]),
        evenness=_evenness(trips, size, float((baskets["lines"] == 1).to_numpy().mean())),
        first=np.quantile(_idle(known["first"].to_numpy(), known["trips"].to_numpy()), _QUANTILES),
        last=last_day + 1 - np.quantile(_idle(last_day + 1 - known["last"].to_numpy(), known["trips"].to_numpy()), 1 - _QUANTILES),
        day=np.bincount(lines["day"].to_numpy().astype(np.int64), minlength=last_day + 1) / lines.height,
        hour=_hours(lines[columns.TIMESTAMP]),
        home=float(np.average(home["own"].to_numpy(), weights=home["all"].to_numpy())),
        store=shares / shares.sum(),
        quantity=quantity / quantity.sum(),
        depth=np.quantile(lines.filter(pl.col(columns.DISCOUNT) > 0)[columns.DISCOUNT].to_numpy(), _QUANTILES[::5]),
        released=float((items["first"].to_numpy() > _ABSENT).mean() / sure),
        ended=float((items["last"].to_numpy() < last_day - _ABSENT).mean() / sure),
    )


def _groups(items: pl.DataFrame, lines: pl.DataFrame) -> tuple[Groups, F64, float]:
    """What is told of the groups, and how the popularity of items of one group differs."""
    lines = lines.with_columns(gap=pl.col("day").diff().over(columns.USER, columns.ITEM))
    pairs = lines.group_by(columns.USER, columns.ITEM, *_GROUP).agg(pl.len().alias("lines"))
    buyers = pairs.group_by(columns.ITEM).agg(pl.len().alias("buyers"), (pl.col("lines") - 1).sum().alias("again"))
    drawn = pl.col("buyers").map_batches(partial(_draws, pairs.group_by(columns.USER).len()["len"].to_numpy()), return_dtype=pl.Float64)
    listed = items.join(buyers, on=columns.ITEM, how="left").with_columns(pl.col("buyers").fill_null(0), pl.col("again").fill_null(0))
    told = lines.group_by(_GROUP).agg(
        pl.col("gap").filter(pl.col("gap") > 0).median(),
        pl.col("gap").filter(pl.col("gap") > 0).len().alias("gaps"),
        (pl.col(columns.PRICE) / (1 - pl.col(columns.DISCOUNT).clip(0, 0.99))).median().alias("price"),
        (pl.col(columns.DISCOUNT) > 0).mean().alias("offered"),
    )
    groups = (
        listed.group_by(_GROUP, maintain_order=True)
        .agg(pl.len().alias("items"), drawn.sum().alias("pairs"), pl.col("buyers").sum(), pl.col("again").sum())
        .join(told, on=_GROUP, how="left", nulls_equal=True)
        .sort(_GROUP)
    )
    again, bought = groups["again"].to_numpy(), groups["buyers"].to_numpy()
    mean_again = again.sum() / bought.sum()
    mean_gap = float(lines.filter(pl.col("gap") > 0)["gap"].median())  # type: ignore[arg-type]
    gap, gaps = groups["gap"].fill_null(mean_gap).to_numpy(), groups["gaps"].fill_null(0).to_numpy()
    mean = listed.select(drawn.mean().over(_GROUP)).to_series().to_numpy()
    made = Groups(
        department=tuple(groups[columns.DEPARTMENT]),
        category=tuple(groups[columns.CATEGORY]),
        subcategory=tuple(groups[columns.SUBCATEGORY]),
        items=groups["items"].to_numpy().astype(np.float64),
        pairs=groups["pairs"].to_numpy() + 0.1,
        again=(again + _PRIOR * mean_again) / (bought + _PRIOR),
        gap=np.exp((np.log(gap) * gaps + np.log(mean_gap) * _PRIOR) / (gaps + _PRIOR)),
        price=groups["price"].fill_null(groups["price"].median()).fill_nan(1.0).to_numpy().clip(0.05),
        offered=groups["offered"].fill_null(0).to_numpy(),
    )
    of_class = np.searchsorted(MEANS, mean, side="right")
    count = listed.select(drawn).to_series().round().to_numpy()
    popularity = np.array([_popularity(mean[own], count[own]) for own in (of_class == number for number in range(len(MEANS) + 1))])
    return made, popularity, _favour(listed)


def _draws(own: F64, buyers: pl.Series) -> pl.Series:
    """How many draws of an item it takes to find so many buyers, when households draw as many items as they have (`own`)."""
    grid = np.concatenate([[0.0], np.geomspace(0.01, 50 * len(own), 400)])
    found = np.array([(1 - np.exp(-draws * own / own.sum())).sum() for draws in grid])
    return pl.Series(np.interp(buyers.to_numpy(), found, grid))


def _favour(listed: pl.DataFrame) -> float:
    """The power of its popularity within its group by which an item is bought again more often than others of the group."""
    known = listed.filter(pl.col("buyers") >= _KNOWN).select(
        *_GROUP, pl.col("buyers").log().alias("x"), ((pl.col("again") + 0.5) / pl.col("buyers")).log().alias("y"), pl.col("buyers")
    )
    x, y = (known.select(pl.col(name) - pl.col(name).mean().over(_GROUP)).to_series().to_numpy() for name in "xy")
    return float((x * y).sum() / (x * x).sum())


def _popularity(mean: F64, buyers: F64) -> F64:
    """Share of items at each popularity of `POPULARITY`, then of those with exactly one buyer and of those with none, whatever chance does.

    The mixture with the largest likelihood (Kiefer and Wolfowitz 1956), of Poisson distributions and of these two, found by expectation and
    maximisation.
    """
    cases, times = np.unique(np.column_stack([mean, buyers]), axis=0, return_counts=True)
    rate = cases[:, :1] * POPULARITY + 1e-9
    log = cases[:, 1:] * np.log(rate) - rate - gammaln(cases[:, 1:] + 1)
    likelihood = np.column_stack([np.exp(log) + 1e-300, cases[:, 1] == 1, cases[:, 1] == 0])
    share = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(_STEPS):
        posterior = likelihood * share
        posterior /= posterior.sum(axis=1, keepdims=True)
        share = times @ posterior / times.sum()
    return share


def _idle(days: F64, trips: F64) -> F64:
    """Days at an end of the year on which households were no customers; a few times their usual gap are but chance."""
    gap = 365 / trips
    return np.where(days < 4 * gap, 0.0, days - gap)


def _evenness(trips: F64, size: F64, single: float) -> float:
    """Shape of the gamma distribution of a household's baskets with which so large a share has one line, found by halving."""
    low, high = 0.05, 20.0
    for _ in range(40):
        shape = float(np.sqrt(low * high))
        mean = size.copy()
        for _ in range(20):  # of all baskets, the empty ones that are never seen among them
            mean = size * (1 - (1 + mean / shape) ** -shape)
        empty = (1 + mean / shape) ** -shape
        found = np.average(mean / (1 + mean / shape) * empty / (1 - empty), weights=trips)
        low, high = (low, shape) if found < single else (shape, high)
    return shape


def _hours(times: pl.Series) -> F64:
    place = (times.dt.weekday().cast(pl.Int64) - 1) * 24 + times.dt.hour()
    counts = np.bincount(place.to_numpy(), minlength=7 * 24).reshape(7, 24)
    share: F64 = counts / counts.sum(axis=1, keepdims=True)
    return share


if __name__ == "__main__":
    fit(complete_journey.read(CompleteJourneySource(), Windows())).save(Path(__file__).parent / "shape.json")
