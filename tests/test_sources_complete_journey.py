"""The Complete Journey source on the real data."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from cortex_rec import sources
from cortex_rec.config import CompleteJourneySource, Windows
from cortex_rec.dataset import Dataset
from cortex_rec.errors import DataError
from cortex_rec.sources import complete_journey
from cortex_rec.sources.shelf_words import readable


@pytest.fixture(scope="module")
def year() -> Dataset:
    return sources.read(CompleteJourneySource(), Windows())


@pytest.fixture(scope="module")
def raw() -> pl.DataFrame:
    return pl.read_parquet(complete_journey.data_folder() / "transactions.parquet")


def test_the_protocol_keeps_its_rows_products_and_households(year: Dataset) -> None:
    bought = year.interactions
    assert (bought.height, bought["item_id"].n_unique(), bought["user_id"].n_unique()) == (1_442_237, 67_854, 2_467)


def test_every_bought_item_is_in_the_catalogue_once_and_no_excluded_department_is(year: Dataset) -> None:
    assert set(year.interactions["item_id"].unique()) <= set(year.items["item_id"])
    assert year.items["item_id"].is_unique().all()
    assert not set(year.items["department"].unique()) & {"FUEL", "MISCELLANEOUS", "COUPON"}


def test_week_w_of_the_data_is_the_calendar_week_of_its_monday_in_new_york(raw: pl.DataFrame) -> None:
    local = pl.col("transaction_timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    week = (local - complete_journey.FIRST_MONDAY).dt.total_days() // 7 + 1
    assert raw.filter(week != pl.col("week")).is_empty()
    assert raw.filter(pl.col("week") == 1).select(local.dt.date().n_unique()).item() == 1


def test_price_and_discount_of_a_line_can_be_checked_by_hand(raw: pl.DataFrame, year: Dataset) -> None:
    # 2 units, paid 3.55, card took 1.78, coupon .55, coupon match .45 off: shelf price 5.78, of which 2.78 were taken.
    line = raw.filter((pl.col("coupon_disc") == 0.55) & (pl.col("coupon_match_disc") == 0.45) & (pl.col("sales_value") == 3.55)).row(
        0, named=True
    )
    mine = year.interactions.filter((pl.col("basket_id") == str(line["basket_id"])) & (pl.col("item_id") == str(line["product_id"])))
    assert mine["quantity"].item() == 2
    assert mine["price"].item() == pytest.approx(3.55 / 2)
    assert mine["discount"].item() == pytest.approx(2.78 / 5.78)
    assert year.interactions["discount"].drop_nulls().is_between(0, 1).all()


def test_promotions_are_whole_weeks_around_the_windows_of_the_run(year: Dataset) -> None:
    starts = year.promotions["start"].unique().sort().to_list()
    assert starts == [datetime(2017, 9, 25) + timedelta(weeks=i) for i in range(14)]
    assert ((year.promotions["end"] - year.promotions["start"]) == timedelta(days=7)).all()
    earlier = sources.read(CompleteJourneySource(household_stride=50), Windows(end=datetime(2017, 12, 4), training=1))
    weeks = earlier.promotions["start"].unique().sort().to_list()
    # One training window, eight to look back, the test window within them, and the week after its end.
    assert weeks == [datetime(2017, 10, 2) + timedelta(weeks=i) for i in range(10)]


def test_campaigns_hold_for_their_households_through_their_last_day(year: Dataset) -> None:
    assert (year.campaigns.height, year.campaigns["campaign_id"].n_unique(), year.coupons.height) == (6_589, 27, 116_204)
    # Campaign 18, 2017-10-30 to 2017-12-24, went to 1,133 households.
    of_18 = year.campaigns.filter(pl.col("campaign_id") == "18")
    assert (of_18.height, of_18["user_id"].n_unique()) == (1_133, 1_133)
    assert of_18.select("start", "end").unique().row(0) == (datetime(2017, 10, 30), datetime(2017, 12, 25))
    assert year.coupons.filter(pl.col("campaign_id") == "18")["item_id"].n_unique() == 35_513


def test_a_slice_keeps_households_divisible_by_the_stride_and_is_the_same_twice(year: Dataset) -> None:
    one, two = (sources.read(CompleteJourneySource(household_stride=50), Windows()) for _ in range(2))
    assert one.interactions.equals(year.interactions.filter(pl.col("user_id").cast(pl.Int64) % 50 == 0))
    assert all(one.tables()[name].equals(two.tables()[name]) for name in one.tables())


def test_a_slice_without_households_says_what_to_change() -> None:
    with pytest.raises(DataError, match="Lower the one or shorten the other"):
        sources.read(CompleteJourneySource(household_stride=100_000), Windows())


def test_titles_are_words_not_shelf_labels(year: Dataset) -> None:
    titles = dict(year.items.select("item_id", "title").iter_rows())
    assert titles["26190"] == "apple sauce, fruit shelf stable, 50 oz, store brand"
    assert readable(pl.Series(["FRZN SS PREMIUM ENTREES/DNRS/N", None])).to_list() == [
        "frozen single serve premium entrees dinners n",
        None,
    ]
