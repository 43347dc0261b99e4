"""The feature matrix, by value, on purchases small enough to check by hand."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from purchases import bought, histories, ids, moment, queries

from cortex_rec.arrays import F32, NO_ROW, Ragged
from cortex_rec.catalogue import Catalogue, Promotions
from cortex_rec.features import item, pair, statistics, taste, user
from cortex_rec.features.statistics import Statistics

NAN = pytest.approx(float("nan"), nan_ok=True)
CATALOGUE = Catalogue.of(
    pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "title": ["apples", "bananas", "coffee", None],
            "department": ["FOOD", "FOOD", "DRINKS", None],
            "category": ["FRUIT", "FRUIT", "HOT", None],
            "subcategory": ["FRUIT", "FRUIT", "HOT", None],
            "brand": ["Own", "Hill", "Own", None],
        }
    )
)
# u0 buys a on days 0, 10, 14 (with b on 10), u1 buys c on day 12; asked on day 20.
ROWS = (
    bought("u0", "a", 0, store="s0", quantity=1.0, price=2.0, discount=0.0),
    bought("u0", "a", 10, store="s0", quantity=2.0, price=2.0, discount=0.5),
    bought("u0", "b", 10, store="s0", quantity=1.0, price=4.0, discount=0.0),
    bought("u0", "a", 14, store="s0", quantity=3.0, price=5.0, discount=0.0),
    bought("u1", "c", 12, store="s1", quantity=1.0, price=1.0, discount=0.0),
)
#: Every item for u0, then for u1.
LISTS = Ragged(np.array([0, 4, 8]), np.tile(np.arange(4, dtype=np.int32), 2))


def counts(*rows: dict[str, object], day: float = 20) -> Statistics:
    return statistics.fit(histories(*rows).before(moment(day)), CATALOGUE.codes["subcategory"], 4, 2, as_of=moment(day))


def rounded(values: F32) -> list[float]:
    return [pytest.approx(value, nan_ok=True, rel=1e-5) for value in values.tolist()]


def test_a_pair_knows_its_rhythm_quantity_and_price_and_an_item_never_bought_is_missing() -> None:
    found = pair.item_features(queries(*ROWS, day=20), LISTS, counts(*ROWS))
    of_apples = {name: float(values[0]) for name, values in found.items()}
    wanted = {
        "pair_baskets": 3,
        "pair_since_last": 6,
        "pair_since_first": 20,
        "pair_gap": 7,
        "pair_due": 6 / 7,
        "pair_due_by_item": 6 / 7,
        "pair_gap_spread": 3 / 7,
        "pair_lines_7": 1,
        "pair_lines_28": 3,
        "pair_decay_14": 2 ** (-20 / 14) + 2 ** (-10 / 14) + 2 ** (-6 / 14),
        "pair_baskets_since": 0,
        "pair_basket_share": 1,
        "pair_basket_due": 0,
        "pair_quantity": 2,
        "pair_last_quantity": 3,
        "pair_discount": 0.5 / 3,
        # Its price of the last week over what u0 paid on average.
        "pair_price_ratio": 5 / 3,
    }
    assert {name: of_apples[name] for name in wanted} == pytest.approx(wanted, rel=1e-5)
    for values in found.values():
        assert np.isnan(values[[2, 3, 4, 5, 7]]).all()


def test_the_baskets_since_a_purchase_count_those_without_it() -> None:
    found = pair.item_features(queries(*ROWS, day=20), LISTS, counts(*ROWS))
    # b was first bought in the second of three baskets, and in one of the two since.
    assert [float(found[name][1]) for name in ("pair_baskets_since", "pair_basket_share", "pair_basket_due")] == [1, 0.5, 0.5]


def test_the_groups_of_an_item_speak_for_items_that_were_never_bought() -> None:
    asked = queries(bought("u0", "a", 0), bought("u0", "a", 10), bought("u1", "c", 12), day=20)
    found = pair.group_features(asked, LISTS, CATALOGUE)
    # For u0: apples and bananas are fruit, coffee shares only the brand with apples, d has no group.
    assert found["subcategory_share"].tolist() == [1, 1, NAN, NAN, NAN, NAN, 1, NAN]
    assert found["brand_share"].tolist() == [1, NAN, 1, NAN, 1, NAN, 1, NAN]
    assert found["subcategory_since_last"][:2].tolist() == [10, 10]
    assert found["subcategory_gap"][:2].tolist() == [10, 10]
    assert found["subcategory_own_share"][:2].tolist() == [1, 0]


def test_taste_is_the_brands_share_and_the_price_level_of_what_the_user_buys_there() -> None:
    found = taste.features(queries(*ROWS, day=20), LISTS, CATALOGUE, counts(*ROWS))
    apples, bananas = 2 ** (-20 / 90) + 2 ** (-10 / 90) + 2 ** (-6 / 90), 2 ** (-10 / 90)
    own = apples / (apples + bananas)
    assert found["taste_brand_in_subcategory"].tolist() == rounded(np.array([own, 1 - own, *[np.nan] * 4, 1, np.nan]))
    assert found["taste_brand_in_category"].tolist() == rounded(found["taste_brand_in_subcategory"])
    # u0 pays 3 for apples and 4 for bananas; apples were 5 in the last week, which bananas were not sold in.
    paid = (3 * apples + 4 * bananas) / (apples + bananas)
    assert found["taste_price"][:4].tolist() == rounded(np.array([3 / paid, 4 / paid, np.nan, np.nan]))
    assert found["taste_price_to_cheapest"][:4].tolist() == rounded(np.array([5 / 3, np.nan, np.nan, np.nan]))
    assert found["taste_price_to_dearest"][:4].tolist() == rounded(np.array([5 / 4, np.nan, np.nan, np.nan]))


def test_a_user_who_bought_nothing_and_a_shop_without_prices_show_no_taste() -> None:
    stranger = taste.features(queries(*ROWS, day=20, users=(NO_ROW, NO_ROW)), LISTS, CATALOGUE, counts(*ROWS))
    assert all(np.isnan(values).all() for values in stranger.values())
    bare = (bought("u0", "a", 0), bought("u0", "b", 10))
    found = taste.features(queries(*bare, day=20), LISTS, CATALOGUE, counts(*bare))
    assert np.isfinite(found["taste_brand_in_subcategory"][:2]).all()
    assert all(np.isnan(found[name]).all() for name in found if "price" in name)


def test_a_user_is_known_by_baskets_rhythm_and_taste_for_the_known() -> None:
    found = user.features(queries(*ROWS, day=20), LISTS, counts(*ROWS))
    of_u0 = {name: float(values[0]) for name, values in found.items()}
    assert of_u0 == pytest.approx(
        {
            "user_baskets": 3,
            "user_baskets_28": 3,
            "user_since_last": 6,
            "user_since_first": 20,
            "user_gap": 7,
            "user_lines_a_basket": 4 / 3,
            "user_items": 2,
            "user_repeat_share": 0.5,
            "user_trial_share_28": 0.5,
            "user_discount": 0.125,
            # a costs 3 on average and b 4: (2 + 2 + 5) / 3 and 4 / 4 over four lines.
            "user_price_level": 1,
            "user_price": 3.25,
        },
        rel=1e-5,
    )


def test_someone_without_a_history_has_no_rhythm_and_no_baskets() -> None:
    asked = queries(*ROWS, day=20, users=(NO_ROW,))
    found = user.features(asked, Ragged(np.array([0, 1]), np.zeros(1, np.int32)), counts(*ROWS))
    assert found["user_baskets"].tolist() == [0]
    assert found["user_since_last"].tolist() == [NAN]
    assert found["user_repeat_share"].tolist() == [NAN]


def test_an_item_is_known_by_its_sales_trend_and_price() -> None:
    found = item.features(LISTS, counts(*ROWS))
    assert found["item_lines_7"][:4].tolist() == [1, 0, 0, 0]
    assert found["item_lines_28"][:4].tolist() == [3, 1, 1, 0]
    assert found["item_trend_short"][:4].tolist() == rounded(np.array([5 / 4, 1 / 2, 1 / 2, 1]))
    assert found["item_price"][:4].tolist() == [3, 4, 1, NAN]
    assert found["item_price_change"][:4].tolist() == rounded(np.array([5 / 3, np.nan, np.nan, np.nan]))
    # The two kinds of fruit cost 3.5 on average.
    assert found["item_price_in_group"][:4].tolist() == rounded(np.array([3 / 3.5, 4 / 3.5, 1, np.nan]))
    assert found["item_share_of_group"][:3].tolist() == [0.75, 0.25, 1]
    assert found["item_lines_28"][4:].tolist() == found["item_lines_28"][:4].tolist()


def test_a_store_sells_more_or_less_of_an_item_than_all_do() -> None:
    found = item.in_store(queries(*ROWS, day=20), LISTS, counts(*ROWS))
    assert found["store_lines"].tolist() == [3, 1, 0, 0, 0, 0, 1, 0]
    assert found["store_share"].tolist() == [0.75, 0.25, 0, 0, 0, 0, 1, 0]
    # u1's store sells nothing but coffee, of which all stores together sell one line in five.
    assert found["store_lift"][6] == pytest.approx(5, rel=1e-4)


def offers(*rows: tuple[str, str | None, str, str]) -> Promotions:
    """(item, store, display, mailer) of the week from day 14 to day 21."""
    schema = ["item_id", "store_id", "display", "mailer"]
    table = pl.DataFrame(list(rows), schema=dict.fromkeys(schema, pl.String), orient="row")
    times = [pl.from_epoch(pl.lit(moment(day)), "s").alias(name) for day, name in ((14, "start"), (21, "end"))]
    return Promotions.of(table.with_columns(times), ids("a", "b", "c", "d"), ids("s0", "s1"))


def test_an_offer_counts_in_its_store_only() -> None:
    found = item.on_offer(queries(*ROWS, day=20), LISTS, offers(("a", "s0", "1", "0"), ("c", "s0", "0", "A")), 2)
    assert found["offer_here"].tolist() == [1, 0, 1, 0, 0, 0, 0, 0]
    assert found["offer_display"].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert found["offer_mailer"].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    assert found["offer_stores"].tolist() == [0.5, 0, 0.5, 0] * 2
    assert found["offer_mailed_stores"].tolist() == [0, 0, 0.5, 0] * 2


def test_an_offer_without_a_store_counts_in_every_store() -> None:
    found = item.on_offer(queries(*ROWS, day=20), LISTS, offers(("b", None, "1", "A")), 2)
    assert found["offer_here"].tolist() == [0, 1, 0, 0] * 2
    assert found["offer_mailer"].tolist() == [0, 1, 0, 0] * 2
    assert found["offer_stores"].tolist() == [0, 1, 0, 0] * 2


def test_an_offer_of_a_store_that_never_sold_anything_is_nobodys() -> None:
    assert offers(("b", "s9", "1", "A"), ("a", "s1", "1", "A")).store.tolist() == [1]


def test_an_offer_of_an_item_that_is_not_listed_is_left_out() -> None:
    assert offers(("z", "s0", "1", "A"), ("a", "s1", "1", "A")).item.tolist() == [0]


def test_offers_run_from_their_start_up_to_their_end() -> None:
    week = offers(("a", "s0", "1", "A"))
    assert [len(week.active(moment(day)).item) for day in (13.9, 14, 20.9, 21)] == [0, 1, 1, 0]


def test_without_offers_there_are_no_features_of_offers() -> None:
    assert item.on_offer(queries(*ROWS, day=20), LISTS, offers(), 2) == {}


def test_the_day_of_the_month_is_that_of_the_moment() -> None:
    assert item.calendar(queries(*ROWS, day=20), LISTS)["day_of_month"].tolist() == [21] * 8


def test_an_unlisted_title_is_empty_and_a_missing_group_has_no_name() -> None:
    assert CATALOGUE.titles == ["apples", "bananas", "coffee", ""]
    assert [CATALOGUE.group_of("subcategory", row) for row in range(4)] == ["FRUIT", "FRUIT", "HOT", None]


def test_a_saved_catalogue_is_the_same(tmp_path: Path) -> None:
    CATALOGUE.save(tmp_path / "catalogue.parquet")
    again = Catalogue.load(tmp_path / "catalogue.parquet")
    assert (again.titles, again.names) == (CATALOGUE.titles, CATALOGUE.names)
    assert all(np.array_equal(again.codes[group], codes) for group, codes in CATALOGUE.codes.items())
