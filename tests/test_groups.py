"""Repeat timing of (user, item) pairs, the usual store and everybody's counts: by value, against figures worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from purchases import bought, histories, moment, queries

from cortex_rec.arrays import NO_ROW
from cortex_rec.features import statistics
from cortex_rec.features.groups import ages, decayed, group, mean_of
from cortex_rec.features.timing import decay, gap_spread, recent, timing
from cortex_rec.queries import usual_store

# u0 buys a on days 0, 10 and 14, with b on day 10; u1 buys b once, on day 12. Asked on day 20.
WEEKS = (bought("u0", "a", 0), bought("u0", "a", 10), bought("u0", "b", 10), bought("u0", "a", 14), bought("u1", "b", 12))
NAN = pytest.approx(float("nan"), nan_ok=True)


def test_events_are_summed_up_by_user_and_item() -> None:
    pairs = queries(*WEEKS, day=20).items
    assert list(zip(pairs.owner.tolist(), pairs.member.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 1)]
    assert pairs.rows.tolist() == [3, 1, 1]
    assert pairs.baskets.tolist() == [3, 1, 1]
    assert pairs.first.tolist() == [moment(0), moment(10), moment(12)]
    assert pairs.last.tolist() == [moment(14), moment(10), moment(12)]
    assert pairs.last_basket.tolist() == [2, 1, 0]


def test_two_lines_of_one_basket_count_as_one_basket() -> None:
    pairs = queries(bought("u0", "a", 1, "x"), bought("u0", "a", 1, "x"), bought("u0", "a", 1, "y"), day=2).items
    assert (pairs.rows.tolist(), pairs.baskets.tolist()) == ([3], [2])


def test_a_pair_is_found_and_an_absent_or_unknown_one_is_not() -> None:
    pairs = queries(*WEEKS, day=20).items
    assert pairs.find(np.array([0, 1, 1, 0]), np.array([1, 1, 0, NO_ROW], np.int32)).tolist() == [1, 2, NO_ROW, NO_ROW]
    assert queries(day=20).items.find(np.array([0]), np.array([1], np.int32)).tolist() == [NO_ROW]


def test_events_without_a_member_belong_to_no_entry() -> None:
    of = histories(*WEEKS)
    code = np.array([NO_ROW, 5, 5, 5], np.int32)
    groups = group(of, code[of.item], 6)
    assert groups.key.tolist() == [5, 11]
    assert groups.rows.tolist() == [1, 1]
    assert groups.total(np.ones(5)).tolist() == [1, 1]


def test_gap_is_the_mean_interval_and_due_is_the_time_since_in_units_of_it() -> None:
    asked = queries(*WEEKS, day=20)
    when = timing(asked.items, asked)
    assert when.since_last.tolist() == [6, 10, 8]
    assert when.since_first.tolist() == [20, 10, 8]
    assert when.gap.tolist() == [7, NAN, NAN]
    assert when.due.tolist() == [pytest.approx(6 / 7), NAN, NAN]


def test_two_baskets_at_one_moment_are_an_hour_apart() -> None:
    asked = queries(bought("u0", "a", 1, "x"), bought("u0", "a", 1, "y"), day=2)
    assert timing(asked.items, asked).gap.tolist() == [pytest.approx(1 / 24)]


def test_spread_is_the_deviation_of_the_intervals_over_their_mean() -> None:
    asked = queries(*WEEKS, day=20)
    assert gap_spread(asked.items, asked).tolist() == [pytest.approx(3 / 7), NAN, NAN]


def test_a_regular_rhythm_has_no_spread() -> None:
    asked = queries(*(bought("u0", "a", day) for day in (0, 7, 14, 21)), day=22)
    assert gap_spread(asked.items, asked).tolist() == [pytest.approx(0, abs=1e-6)]


def test_two_lines_of_one_basket_are_no_interval() -> None:
    twice = queries(*WEEKS, bought("u0", "a", 10), day=20)
    assert gap_spread(twice.items, twice)[0] == pytest.approx(3 / 7)


def test_recent_counts_the_last_days_and_decay_halves_with_each_half_life() -> None:
    asked = queries(*WEEKS, day=20)
    assert recent(asked.items, asked, 10).tolist() == [2, 1, 1]
    assert recent(asked.items, asked, 9).tolist() == [1, 0, 1]
    assert decay(asked.items, asked, 10).tolist() == pytest.approx([2**-2 + 2**-1 + 2**-0.6, 2**-1, 2**-0.8])
    assert decayed(np.array([0.0, 5.0, 10.0]), 5).tolist() == [1, 0.5, 0.25]


def test_a_mean_counts_only_events_that_have_a_value() -> None:
    of = histories(bought("u0", "a", 1, price=2.0), bought("u0", "a", 2), bought("u0", "a", 3, price=4.0), bought("u0", "b", 3))
    assert mean_of(of.price, group(of, of.item, 4)).tolist() == [3, NAN]


def test_ages_are_days_to_the_moment() -> None:
    assert ages(histories(*WEEKS), moment(20)).tolist() == [20, 10, 10, 6, 8]


def test_what_is_not_before_the_moment_is_not_part_of_a_query() -> None:
    assert queries(*WEEKS, day=12).items.rows.tolist() == [2, 1]


def test_the_usual_store_is_the_one_of_most_lines_where_late_ones_count_more() -> None:
    of = histories(
        *(bought("u0", "a", day, store="s0") for day in (0, 1, 2)),
        *(bought("u0", "a", day, store="s1") for day in (98, 99)),
        bought("u1", "a", 5),
    )
    assert usual_store(of.before(moment(3)), moment(3)).tolist() == [0, NO_ROW]
    assert usual_store(of, moment(100)).tolist() == [1, NO_ROW]


def test_equal_stores_give_the_first_and_no_stores_give_none() -> None:
    assert usual_store(histories(bought("u0", "a", 1, store="s1"), bought("u0", "b", 1, store="s0")), moment(2)).tolist() == [0, NO_ROW]
    assert usual_store(histories(*WEEKS), moment(20)).tolist() == [NO_ROW, NO_ROW]
    assert usual_store(histories(), moment(20)).tolist() == [NO_ROW, NO_ROW]


def counts() -> statistics.Statistics:
    """As of day 100; item a sells in s0, b in s1, c long ago, d never; a and b are one subcategory."""
    of = histories(
        bought("u0", "a", 10, store="s0", price=1.0, discount=0.0),
        bought("u0", "a", 40, store="s0", price=2.0, discount=0.5),
        bought("u0", "a", 80, store="s0", price=4.0, discount=0.0),
        bought("u1", "a", 93, store="s0", price=6.0, discount=0.0),
        bought("u1", "b", 99, store="s1", price=3.0),
        bought("u1", "b", 99, store="s1", price=5.0),
        bought("u0", "c", 1, store="s0"),
    )
    return statistics.fit(of, np.array([0, 0, 1, NO_ROW], np.int32), 4, 2, as_of=moment(100))


def test_lines_and_buyers_are_counted_in_each_span() -> None:
    assert counts().lines.tolist() == [[1, 2, 4], [2, 2, 2], [0, 0, 0], [0, 0, 0]]
    assert counts().buyers.tolist() == [[1, 2, 2], [1, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_an_item_is_listed_since_its_first_and_idle_since_its_last_purchase() -> None:
    assert counts().days_listed.tolist() == [90, 1, 99, NAN]
    assert counts().days_idle.tolist() == [7, 1, 99, NAN]


def test_the_gap_of_an_item_is_over_all_pairs_that_repeated() -> None:
    assert counts().gap_days.tolist() == [35, NAN, NAN, NAN]


def test_an_item_knows_the_price_and_the_lines_of_its_subcategory() -> None:
    assert counts().group_price.tolist() == [3.625, 3.625, NAN, NAN]
    assert counts().group_lines.tolist() == [4, 4, 0, NAN]


def test_a_trial_is_the_first_purchase_of_an_item_by_a_user() -> None:
    assert counts().trials.tolist() == [[1, 1, 2], [1, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_the_repeat_share_is_shrunk_to_the_mean() -> None:
    # In 91 days: a has two buyers and one who came again, b one buyer with two lines; the mean over pairs is 2 of 3.
    assert counts().repeat_share.tolist() == pytest.approx([(1 + 20 / 3) / 12, (1 + 20 / 3) / 11, 2 / 3, 2 / 3])


def test_prices_are_means_of_the_longest_and_the_shortest_span() -> None:
    assert counts().price.tolist() == [3.25, 4, NAN, NAN]
    assert counts().recent_price.tolist() == [6, 4, NAN, NAN]
    assert counts().discount.tolist() == [0.125, NAN, NAN, NAN]


def test_a_store_knows_its_own_lines_and_an_unknown_store_none() -> None:
    stores, items = np.array([0, 0, 1, NO_ROW], np.int32), np.array([0, 1, 1, 1], np.int32)
    lines, lately = counts().in_store(stores, items)
    assert lines.tolist() == [2, 0, 2, NAN]
    assert lately.tolist() == [1, 0, 2, NAN]
    assert counts().store_total.tolist() == [2, 2]


def test_statistics_are_saved_whole(tmp_path: Path) -> None:
    counts().save(tmp_path / "statistics")
    again = statistics.Statistics.load(tmp_path / "statistics")
    assert all(getattr(again, name).tobytes() == value.tobytes() for name, value in vars(counts()).items())


LINES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 9), st.integers(0, 1)), max_size=20)


@given(LINES)
def test_every_pair_equals_a_count_by_hand(lines: list[tuple[int, int, int, int]]) -> None:
    rows = [bought(f"u{u}", "abcd"[i], day, f"{day}-{b}") for u, i, day, b in lines]
    asked = queries(*rows, day=10)
    pairs, when = asked.items, timing(asked.items, asked)
    spread = gap_spread(pairs, asked)
    assert len(pairs) == len({(u, i) for u, i, *_ in lines})
    for entry, (owner, member) in enumerate(zip(pairs.owner, pairs.member, strict=True)):
        own = [(day, b) for u, i, day, b in lines if (u, i) == (owner, member)]
        baskets = sorted(set(own))
        assert (pairs.rows[entry], pairs.baskets[entry]) == (len(own), len(baskets))
        assert (when.since_last[entry], when.since_first[entry]) == (10 - baskets[-1][0], 10 - baskets[0][0])
        steps = np.diff([day for day, _ in baskets])
        if len(steps) == 0:
            assert np.isnan(when.gap[entry])
        else:
            assert when.gap[entry] == pytest.approx(max(steps.mean(), 1 / 24))
        if len(steps) > 1:
            assert spread[entry] == pytest.approx(steps.std() / max(steps.mean(), 1 / 24), abs=1e-6)
        else:
            assert np.isnan(spread[entry])
