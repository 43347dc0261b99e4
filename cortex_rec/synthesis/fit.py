"""Measure the shape of a year of purchases; `python -m cortex_rec.synthesis.fit` does so for Complete Journey and writes `shape.json`."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import DAY, F64
from cortex_rec.config import CompleteJourneySource, Windows
from cortex_rec.dataset import Dataset
from cortex_rec.sources import complete_journey
from cortex_rec.synthesis.shape import Groups, Shape

_GROUP: Final = [columns.DEPARTMENT, columns.CATEGORY, columns.SUBCATEGORY]
#: Households and items with fewer lines do not tell when they came and left.
_ENOUGH: Final = 100
#: Days without a purchase after which such an item counts as not there yet, or gone.
_ABSENT: Final = 45
#: A group's mean is drawn to that of all groups as if it had so many pairs, or so many repeats, of the mean.
_PRIOR: Final = 20.0
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
    known = users.filter(pl.col("trips") >= np.sqrt(_ENOUGH))
    groups, spread = _groups(dataset.items, lines)
    items = lines.group_by(columns.ITEM).agg(pl.len(), pl.col("day").min().alias("first"), pl.col("day").max().alias("last"))
    items = items.filter(pl.col("len") >= _ENOUGH)
    last_day = int(lines["day"].max())  # type: ignore[arg-type]
    sure = 1 - _ABSENT / last_day
    quantity = np.bincount(lines[columns.QUANTITY].to_numpy().astype(np.int64).clip(1, 12))[1:]
    shares = baskets[columns.STORE].value_counts(sort=True)["count"].to_numpy()
    ranks = np.log(np.arange(1, len(shares) + 1))
    return Shape(
        users=users.height,
        items=dataset.items.height,
        events=lines.height,
        stores=len(shares),
        groups=groups,
        spread=spread,
        trips=np.quantile(users["trips"].to_numpy(), _QUANTILES),
        basket=np.quantile(known["lines"].to_numpy(), _QUANTILES),
        evenness=_evenness(baskets),
        first=np.quantile(known["first"].to_numpy(), _QUANTILES),
        last=np.quantile(known["last"].to_numpy(), _QUANTILES),
        day=np.bincount(baskets["day"].to_numpy().astype(np.int64), minlength=last_day + 1) / baskets.height,
        hour=_hours(baskets[columns.TIMESTAMP]),
        home=float(
            baskets.group_by(columns.USER, columns.STORE).len().group_by(columns.USER).agg(pl.col("len").max())["len"].sum()
            / baskets.height
        ),
        store=-float(np.polyfit(ranks[: len(ranks) // 2], np.log(shares[: len(ranks) // 2]), 1)[0]),
        quantity=quantity / quantity.sum(),
        depth=np.quantile(lines.filter(pl.col(columns.DISCOUNT) > 0)[columns.DISCOUNT].to_numpy(), _QUANTILES[::5]),
        released=float((items["first"].to_numpy() > _ABSENT).mean() / sure),
        ended=float((items["last"].to_numpy() < last_day - _ABSENT).mean() / sure),
    )


def _groups(items: pl.DataFrame, lines: pl.DataFrame) -> tuple[Groups, float]:
    """What is told of the groups, and how much the popularity of items of one group differs."""
    n_users = lines[columns.USER].n_unique()
    lines = lines.with_columns(gap=pl.col("day").diff().over(columns.USER, columns.ITEM))
    pairs = lines.group_by(columns.USER, columns.ITEM, *_GROUP).agg(pl.len().alias("lines"))
    buyers = pairs.group_by(columns.ITEM).agg(pl.len().alias("buyers"), (pl.col("lines") - 1).sum().alias("again"))
    # Of a pool of n_users, `drawn` independent draws with replacement reach `buyers` different ones.
    drawn = -(1 - (pl.col("buyers") / (n_users + 1))).log() * n_users
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
    return made, _spread(mean, float((listed["buyers"] == 0).mean()))  # type: ignore[arg-type]


def _spread(mean: F64, unsold: float) -> float:
    """The spread of log popularity with which as many listed items go unsold as did, found by halving."""
    noise = np.random.default_rng(0).standard_normal(len(mean))
    low, high = 0.0, 5.0
    for _ in range(30):
        middle = (low + high) / 2
        found = np.exp(-mean * np.exp(middle * noise - middle**2 / 2)).mean()
        low, high = (middle, high) if found < unsold else (low, middle)
    return (low + high) / 2


def _evenness(baskets: pl.DataFrame) -> float:
    """Shape of the gamma distribution of a household's baskets, chance of single lines taken off."""
    surplus = baskets.group_by(columns.USER).agg(pl.col("lines").mean().alias("mean"), pl.col("lines").var().alias("var"), pl.len())
    surplus = surplus.filter(pl.col("len") >= np.sqrt(_ENOUGH))
    weight = surplus["len"].to_numpy()
    mean, variance = surplus["mean"].to_numpy(), surplus["var"].to_numpy()
    return float((weight * mean**2).sum() / (weight * (variance - mean)).sum())


def _hours(times: pl.Series) -> F64:
    place = (times.dt.weekday().cast(pl.Int64) - 1) * 24 + times.dt.hour()
    counts = np.bincount(place.to_numpy(), minlength=7 * 24).reshape(7, 24)
    share: F64 = counts / counts.sum(axis=1, keepdims=True)
    return share


if __name__ == "__main__":
    fit(complete_journey.read(CompleteJourneySource(), Windows())).save(Path(__file__).parent / "shape.json")
