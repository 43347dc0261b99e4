"""Distances, bins and thresholds of monitoring, by values that can be checked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_rec.monitoring import distances, stores, thresholds
from cortex_rec.monitoring.bins import Names, Steps, from_dict
from cortex_rec.monitoring.profiles import Profile, Profiles
from cortex_rec.monitoring.raw import NEW, Named, Raw, layout
from cortex_rec.monitoring.signals import Rule, signals

DAY = 86_400
RULE = Rule(memory=2, by_weekday=True, scales={"lines": "count"})
COUNTS = st.lists(st.integers(0, 1_000), min_size=2, max_size=8)


def test_psi_is_what_the_formula_gives_by_hand() -> None:
    expected, found = np.array([500_000.0, 500_000.0]), np.array([750_000.0, 250_000.0])
    by_hand = (0.75 - 0.5) * math.log(0.75 / 0.5) + (0.25 - 0.5) * math.log(0.25 / 0.5)
    assert distances.psi(expected, found) == pytest.approx(by_hand, rel=1e-4)


def test_jensen_shannon_is_0_for_the_same_shares_and_1_for_nothing_in_common() -> None:
    rows = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 5.0]])
    assert distances.jensen_shannon(np.array([[10.0, 30.0, 0.0], [1.0, 1.0, 0.0]]), rows) == pytest.approx([0.0, 1.0], abs=1e-7)
    half = distances.jensen_shannon(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]]))[0]
    # Of (1, 0) and (1/2, 1/2) the middle is (3/4, 1/4): by hand, in bits.
    by_hand = 0.5 * math.log2(1 / 0.75) + 0.5 * (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25))
    assert half == pytest.approx(math.sqrt(by_hand))


def test_a_day_without_anything_has_no_distance() -> None:
    nothing, something = np.zeros(3), np.ones(3)
    assert np.isnan(distances.psi(something, nothing))
    assert np.isnan(distances.jensen_shannon(something[None], nothing[None])[0])
    assert np.isnan(distances.cosine(something, nothing))


@given(COUNTS, st.data())
def test_distances_are_symmetric_and_within_their_bounds(one: list[int], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.integers(0, 1_000), min_size=len(one), max_size=len(one)))
    p, q = np.array(one, float), np.array(other, float)
    if p.sum() and q.sum():
        assert distances.psi(p, q) >= 0
        assert distances.psi(p, q) == pytest.approx(distances.psi(q, p))
        apart = distances.jensen_shannon(p, q)
        assert 0 <= apart <= 1 + 1e-9
        assert apart == pytest.approx(distances.jensen_shannon(q, p))
    if p.sum():
        assert distances.psi(p, p) == 0


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=60))
def test_steps_count_every_value_once_whatever_it_is(values: list[float]) -> None:
    laid_out = np.array(values)[: len(values) // 2 + 1]
    bins = Steps.of(laid_out)
    counts = bins.count(np.array(values))
    assert counts.sum() == len(values)
    assert len(counts) == len(bins.labels)
    assert counts[-1] == np.isnan(values).sum()
    assert from_dict(bins.to_dict()) == bins


def test_steps_tell_a_value_that_nearly_all_have_from_those_above_it() -> None:
    bins = Steps.of(np.array([1.0] * 95 + [2.0, 3.0, 4.0, 5.0, 6.0]))
    assert bins.count(np.array([1.0, 1.0, 3.0])).tolist()[0] == 2


def test_names_tell_others_new_ones_and_none_apart() -> None:
    bins = Names.of({"a": 5, "b": 3, "c": 1}, most=2)
    assert bins.labels == ("a", "b", "(others)", "(new)", "(none)")
    assert bins.count(["a", "c", "z", None, "a"], [1, 2, 3, 4, 5]).tolist() == [6, 0, 2, 3, 4]
    assert from_dict(bins.to_dict()) == bins


def test_a_new_code_counts_as_new_under_any_layout() -> None:
    day = Raw(3, {}, {"store": Named(np.array([0, NEW, -1]), ["s0"])}, {}, {})
    assert day.counted(layout([day])).histograms["store"].tolist() == [1, 0, 1, 1]


def days_of(numbers: np.ndarray, histograms: np.ndarray | None = None) -> Profiles:
    """One day a row, from the beginning of a week on."""
    made = []
    for at, number in enumerate(numbers):
        counts = {} if histograms is None else {"price": histograms[at].astype(float)}
        made.append((at * DAY, at // 7, Profile(100, counts, {"lines": float(number)}, {})))
    return Profiles.of(made)


def test_a_day_is_compared_with_the_same_weekday_of_the_weeks_before_alone() -> None:
    numbers = np.array([100.0 * (at % 7 + 1) + at // 7 for at in range(28)])
    found = signals(days_of(numbers), RULE)
    assert np.isnan(found.shift[:14]).all(), "two weeks of memory lie before the first day that is judged"
    assert found.expected[14:21, 0] == pytest.approx([100.0 * (at + 1) + 0.5 for at in range(7)])
    assert found.shift[14, 0] == pytest.approx(np.log1p(102) - (np.log1p(100) + np.log1p(101)) / 2)


def test_profiles_are_the_same_after_they_were_saved(tmp_path) -> None:
    days = days_of(np.arange(14), np.ones((14, 3)))
    days.save(tmp_path / "days.safetensors")
    again = Profiles.load(tmp_path / "days.safetensors")
    assert again.start.tolist() == days.start.tolist()
    assert again.histograms["price"].tolist() == days.histograms["price"].tolist()
    assert again.numbers["lines"].tolist() == days.numbers["lines"].tolist()


def ordinary_days(seed: int, weeks: int = 16) -> Profiles:
    rng = np.random.default_rng(seed)
    lines = rng.poisson(1_000, weeks * 7)
    return days_of(lines, np.stack([rng.multinomial(n, [0.5, 0.3, 0.2]) for n in lines]))


def test_days_of_one_distribution_rarely_look_unlike() -> None:
    smallest = []
    for seed in range(60):
        judged = thresholds.judge(ordinary_days(seed), RULE)
        assert judged is not None
        smallest.append(np.nanmin(judged.p))
    # Of 60 at 5 % three are to be expected; more than nine have a chance below .1 %.
    assert sum(p < 0.05 for p in smallest) <= 9
    assert min(smallest) > 1e-4
    assert np.median(smallest) > 0.2


@pytest.mark.parametrize(("lines", "shares", "name"), [(400, [0.5, 0.3, 0.2], "lines"), (1_000, [0.2, 0.3, 0.5], "psi/price")])
def test_a_day_of_another_distribution_is_seen_and_named(lines: int, shares: list[float], name: str) -> None:
    days = ordinary_days(1)
    last = Profile(lines, {"price": np.array(shares) * lines}, {"lines": float(lines)}, {})
    judged = thresholds.judge(days.followed_by(len(days) * DAY, 16, last), RULE)
    assert judged is not None
    assert judged.names[int(np.nanargmax(judged.z))] == name
    assert np.nanmin(judged.p) < 1e-4


def test_an_event_in_the_reference_does_not_hide_the_same_event() -> None:
    days = ordinary_days(2)
    shut = np.array(days.numbers["lines"])
    shut[[60, 61]] = 10
    days = Profiles(days.start, days.block, days.size, days.histograms, {"lines": shut}, {})
    last = Profile(10, days.day(3).histograms, {"lines": 10.0}, {})
    judged = thresholds.judge(days.followed_by(len(days) * DAY, 16, last), RULE)
    assert judged is not None
    assert judged.p[judged.names.index("lines")] < 1e-4


def test_too_few_days_are_not_judged() -> None:
    assert thresholds.judge(ordinary_days(0, weeks=7), RULE) is None


def test_a_silent_store_is_as_unlikely_as_its_size_says() -> None:
    past = np.tile([9.0, 3.0, 0.2, 0.0, 0.0, 0.0], (56, 1))
    days = Profiles.of([(at * DAY, at // 7, Profile(12, {"store_baskets": row}, {}, {})) for at, row in enumerate(past)])
    codes = np.array([1] * 12)
    day = Raw(12, {}, {"store_baskets": Named(codes, ["big", "middle", "small"])}, {}, {})
    part = stores.judge(days, day, {"store_baskets": Names(("big", "middle", "small"))})
    big, small = part.signals
    assert (big.name, small.name) == ("silent/big", "silent/small")
    # Poisson, as the days of the past vary less: e to the power of minus what was expected of the 12.
    assert big.p == pytest.approx(math.exp(-12 * 9 / 12.2))
    of_all = 1 - (1 - math.exp(-12 * 9 / 12.2)) * (1 - math.exp(-12 * 3 / 12.2)) * (1 - math.exp(-12 * 0.2 / 12.2))
    assert small.p == pytest.approx(of_all)
