"""What offers did to sales, by value, on purchases small enough to check by hand."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from purchases import bought, histories, ids, moment

from cortex_rec import columns
from cortex_rec.arrays import NO_ROW, Ragged, vars_of
from cortex_rec.catalogue import Promotions
from cortex_rec.features import uplift
from cortex_rec.features.uplift import Uplift

#: a and b are of one subcategory, c of another, d of none.
SUBCATEGORY = np.array([0, 0, 1, NO_ROW], np.int32)
Offer = tuple[str, str | None, int, int, str, str]
#: b was on display in s1 in the first week, a in the mailer of s0 in the second.
OFFERS: tuple[Offer, ...] = (("b", "s1", 0, 7, "1", "0"), ("a", "s0", 7, 14, "0", "A"))
#: a sells three times in its offer, and three times outside of it: before it, and in the other store.
SOLD = (
    bought("u0", "a", 1, store="s0"),
    bought("u1", "a", 3, store="s1"),
    bought("u0", "a", 8, store="s0"),
    bought("u0", "a", 9, store="s0"),
    bought("u1", "a", 9, store="s1"),
    bought("u0", "a", 10, store="s0"),
)


def offers(*rows: Offer) -> Promotions:
    """(item, store, first day, day after the last, display, mailer)"""
    frame = pl.DataFrame(rows, schema=["item_id", "store_id", "start", "end", "display", "mailer"], orient="row")
    times = [pl.from_epoch(pl.col(name) * 86_400 + moment(0), "s").cast(columns.TIME_DTYPE).alias(name) for name in ("start", "end")]
    text = [pl.col(name).cast(pl.String) for name in ("store_id", "display", "mailer")]
    return Promotions.of(frame.with_columns(*times, *text), ids("a", "b", "c", "d"), ids("s0", "s1"))


def fitted(day: float = 14, *more: Offer) -> Uplift:
    return uplift.fit(histories(*SOLD).before(moment(day)), offers(*OFFERS, *more), SUBCATEGORY, 4, as_of=moment(day))


def test_a_lift_is_the_lines_on_offer_over_what_they_would_have_been_off_it() -> None:
    found = fitted()
    # Two stores for two weeks are four store-weeks, in one of which a was on offer: 3 + 1 lines over 3 + 2 store-weeks.
    # After the four items come the two subcategories and none: what an item of them has that neither sold nor was on offer.
    assert found.rate.tolist() == pytest.approx([0.8, 0.2, *[1 / 6] * 5])
    # 3 lines in place of 0.8, and nothing else was in the mailer, so that a, its subcategory and all agree.
    assert found.mailer.tolist() == pytest.approx([3.75] * 7)
    # Nothing was sold on display: b's 0.2 expected lines pull its subcategory, and more so itself, below 1.
    of_fruit = 5 / 5.2
    assert found.display.tolist() == pytest.approx([of_fruit, 3 * of_fruit / 3.2, 1, 1, of_fruit, 1, 1])
    assert found.mailer_share.tolist() == [0.25, *[0] * 6]


def test_what_comes_later_is_not_known_yet() -> None:
    later = fitted(14, ("a", "s1", 14, 21, "0", "A"), ("c", "s1", 30, 37, "1", "A"))
    assert all(np.array_equal(array, vars_of(fitted())[name]) for name, array in vars_of(later).items())


def test_without_an_offer_in_the_past_nothing_is_known() -> None:
    for past in (fitted(0), uplift.fit(histories(*SOLD), offers(), SUBCATEGORY, 4, as_of=moment(14))):
        assert all(np.isnan(array).all() for array in vars_of(past).values())


def test_the_offer_of_the_week_multiplies_what_the_item_sells_off_offer() -> None:
    lists = Ragged(np.array([0, 4]), np.arange(4, dtype=np.int32))
    now = {"offer_mailer": np.array([1, 1, 0, 0], np.float32), "offer_display": np.array([0, 1, 1, 0], np.float32)}
    known = Uplift(*(np.array(row, np.float32) for row in ([1, 2, 3, 4], [5, 6, 7, 8], [10, 20, 30, 40], [0.1, 0.2, 0.3, 0.4])))
    found = uplift.features(lists, known, now)
    assert found["offer_lift"].tolist() == [5, 120, 30, 1]
    assert found["offer_sales"].tolist() == [5, 240, 90, 4]
    assert found["offer_mailer_share"].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert uplift.features(lists, known, {}) == {}


def test_a_purchase_falls_into_the_offer_that_held_in_its_store_at_its_time() -> None:
    held = offers(("a", "s0", 7, 14, "0", "A"), ("a", "s0", 14, 21, "0", "B"), ("a", None, 10, 30, "1", "0"), ("b", "s1", 0, 7, "1", "0"))
    asked = [("s0", "a", 6.9), ("s0", "a", 7), ("s0", "a", 13.9), ("s0", "a", 14), ("s0", "a", 25), ("s1", "a", 12), (None, "a", 12)]
    asked += [("s1", "b", 3), ("s1", "b", 7), ("s0", "b", 3), ("s1", "d", 3)]
    store = ids("s0", "s1").rows([name or "" for name, _, _ in asked])
    item = ids("a", "b", "c", "d").rows([name for _, name, _ in asked])
    found = held.covering(store, item, np.array([moment(day) for *_, day in asked]))
    # In the order of their starts: b (0), a from 7, a everywhere (10), a from 14.
    assert found.tolist() == [NO_ROW, 1, 1, 3, 2, 2, 2, 0, NO_ROW, NO_ROW, NO_ROW]
    assert offers().covering(store, item, np.zeros(len(item), np.int64)).tolist() == [NO_ROW] * len(asked)


OFFERED = st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 1), st.integers(0, 9), st.integers(1, 9)), max_size=12)
ASKED = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2), st.integers(-3, 22)), min_size=1, max_size=12)


@given(OFFERED, ASKED)
def test_the_offer_of_a_purchase_is_the_last_started_of_its_store_else_of_all(
    offered: list[tuple[int, int, int, int]], asked: list[tuple[int, int, int]]
) -> None:
    rows = sorted(offered, key=lambda row: row[2])
    item, store, start, days = np.array(rows, np.int64).reshape(-1, 4).T
    none = np.zeros(len(rows), np.int32)
    held = Promotions(item.astype(np.int32), store.astype(np.int32), start, start + days, none, none)

    def expected(of: int, at: int, time: int) -> int:
        holding = [(row[2], n) for n, row in enumerate(rows) if row[0] == of and row[1] == at and row[2] <= time < row[2] + row[3]]
        return max(holding, default=(0, NO_ROW))[1]

    local, everywhere = ([expected(of, at, time) for of, at, time in asked], [expected(of, NO_ROW, time) for of, _, time in asked])
    of, at, time = (np.array(column, np.int64) for column in zip(*asked, strict=True))
    found = held.covering(at.astype(np.int32), of.astype(np.int32), time).tolist()
    assert found == [other if own == NO_ROW else own for own, other in zip(local, everywhere, strict=True)]


def test_a_short_offer_that_is_over_does_not_hide_a_longer_one() -> None:
    held = offers(("b", "s0", 0, 30, "0", "A"), ("b", "s0", 10, 17, "0", "A"), ("b", None, 0, 60, "0", "A"), ("b", None, 20, 22, "0", "A"))
    days = [5, 12, 17, 29, 30, 40, 21]
    found = held.covering(*(np.full(len(days), value, np.int32) for value in (0, 1)), np.array([moment(day) for day in days]))
    assert [(int(held.start[at]), int(held.end[at])) for at in found] == [
        (moment(start), moment(end)) for start, end in [(0, 30), (10, 17), (0, 30), (0, 30), (0, 60), (0, 60), (0, 30)]
    ]


def test_a_saved_uplift_is_the_same(tmp_path: Path) -> None:
    fitted().save(tmp_path / "uplift.safetensors")
    again = Uplift.load(tmp_path / "uplift.safetensors")
    assert all(np.array_equal(array, vars_of(again)[name]) for name, array in vars_of(fitted()).items())
