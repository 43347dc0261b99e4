"""Purchases by user, by value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from purchases import bought, days, histories, ids, moment, table

from cortex_rec.arrays import NO_ROW, Ragged, vars_of
from cortex_rec.histories import Histories, from_baskets, from_interactions

FOUR = (bought("u1", "b", 3), bought("u0", "c", 2), bought("u0", "a", 1), bought("u0", "b", 2))


def lines(of: Histories) -> list[tuple[int, int, float]]:
    """(user, item, day) of every event in its order."""
    return list(zip(of.owner.tolist(), of.item.tolist(), days(of.time), strict=True))


def test_events_are_sorted_by_user_then_time_then_item() -> None:
    assert lines(histories(*FOUR)) == [(0, 0, 1), (0, 1, 2), (0, 2, 2), (1, 1, 3)]


def test_before_leaves_out_what_happens_at_the_moment_itself() -> None:
    assert lines(histories(*FOUR).before(moment(2))) == [(0, 0, 1)]
    assert histories(*FOUR).before(moment(2)).n_users == 2


def test_numbers_before_a_moment_leave_out_what_happens_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [histories(*FOUR).numbers_before(moment(day)).tolist() for day in (1, 2, 3, 4)] == [[0, 0], [1, 0], [3, 0], [3, 1]]
    monkeypatch.setattr("cortex_rec.histories.BLOCK", 1)
    assert histories(*FOUR).numbers_before(moment(3)).tolist() == [3, 0]


def test_between_includes_its_start_and_not_its_end() -> None:
    assert lines(histories(*FOUR).between(moment(1), moment(3))) == [(0, 0, 1), (0, 1, 2), (0, 2, 2)]
    assert lines(histories(*FOUR).between(moment(2), moment(4))) == [(0, 1, 2), (0, 2, 2), (1, 1, 3)]


def test_who_came_before_a_moment_has_a_purchase_before_it() -> None:
    asked = np.array([1, NO_ROW, 0, 2, 1], np.int32)
    some = histories(*FOUR, users=("u0", "u1", "u2"))
    assert some.came_before(asked, moment(3)).tolist() == [False, False, True, False, False]
    assert some.came_before(asked, moment(3) + 1).tolist() == [True, False, True, False, True]
    assert some.came_before(asked, moment(1)).tolist() == [False] * 5


def test_take_gives_users_in_the_order_asked_for_and_nothing_for_a_negative_row() -> None:
    taken = histories(*FOUR).take(np.array([1, NO_ROW, 0, 1], np.int32))
    assert lines(taken) == [(0, 1, 3), (2, 0, 1), (2, 1, 2), (2, 2, 2), (3, 1, 3)]


def test_latest_keeps_the_last_lines_of_each_user_and_numbers_their_baskets_anew() -> None:
    two = histories(*FOUR).latest(2)
    assert lines(two) == [(0, 1, 2), (0, 2, 2), (1, 1, 3)]
    # User 0 had two baskets, and the first of them is cut off.
    assert two.basket.tolist() == [0, 0, 0]
    assert two.baskets.tolist() == [1, 1]
    assert lines(histories(*FOUR).latest(1)) == [(0, 2, 2), (1, 1, 3)]
    assert histories(*FOUR).latest(3).basket.tolist() == histories(*FOUR).basket.tolist()
    none = histories(*FOUR).latest(0)
    assert (none.n_users, len(none.item)) == (2, 0)


def test_quantity_price_discount_and_store_stay_with_their_line() -> None:
    both = histories(
        bought("u0", "b", 2, quantity=2.0, price=1.5, discount=0.1, store="s1"), bought("u0", "a", 1, quantity=5.0, price=3.0, store="s9")
    )
    assert both.quantity.tolist() == [5, 2]
    assert both.price.tolist() == [3, 1.5]
    assert both.discount.tolist() == [pytest.approx(np.nan, nan_ok=True), pytest.approx(0.1)]
    assert both.store.tolist() == [NO_ROW, 1]


def test_baskets_are_numbered_within_a_user_in_the_order_of_time_whatever_their_names() -> None:
    both = histories(
        bought("u0", "a", 5, "x"),
        bought("u0", "b", 5, "x"),
        bought("u0", "a", 1, "z"),
        bought("u0", "c", 3, "a"),
        bought("u1", "a", 9, "x"),
    )
    assert both.basket.tolist() == [0, 1, 2, 2, 0]


def test_without_basket_ids_what_is_bought_at_one_moment_is_one_basket() -> None:
    bare = table(*FOUR).drop("basket_id")
    assert from_interactions(bare, ids("u0", "u1"), ids("a", "b", "c", "d"), ids()).basket.tolist() == [0, 1, 1, 0]


def test_a_line_without_a_basket_id_belongs_to_the_basket_of_its_moment() -> None:
    rows = table(bought("u0", "a", 1), bought("u0", "b", 2), bought("u0", "c", 3), bought("u0", "d", 3))
    rows = rows.with_columns(basket_id=rows["basket_id"].scatter([0, 2, 3], None))
    assert from_interactions(rows, ids("u0"), ids("a", "b", "c", "d"), ids()).basket.tolist() == [0, 1, 2, 2]


def test_the_lines_of_two_baskets_of_one_moment_lie_together() -> None:
    both = histories(bought("u0", "a", 1, "x"), bought("u0", "b", 1, "y"), bought("u0", "c", 1, "x"), bought("u0", "a", 1, "y"))
    assert np.count_nonzero(np.diff(both.basket)) == 1


EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 5), st.integers(0, 2)), max_size=25)


@given(EVENTS, st.integers(0, 6))
def test_before_and_after_a_moment_are_the_whole(events: list[tuple[int, int, int, int]], day: int) -> None:
    whole = histories(*(bought(f"u{u}", "abcd"[i], d, f"{u}-{b}-{d}") for u, i, d, b in events), users=("u0", "u1", "u2", "u3"))
    before, after = whole.before(moment(day)), whole.between(moment(day), moment(99))
    assert sorted(lines(before) + lines(after)) == sorted(lines(whole))
    assert all(d < day for *_, d in lines(before))
    assert all(d >= day for *_, d in lines(after))


@given(EVENTS)
def test_a_later_basket_of_a_user_has_a_higher_number_and_none_is_skipped(events: list[tuple[int, int, int, int]]) -> None:
    whole = histories(*(bought(f"u{u}", "abcd"[i], d, f"{u}-{b}-{d}") for u, i, d, b in events), users=("u0", "u1", "u2", "u3"))
    for user in range(4):
        own = slice(whole.pointer[user], whole.pointer[user + 1])
        assert np.all(np.diff(whole.time[own][np.argsort(whole.basket[own], kind="stable")]) >= 0)
        assert np.unique(whole.basket[own]).tolist() == list(range(len({(b, d) for u, _, d, b in events if u == user})))


def test_a_basket_in_hand_is_the_latest_purchase_of_one_unit_without_a_price() -> None:
    whole = histories(*FOUR)
    more = whole.followed_by(from_baskets(Ragged.of([np.array([1, 3]), np.zeros(0)]), moment(9)))
    assert lines(more) == [(0, 0, 1), (0, 1, 2), (0, 2, 2), (0, 1, 9), (0, 3, 9), (1, 1, 3)]
    assert more.basket.tolist() == [0, 1, 1, 2, 2, 0]
    assert more.quantity[3:5].tolist() == [1, 1]
    assert np.isnan(more.price[3:5]).all()
    assert more.store[3:5].tolist() == [NO_ROW, NO_ROW]


def test_a_basket_in_hand_of_someone_without_a_history_is_their_first() -> None:
    nobody = histories(*FOUR).take(np.array([NO_ROW], np.int32))
    more = nobody.followed_by(from_baskets(Ragged.of([np.array([2])]), moment(9)))
    assert lines(more) == [(0, 2, 9)]
    assert more.basket.tolist() == [0]


def test_empty_baskets_change_nothing() -> None:
    whole = histories(*FOUR)
    assert whole.followed_by(from_baskets(Ragged.of([np.zeros(0)] * 2), moment(9))) is whole


@given(EVENTS, st.integers(0, 6))
def test_a_history_cut_in_two_is_whole_again_when_one_part_follows_the_other(events: list[tuple[int, int, int, int]], day: int) -> None:
    whole = histories(*(bought(f"u{u}", "abcd"[i], d, f"{u}-{d}-{b}") for u, i, d, b in events), users=("u0", "u1", "u2", "u3"))
    early, late = whole.before(moment(day)), whole.between(moment(day), moment(99))
    again = early.followed_by(late.latest(99))  # numbers baskets anew
    for name, array in vars_of(whole).items():
        assert np.array_equal(getattr(again, name), array, equal_nan=True), name
