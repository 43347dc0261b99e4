"""Coupons sent to people: by value, on campaigns small enough to check by hand."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from purchases import bought, ids, moment, queries

from cortex_rec import columns
from cortex_rec.arrays import NO_ROW, Ragged, vars_of
from cortex_rec.catalogue import Catalogue
from cortex_rec.coupons import Coupons
from cortex_rec.dataset import empty
from cortex_rec.features import coupons

NAN = pytest.approx(float("nan"), nan_ok=True)
CATALOGUE = Catalogue.of(pl.DataFrame({"item_id": ["a", "b", "c", "d"], "subcategory": ["FRUIT", "FRUIT", "HOT", None]}))
#: (campaign, user, first day, day after the last)
SENT = (("spring", "u0", 10, 24), ("spring", "u1", 10, 24), ("tea", "u0", 14, 22), ("summer", "u1", 21, 40), ("past", "u0", 0, 20))
#: (campaign, item); b is in two coupons of spring
OF = (("spring", "a"), ("spring", "b"), ("spring", "b"), ("tea", "b"), ("tea", "d"), ("summer", "c"), ("past", "c"))
LISTS = Ragged(np.array([0, 4, 8]), np.tile(np.arange(4, dtype=np.int32), 2))


def sent(*rows: tuple[str, str, int, int]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["campaign_id", "user_id", "start", "end"], orient="row")
    return frame.with_columns(
        pl.from_epoch(pl.col(name) * 86_400 + moment(0), "s").cast(columns.TIME_DTYPE).alias(name) for name in ("start", "end")
    )


def made(*rows: tuple[str, str, int, int], of: tuple[tuple[str, str], ...] = OF) -> Coupons:
    campaigns = sent(*rows) if rows else empty(columns.CAMPAIGNS)
    for_items = pl.DataFrame(of, schema=columns.COUPONS, orient="row")
    return Coupons.of(campaigns, for_items, ids("u0", "u1"), ids("a", "b", "c", "d"), CATALOGUE.codes["subcategory"])


def test_a_user_has_the_coupons_of_the_running_campaigns_that_it_was_sent() -> None:
    asked = queries(bought("u0", "a", 1), day=20)
    found = coupons.features(asked, LISTS, made(*SENT).active(moment(20), 4), CATALOGUE)
    assert found["coupon_count"].tolist() == [1, 3, 0, 1, 1, 2, 0, 0]
    # b is in spring, four days to go, and in tea, two days.
    assert found["coupon_days_left"].tolist() == [4, 2, NAN, 2, 4, 4, NAN, NAN]
    # Spring has coupons for both kinds of fruit, tea for one; d has no subcategory.
    assert found["coupon_subcategory_items"].tolist() == [3, 3, 0, 0, 2, 2, 0, 0]
    assert found["coupon_campaigns"].tolist() == [2] * 4 + [1] * 4


def test_a_campaign_holds_from_its_start_up_to_its_end() -> None:
    running = {day: made(*SENT).active(moment(day), 4) for day in (9.9, 10, 21.9, 22)}
    assert [len(each.user) for each in running.values()] == [1, 3, 4, 3]
    assert [len(each.item_key) for each in running.values()] == [1, 3, 5, 3]


def test_who_was_sent_nothing_and_who_is_unknown_has_no_coupon() -> None:
    asked = queries(bought("u0", "a", 1), day=20, users=(1, NO_ROW))
    found = coupons.features(asked, LISTS, made(SENT[0]).active(moment(20), 4), CATALOGUE)
    assert found["coupon_campaigns"].tolist() == [0] * 8
    assert found["coupon_count"].tolist() == [0] * 8
    assert np.isnan(found["coupon_days_left"]).all()


def test_the_features_are_there_while_no_campaign_runs_and_absent_in_a_shop_without_campaigns() -> None:
    asked = queries(bought("u0", "a", 1), day=90)
    quiet = coupons.features(asked, LISTS, made(*SENT).active(moment(90), 4), CATALOGUE)
    assert quiet["coupon_count"].tolist() == [0] * 8
    assert coupons.features(asked, LISTS, made(of=()).active(moment(90), 4), CATALOGUE) == {}


def test_unknown_users_and_items_are_left_out() -> None:
    strange = made(("spring", "u9", 10, 24), ("spring", "u1", 10, 24), of=(("spring", "z"), ("autumn", "a"), ("spring", "c")))
    assert strange.user.tolist() == [1]
    assert strange.item_key.tolist() == [2]


def test_a_batch_gives_the_bits_of_its_single_users() -> None:
    running = made(*SENT).active(moment(20), 4)
    rows = (bought("u0", "a", 1), bought("u1", "b", 2))
    both = coupons.features(queries(*rows, day=20), LISTS, running, CATALOGUE)
    for user in (0, 1):
        alone = coupons.features(queries(*rows, day=20, users=(user,)), Ragged(np.array([0, 4]), LISTS[user]), running, CATALOGUE)
        for name, values in alone.items():
            assert values.tobytes() == both[name][user * 4 : user * 4 + 4].tobytes()


def test_saved_coupons_are_the_same(tmp_path: Path) -> None:
    made(*SENT).save(tmp_path / "coupons.safetensors")
    again = Coupons.load(tmp_path / "coupons.safetensors")
    assert all(np.array_equal(array, vars_of(again)[name]) for name, array in vars_of(made(*SENT)).items())
