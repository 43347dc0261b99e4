"""What is said of an experiment is right as often as it says: on numbers with a known truth, and against published tables."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_ind

from cortex_rec.errors import DataError
from cortex_rec.experiments.analysis import holm
from cortex_rec.experiments.estimates import Followed, alone, compare
from cortex_rec.experiments.off_policy import Logged, estimate
from cortex_rec.experiments.power import plan
from cortex_rec.experiments.ratio_check import check
from cortex_rec.experiments.sequential import anytime, bounds, power, spent


def test_bounds_of_five_equal_looks_are_those_of_the_tables() -> None:
    # Jennison and Turnbull 2000, Group sequential methods, table 7.3 and EAST: O'Brien-Fleming-like spending, two-sided 5 %.
    found = bounds(np.arange(1.0, 6.0), 5)
    assert found.bound == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)
    assert found.crossed == pytest.approx(spent(np.arange(1, 6) / 5), abs=1e-6)


def test_one_look_at_the_end_is_the_plain_test() -> None:
    assert bounds(np.array([7.0]), 1).bound == pytest.approx([1.959964], abs=1e-4)


def paths(information: np.ndarray, effect: float, n: int = 40_000) -> np.ndarray:  # type: ignore[type-arg]
    """Z-values of many experiments at each look."""
    grown = np.diff(information, prepend=0.0)
    drawn = np.random.default_rng(5).normal(effect * grown, np.sqrt(grown), (n, len(grown)))
    scores: np.ndarray = drawn.cumsum(axis=1) / np.sqrt(information)  # type: ignore[type-arg]
    return scores


@pytest.mark.parametrize("information", [np.arange(1.0, 29.0), np.arange(1.0, 29.0) ** 2, 1 - 0.8 ** np.arange(1.0, 29.0)])
def test_who_looks_every_day_is_wrong_five_times_in_a_hundred_and_right_as_often_as_computed(information: np.ndarray) -> None:  # type: ignore[type-arg]
    found = bounds(information, 28)
    wrong = int((np.abs(paths(information, 0.0)) > found.bound).any(axis=1).sum())
    assert binomtest(wrong, 40_000, 0.05).pvalue > 0.001
    effect = 2.6 / np.sqrt(information[-1])
    right = int((np.abs(paths(information, effect)) > found.bound).any(axis=1).sum())
    assert binomtest(right, 40_000, power(information, found.bound, effect)).pvalue > 0.001


def test_the_interval_without_an_end_is_seldom_wrong_at_any_look() -> None:
    information = np.arange(1.0, 201.0)
    scores = paths(information, 0.0, 10_000)
    wrong = np.abs(scores) / np.sqrt(information) > anytime(information, 100.0)
    assert 0.005 < wrong.any(axis=1).mean() < 0.05
    # A plain interval, looked at as often, is wrong far more often.
    assert (np.abs(scores) > 1.96).any(axis=1).mean() > 0.3


def test_looks_without_new_data_or_after_the_end_decide_nothing_more() -> None:
    found = bounds(np.array([0.0, 0.0, 4.0, 4.0, 8.0, 9.0]), 5)
    assert np.isinf(found.bound[:2]).all()
    assert found.bound[3] == found.bound[2]
    assert found.bound[5] == np.inf
    assert found.crossed[-1] == pytest.approx(0.05, abs=1e-6)


def people(n: int, looks: int, lift: float, seed: int) -> Followed:
    """Persons who differ, come on different days, and are partly known from before."""
    rng = np.random.default_rng(seed)
    treated, liking = rng.random(n) < 0.5, rng.gamma(2, 0.5, n)
    days = np.maximum(0, np.arange(1, looks + 1)[None, :] - rng.integers(0, looks // 2, n)[:, None]).astype(float)
    grown = np.diff(days, axis=1, prepend=0) > 0
    value = rng.poisson(liking[:, None] * (1 + lift * treated[:, None]) * grown).cumsum(axis=1).astype(float)
    return Followed(value, days, treated, rng.poisson(8 * liking)[:, None].astype(float))


def test_with_equal_days_and_nothing_known_it_is_the_two_sample_test() -> None:
    followed = people(500, 4, 0.3, 1)
    plain = Followed(followed.value, np.full_like(followed.days, 4.0), followed.treated, np.zeros((500, 0)))
    found = compare(plain)
    one, other = plain.value[plain.treated, -1], plain.value[~plain.treated, -1]
    assert found.difference[-1] == pytest.approx((one.mean() - other.mean()) / 4)
    expected = ttest_ind(one, other, equal_var=False).statistic
    assert found.difference[-1] / np.sqrt(found.variance[-1]) == pytest.approx(expected)


def test_intervals_hold_the_truth_and_cuped_makes_them_narrower_without_shifting_them() -> None:
    with_past = [compare(people(400, 6, 0.2, seed)) for seed in range(400)]
    without = []
    for seed in range(400):
        each = people(400, 6, 0.2, seed)
        without.append(compare(Followed(each.value, each.days, each.treated, np.zeros((400, 0)))))
    # A person brings 1 a day on average, so a lift of 0.2 is 0.2.
    for found in (with_past, without):
        inside = sum(abs(each.difference[-1] - 0.2) < 1.96 * np.sqrt(each.variance[-1]) for each in found)
        assert binomtest(inside, 400, 0.95).pvalue > 0.001
        assert np.mean([each.difference[-1] for each in found]) == pytest.approx(0.2, abs=0.02)
    told = np.mean([each.reduction[-1] for each in with_past])
    real = 1 - np.var([each.difference[-1] for each in with_past]) / np.var([each.difference[-1] for each in without])
    assert told > 0.4
    assert real == pytest.approx(told, abs=0.12)


def test_too_few_people_say_nothing() -> None:
    followed = people(60, 3, 0.0, 1)
    assert np.isnan(compare(followed).variance).all()
    assert (compare(followed).information == 0).all()
    assert np.isnan(alone(followed.value[:40], followed.days[:40]).variance).all()


def test_a_plan_is_right_about_the_experiments_that_follow() -> None:
    past = people(600, 14, 0.0, 99)
    planned = plan(past.value, past.days, past.before, effect=0.12, wanted=0.8)
    assert [horizon.days for horizon in planned.horizons] == [7, 14]
    end = planned.horizons[-1]
    # At the effect that it calls detectable, four in five are found.
    found = 0
    for seed in range(300):
        each = compare(people(600, 14, end.detectable, seed))
        bound = bounds(each.information, 14).bound
        found += bool((np.abs(np.nan_to_num(each.difference)) > bound * np.sqrt(np.nan_to_num(each.variance, nan=np.inf))).any())
    assert found / 300 == pytest.approx(0.8, abs=0.08)
    assert planned.needed(0.01) == 7
    with pytest.raises(DataError, match="50 are needed in each arm"):
        plan(past.value, past.days, past.before, effect=0.1, traffic=0.1)


def test_a_ratio_is_broken_when_chance_does_not_explain_it() -> None:
    assert not check([5_050, 4_950], [0.5, 0.5]).broken
    assert check([5_300, 4_700], [0.5, 0.5]).broken
    assert not check([700, 310], [0.7, 0.3]).broken


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_values_are_those_of_the_definition(p: list[float]) -> None:
    found = holm(p)
    rejected = {i for i in range(len(p)) if found[i] <= 0.05}
    expected: set[int] = set()
    for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[i] * (len(p) - step) > 0.05:
            break
        expected.add(i)
    assert rejected == expected


def logged(seed: int, *, answers: int = 2_000, explored: float = 0.7) -> Logged:
    """Answers of one place: the served policy shows item 0 and, with some chance, one of three others; the target shows item 1."""
    rng = np.random.default_rng(seed)
    person = rng.integers(0, 300, answers)
    appeal = np.array([0.3, 0.25, 0.1, 0.05]) + 0.1 * (person % 2)[:, None]
    chance = np.array([1 - explored, *[explored / 3] * 3])
    item = rng.choice(4, answers, p=chance)
    reward = (rng.random(answers) < appeal[np.arange(answers), item]).astype(float)
    model = np.array([0.3, 0.3, 0.1, 0.1])  # not the truth
    target = (item == 1)[:, None].astype(float)
    return Logged(person, reward[:, None], chance[item][:, None], target, model[item][:, None], np.full((answers, 1), 0.3))


def test_off_policy_intervals_hold_the_truth_where_overlap_is_good() -> None:
    found = [estimate(logged(seed)) for seed in range(400)]
    for at, method in enumerate(("ips", "snips", "dr")):
        values = [each.values[at] for each in found]
        assert {value.method for value in values} == {method}
        inside = sum(value.low <= 0.3 <= value.high for value in values)
        assert binomtest(inside, 400, 0.95).pvalue > 0.001, method
    widths = [np.mean([each.values[at].high - each.values[at].low for each in found]) for at in range(3)]
    assert widths[1] < widths[0]
    assert widths[2] < widths[0]
    assert all(each.warnings == () for each in found)
    assert found[0].effective == pytest.approx(2_000 * 0.7 / 3, rel=0.15)


def test_poor_overlap_is_warned_of_and_so_is_what_was_never_shown() -> None:
    few = estimate(logged(1, explored=0.02))
    assert "tell as much as" in few.warnings[0]
    given = logged(1)
    # Half of what the target shows is an item that the served policy never shows.
    unseen = replace(given, target=given.target * (np.arange(2_000) % 2)[:, None])
    told = estimate(unseen).warnings[0]
    assert "of what the other policy shows could never have been shown" in told
    assert 40 <= int(told.partition("%")[0]) <= 60
    with pytest.raises(DataError, match="not above 0 and at most 1"):
        estimate(replace(given, propensity=0 * given.propensity))
