"""Calibrated probabilities: every figure by hand on small data, what holds for any, and what isotonic regression promises."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import judged

from cortex_rec.arrays import F32, F64, pointers
from cortex_rec.config import Evaluation, LambdaRank, Ranking
from cortex_rec.evaluation import calibration
from cortex_rec.evaluation.evaluate import evaluate
from cortex_rec.features.assemble import Matrix
from cortex_rec.ranking import calibration as calibrating
from cortex_rec.ranking import lambdarank
from cortex_rec.ranking.calibration import Calibration
from cortex_rec.ranking.training import TrainingLists
from cortex_rec.testing.ranker_contract import small_lists

RANKING = Ranking(lambdarank=LambdaRank(trees=15, leaves=7, min_rows_in_leaf=10))


def described(likely: list[float] | F64, bought: list[int] | F64, *lengths: int, shown: int = 10, samples: int = 50) -> dict[str, Any]:
    pointer = pointers(np.array(lengths or (len(likely),)))
    return calibration.describe(pointer, np.array(likely, np.float32), np.array(bought, bool), shown=shown, samples=samples, seed=1)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    result: dict[str, Any] = evaluate(judged(), Evaluation(bootstrap_samples=50), seed=3)["calibration"]
    return result


def test_four_users_have_the_figures_computed_by_hand(found: dict[str, Any]) -> None:
    # Ten candidates, of which those with .9, .5, .8 and .1 were bought; .1 stands four times and .5 three times.
    assert (found["users"], found["candidates"], found["base_rate"]) == (4, 10, 0.4)
    surprises = [0.9, 0.5, 0.5, 0.8, 0.9, 0.5, 0.9, 0.1, 0.8, 0.9]
    assert found["log_loss"] == pytest.approx(-np.mean(np.log(surprises)), abs=1e-6)
    assert found["brier"] == pytest.approx(np.mean([(1 - given) ** 2 for given in surprises]), abs=1e-6)
    assert found["constant"] == {"log_loss": pytest.approx(-(0.4 * math.log(0.4) + 0.6 * math.log(0.6)), abs=1e-6), "brier": 0.24}
    # User 0: .9 above .5, .5 beside .5. User 1: .8 above .1. User 2: .1 below .5 and beside .1. User 3 bought no candidate.
    assert found["auc"] == pytest.approx(np.mean([3 / 4, 1, 1 / 4]), abs=1e-6)


def test_the_expected_error_is_the_distance_of_what_is_promised_from_what_is_bought_by_group_of_equal_probabilities(
    found: dict[str, Any],
) -> None:
    # .1: .4 promised, 1 bought; .2: none bought; .5: 1.5 promised, 1 bought; .8 and .9: bought.
    assert found["ece"] == pytest.approx((0.6 + 0.2 + 0.5 + 0.2 + 0.1) / 10, abs=1e-6)
    spread = [4 * 0.1 * 0.9, 0.2 * 0.8, 3 * 0.25, 0.8 * 0.2, 0.9 * 0.1]
    assert found["ece_by_chance"] == pytest.approx(math.sqrt(2 / math.pi) * np.sqrt(spread).sum() / 10, abs=1e-6)


def test_the_first_ten_promise_the_sum_of_their_probabilities(found: dict[str, Any]) -> None:
    first = found["top_10"]
    assert (first["expected"], first["bought"], first["ratio"]) == (0.95, 1, 0.95)
    assert first["intervals"]["ratio"]["low"] < 0.95 < first["intervals"]["ratio"]["high"]
    shorter = described([0.9, 0.4, 0.2, 0.6], [1, 0, 0, 0], 3, 1, shown=1)["top_1"]
    assert (shorter["expected"], shorter["bought"]) == (pytest.approx(0.75), 0.5)


def test_the_curve_has_a_point_for_every_step_that_holds_a_candidate(found: dict[str, Any]) -> None:
    points = [(point["from"], point["to"], point["candidates"], point["predicted"], point["bought"]) for point in found["curve"]]
    assert points == [(0.1, 0.2, 4, 0.1, 0.25), (0.2, 0.5, 1, 0.2, 0), (0.5, 1.0, 5, 0.64, 0.6)]
    assert all(point["low"] <= point["bought"] <= point["high"] for point in found["curve"])


def test_a_candidate_without_a_probability_is_left_out(found: dict[str, Any]) -> None:
    alone = described([0.8, 0.3], [1, 0])
    beside = described([0.8, 0.3, np.nan, np.nan], [1, 0, 1, 1], 2, 2)
    assert {**beside, "intervals": None, "top_10": None, "curve": None} == {**alone, "intervals": None, "top_10": None, "curve": None}
    assert beside["top_10"]["expected"] == pytest.approx(1.1)


def test_being_certain_and_wrong_costs_much_but_not_all() -> None:
    assert described([0.0], [1])["log_loss"] == pytest.approx(-math.log(1e-6))
    assert described([1.0], [0])["log_loss"] == pytest.approx(-math.log(1e-6))
    assert described([1.0, 0.0], [1, 0])["log_loss"] == pytest.approx(0, abs=1e-5)


def test_without_any_candidate_there_are_no_figures_and_no_warning() -> None:
    empty = described([], [], 0, 0)
    assert (empty["users"], empty["candidates"], empty["curve"]) == (0, 0, [])
    assert all(math.isnan(empty[name]) for name in ("base_rate", "auc", "log_loss", "brier", "ece"))


def test_true_probabilities_are_off_by_chance_alone_and_inflated_ones_by_more() -> None:
    rng = np.random.default_rng(5)
    likely = -np.sort(-rng.beta(0.2, 5, (200, 100)), axis=1).ravel()
    bought = (rng.random(len(likely)) < likely).astype(float)
    true = described(likely, bought, *[100] * 200, samples=200)
    assert true["ece"] < 2 * true["ece_by_chance"]
    assert true["top_10"]["intervals"]["ratio"]["low"] < 1 < true["top_10"]["intervals"]["ratio"]["high"]
    inflated = described(np.minimum(likely * 1.5, 1), bought, *[100] * 200, samples=200)
    assert inflated["ece"] > 5 * inflated["ece_by_chance"]
    assert inflated["top_10"]["intervals"]["ratio"]["low"] > 1.2
    assert inflated["auc"] == pytest.approx(true["auc"], abs=1e-3)
    assert inflated["log_loss"] > true["log_loss"]
    assert true["log_loss"] < true["constant"]["log_loss"]


@given(st.lists(st.sampled_from([0.0, 0.01, 0.2, 0.2001, 0.5, 1.0]), min_size=1, max_size=60), st.integers(1, 8))
def test_groups_of_equal_mass_keep_the_order_and_part_no_equals(values: list[float], bins: int) -> None:
    given, groups = np.array(values), calibration.equal_mass(np.array(values), bins)
    assert groups.min() >= 0
    assert groups.max() < bins
    assert all(len(set(groups[given == value])) == 1 for value in values)
    order = np.argsort(given, kind="stable")
    assert np.all(np.diff(groups[order]) >= 0)


def test_different_values_fill_the_groups_evenly() -> None:
    groups = calibration.equal_mass(np.random.default_rng(0).permutation(60) / 60, 20)
    assert np.bincount(groups).tolist() == [3] * 20


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60))
def test_no_figure_leaves_its_bounds(candidates: list[tuple[float, bool]]) -> None:
    likely, bought = (np.array(column, float) for column in zip(*candidates, strict=True))
    found = described(likely, bought, samples=5)
    assert 0 <= found["ece"] <= 1
    assert 0 <= found["brier"] <= 1
    assert 0 <= found["log_loss"] <= -math.log(1e-6) + 1e-9
    assert sum(point["candidates"] for point in found["curve"]) == len(likely)
    assert sum(point["candidates"] * point["bought"] for point in found["curve"]) == pytest.approx(bought.sum())
    # One group cannot be further off than the finer ones together.
    assert calibration.expected_error(likely, bought, 1)["ece"] <= found["ece"] + 1e-9


@pytest.fixture(scope="module")
def fitted() -> tuple[lambdarank.LambdaRank, TrainingLists, Calibration]:
    lists = small_lists(4, lists=300)
    ranker = lambdarank.fit([small_lists(0)], RANKING, seed=7, threads=1)
    return ranker, lists, calibrating.fit(ranker, [lists])


class Given:
    """A ranker whose scores are the row numbers."""

    def score(self, matrix: Matrix) -> F32:
        return np.arange(len(matrix.values), dtype=np.float32)


@pytest.mark.parametrize("others", [1, 3])
def test_a_step_is_its_share_bought_and_the_ends_have_two_more_candidates_as_likely_as_all(others: int) -> None:
    lists = small_lists(0, lists=1, length=10)
    bought = np.array([0, 0, 0, 1, 0, 1, 0, 1, 1, 1], bool)
    isotonic = calibrating.fit(
        Given(),  # type: ignore[arg-type]
        [replace(lists, bought=bought, weight=np.where(bought, 1, others).astype(np.float32))],
    )
    usual = 5 / (5 + 5 * others)
    low, middle, high = 2 * usual / (3 * others + 2), 2 / (2 + 2 * others), (3 + 2 * usual) / (3 + 2)
    given = isotonic.probability(np.array([-50, 0, 2, 3, 4, 6, 7, 9, 50], np.float32))
    assert given.tolist() == pytest.approx([low, low, low, middle, middle, middle, high, high, high])
    assert isotonic.probability(np.array([6.5], np.float32)) == pytest.approx((middle + high) / 2)


def test_on_what_it_was_fitted_isotonic_calibration_has_next_to_no_error(
    fitted: tuple[lambdarank.LambdaRank, TrainingLists, Calibration],
) -> None:
    ranker, lists, isotonic = fitted
    scores, bought = ranker.score(lists.matrix), lists.bought.astype(float)
    likely = isotonic.probability(scores).astype(float)
    assert len(set(likely)) > 10, "one probability for all would prove nothing"
    assert calibration.expected_error(likely, bought, len(likely))["ece"] < 0.001
    assert likely.mean() == pytest.approx(bought.mean(), abs=0.001)
    squashed = 1 / (1 + np.exp(-scores.astype(float)))
    assert calibration.expected_error(squashed, bought, 20)["ece"] > 0.05


def test_on_new_lists_of_the_same_kind_it_is_off_by_little(fitted: tuple[lambdarank.LambdaRank, TrainingLists, Calibration]) -> None:
    ranker, _, isotonic = fitted
    new = small_lists(5, lists=300)
    likely = isotonic.probability(ranker.score(new.matrix)).astype(float)
    assert calibration.expected_error(likely, new.bought.astype(float), 20)["ece"] < 0.03


@given(scores=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40))
def test_a_probability_never_falls_when_the_score_rises(
    fitted: tuple[lambdarank.LambdaRank, TrainingLists, Calibration], scores: list[float]
) -> None:
    likely = fitted[2].probability(np.sort(np.array(scores, np.float32)))
    assert np.all(np.diff(likely) >= 0)
    assert np.all((likely >= 0) & (likely <= 1))
