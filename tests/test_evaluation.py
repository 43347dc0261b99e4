"""Every figure of the report, by value on four users; what the bootstrap promises; the page is the same twice."""

import dataclasses
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import history, influence, judged, ragged
from rich.console import Console

from cortex_rec.arrays import F64
from cortex_rec.config import Evaluation
from cortex_rec.evaluation import beyond_accuracy, candidates, ranker_charts, report, significance, slices, summary
from cortex_rec.evaluation.by_interactions import Shortened
from cortex_rec.evaluation.evaluate import evaluate

CONFIG = Evaluation(cutoffs=(1, 5), bootstrap_samples=200)
SHORTENED = Shortened(np.array([0, 2]), {0: ragged([1, 0], [1, 0]), 3: ragged([2, 0], [5, 1, 4])})


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return evaluate(judged(), CONFIG, seed=3, influence=influence(), shortened=SHORTENED)


def test_the_headline_figures_are_means_over_all_users(result: dict[str, Any]) -> None:
    two = 1 + 1 / math.log2(3)
    by_user = [(1 + 1 / 2) / two, 1 / two, (1 / 2) / two, 0]
    assert result["metrics"]["ndcg@10"] == pytest.approx(np.mean(by_user), abs=1e-6)
    assert result["metrics"]["recall@1"] == pytest.approx(np.mean([1 / 2, 1 / 2, 0, 0]))
    assert result["metrics"]["hit_rate@5"] == 0.75
    assert result["metrics"]["auc"] == pytest.approx(np.mean([0.5, 1.0, 0.0]))
    assert {"ndcg@20", "recall@20"} <= set(result["metrics"])
    assert (result["test_week"], result["users"]) == ("53", 4)


def test_new_items_are_judged_in_a_list_without_what_was_bought_before(result: dict[str, Any]) -> None:
    new = result["slices"]["new_items"]
    # New to the user: user 0 item 2, first of what is left; user 1 the unknown item; user 2 item 4, second; user 3 item 5.
    assert new["users"] == 4
    assert new["ndcg@10"] == pytest.approx((1 + 0 + 1 / math.log2(3) + 0) / 4, abs=1e-6)
    repeat = result["slices"]["repeat_items"]
    assert (repeat["users"], repeat["purchases"]) == (3, 3)
    assert repeat["ndcg@10"] == pytest.approx(2 / 3, abs=1e-6)


def test_users_fall_into_thirds_by_order_lines_so_far() -> None:
    lists = ragged([0], [1], [2], [3], [4], [5])
    parts = slices.by_activity(lists, lists, np.array([9, 1, 5, 2, 6, 8]))
    assert {name: list(part[0].item) for name, part in parts.items()} == {
        "light_users": [1, 3],
        "medium_users": [2, 4],
        "heavy_users": [0, 5],
    }


def test_a_department_is_judged_by_its_own_purchases_in_the_whole_list(result: dict[str, Any]) -> None:
    departments = result["slices"]["departments"]
    assert list(departments) == ["FOOD & CO", "TOYS <3"]
    assert departments["FOOD & CO"]["users"] == 2
    assert departments["FOOD & CO"]["ndcg@10"] == 1
    assert departments["TOYS <3"]["ndcg@10"] == pytest.approx(1 / 2)


def test_candidate_recall_is_told_for_the_union_and_for_each_retriever(result: dict[str, Any]) -> None:
    found = result["candidates"]
    assert result["candidate_recall"] == found["recall"] == pytest.approx(np.mean([1, 1 / 2, 1 / 2, 0]))
    assert found["mean_number"] == 2.5
    assert found["retrievers"]["repeats"] == {"mean_number": 1.25, "recall": pytest.approx(np.mean([1 / 2, 1 / 2, 0, 0])), "unique": 0}
    assert found["retrievers"]["popular"]["unique"] == pytest.approx(np.mean([1 / 2, 0, 1 / 2, 0]))


def test_the_loss_is_counted_at_every_stage(result: dict[str, Any]) -> None:
    left = {stage["stage"]: (stage["items"], stage["repeat_items"], stage["new_items"]) for stage in result["stages"]}
    assert left == {
        "bought": (7, 3, 4),
        "in_catalogue": (6, 3, 3),
        "retrieved": (4, 2, 2),
        "in_top_50": (4, 2, 2),
        "in_top_10": (4, 2, 2),
    }


def test_a_list_of_one_leaves_room_for_one_purchase_a_user() -> None:
    j = judged()
    last = candidates.stages(j.ranked, j.truth, j.bought_before, j.n_items, 1)[-1]
    assert (last["stage"], last["items"], last["room"]) == ("in_top_1", 2, pytest.approx(4 / 7))


def test_a_baseline_has_the_metrics_of_its_own_list_and_the_lead_over_it(result: dict[str, Any]) -> None:
    decay = result["baselines"]["personal_decay"]
    two = 1 + 1 / math.log2(3)
    assert decay["ndcg@10"] == pytest.approx(3 / two / 4, abs=1e-6)
    assert decay["slices"]["new_items"]["ndcg@10"] == 0
    lead = result["metrics"]["ndcg@10"] - decay["ndcg@10"]
    assert decay["difference"]["ndcg@10"]["value"] == pytest.approx(lead, abs=2e-6)
    assert decay["lift"]["ndcg@10"]["value"] == pytest.approx(lead / decay["ndcg@10"], abs=2e-5)
    assert result["baselines"]["popularity"]["slices"]["new_items"]["ndcg@10"] == pytest.approx(1 / 4)


def test_the_figures_survive_json_and_are_the_same_twice(result: dict[str, Any]) -> None:
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert evaluate(judged(), CONFIG, seed=3, influence=influence(), shortened=SHORTENED) == result
    assert evaluate(judged(), CONFIG, seed=4)["metrics"] == result["metrics"]
    assert evaluate(judged(), CONFIG, seed=4)["intervals"] != result["intervals"]


def test_a_window_without_users_gives_none_and_no_warning() -> None:
    nobody = dataclasses.replace(
        judged(),
        users=np.zeros(0, np.int32),
        scores=np.zeros(0, np.float32),
        probabilities=np.zeros(0, np.float32),
        ranked=ragged(),
        truth=ragged(),
        bought_before=ragged(),
        history=history(),
        found_by={"popular": np.zeros(0, bool)},
        baselines={"popularity": ragged()},
    )
    result = evaluate(nobody, CONFIG, seed=3)
    assert result["metrics"]["ndcg@10"] is None
    assert "<html" in report.render(result, {})


def test_variety_and_popularity_have_the_values_computed_by_hand() -> None:
    vectors = np.array([[1, 0], [2, 0], [0, 3], [0, 0]], np.float32)
    popularity = np.array([6, 2, 0, 0], np.int32)
    shown = ragged([0, 1], [0, 2], [3])
    sold, past = np.array([1, 1, 1, 0], bool), history([0], [1, 1], [])
    found = beyond_accuracy.describe(shown, item_vectors=vectors, popularity=popularity, sold=sold, history=past)
    assert found["coverage"] == 1
    assert found["diversity"] == pytest.approx((0 + 1) / 2)
    assert found["novelty"] == pytest.approx(np.mean(-np.log2([7 / 12, 3 / 12, 7 / 12, 1 / 12, 1 / 12])))
    assert found["head_share"] == pytest.approx(2 / 5)
    assert found["unsold_share"] == pytest.approx(1 / 5)
    assert found["popularity"] == pytest.approx((4 + 3 + 0) / 3)
    assert found["popularity_ratio"] == pytest.approx((4 + 3) / (6 + 2))
    groups = found["by_popularity"]
    assert isinstance(groups, dict)
    assert sum(groups.values()) == pytest.approx(1)


def test_gini_is_zero_for_equal_counts_and_near_one_for_a_single_winner() -> None:
    assert beyond_accuracy.gini(np.array([3, 3, 3, 3])) == pytest.approx(0)
    assert beyond_accuracy.gini(np.array([0, 0, 0, 8])) == pytest.approx(3 / 4)
    assert math.isnan(beyond_accuracy.gini(np.zeros(3, np.int64)))


def sample(n: int) -> F64:
    return np.random.default_rng(1).normal(0.3, 0.2, n)


def test_the_interval_is_that_of_the_normal_approximation_for_many_users() -> None:
    values = sample(2_000)
    low, high = significance.intervals({"x": values}, samples=2_000, seed=5)["x"]
    error = values.std() / math.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.15 * error)


def test_users_without_truth_do_not_move_an_interval_towards_zero() -> None:
    values = np.concatenate([sample(300), np.full(3_000, np.nan)])
    low, high = significance.intervals({"x": values}, samples=300, seed=5)["x"]
    assert low < np.nanmean(values) < high
    assert low > 0.2


def test_a_steady_small_gain_is_certain_in_pairs_and_lost_in_separate_intervals() -> None:
    base = sample(400)
    better = base + 0.01 + 0.001 * np.sin(np.arange(400))
    bounds = significance.intervals({"base": base, "better": better, "gain": better - base}, samples=500, seed=5)
    assert bounds["gain"][0] > 0
    assert bounds["better"][0] < bounds["base"][1]
    value, low, high = significance.lift(better, base, samples=500, seed=5)
    assert 0 < low < value < high
    assert value == pytest.approx(better.mean() / base.mean() - 1)


def test_a_system_has_no_lift_over_itself() -> None:
    values = sample(50)
    assert significance.lift(values, values, samples=50, seed=1) == (0, 0, 0)


def test_memory_blocks_do_not_shift_the_bootstrap_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    values = sample(100)[:, None]
    monkeypatch.setattr(significance, "_BLOCK", 700)
    means = significance.resampled_means(values, samples=1_000, seed=2)
    assert means.shape == (1_000, 1)
    assert means.mean() == pytest.approx(values.mean(), abs=0.003)
    assert means.std() == pytest.approx(values.std() / 10, rel=0.1)


@given(st.lists(st.tuples(*[st.lists(st.integers(0, 8), unique=True, max_size=6)] * 3), min_size=1, max_size=5), st.integers(1, 4))
def test_nothing_comes_back_after_a_stage_that_lost_it(rows: list[tuple[list[int], list[int], list[int]]], k: int) -> None:
    ranked, truth, before = (ragged(*[row[part] for row in rows]) for part in range(3))
    stages = candidates.stages(ranked, truth, before, 9, k)
    items = [stage["items"] for stage in stages]
    assert items == sorted(items, reverse=True)
    assert all(stage["items"] == stage["repeat_items"] + stage["new_items"] for stage in stages)
    assert all(stage["share"] <= stage["room"] + 1e-12 for stage in stages)


def test_the_terminal_table_fits_eighty_characters(result: dict[str, Any]) -> None:
    printed = io.StringIO()
    Console(width=80, file=printed).print(summary.table(result))
    text = printed.getvalue()
    assert "…" not in text
    for words in ("this release", "popularity", "personal decay", "NDCG@10, new items only"):
        assert words in text


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.outside.append(f"{tag} {name}={value}")


HEADER = {"release": "2018-01-01-abc", "note": "<b>&"}


def test_the_page_is_the_same_bytes_twice_and_holds_what_it_was_given(result: dict[str, Any]) -> None:
    page = report.render(result, HEADER)
    assert page == report.render(result, HEADER)
    for words in (
        "2018-01-01-abc",
        "&lt;b&gt;&amp;",
        "pair_recency",
        "a$1 to $2",
        "FOOD &amp; CO",
        "TOYS &lt;3",
        f"{result['metrics']['ndcg@10']:.3f}",
    ):
        assert words in page


def test_a_ranker_without_probabilities_or_reasons_has_no_such_sections(result: dict[str, Any]) -> None:
    said = ("Can the probabilities be believed?", "What the ranker looks at")
    assert all(words in report.render(result, HEADER) for words in said)
    silent = dataclasses.replace(judged(), probabilities=np.full(10, np.nan, np.float32))
    assert not any(words in report.render(evaluate(silent, CONFIG, seed=3), HEADER) for words in said)


def test_the_page_says_what_the_first_ten_promise_and_what_was_kept(result: dict[str, Any]) -> None:
    page = report.render(result, HEADER)
    assert "promise 0.95 purchases together; 1.00 of them were bought, so the promise is off by -5%" in page
    steps = [{**result["calibration"]["curve"][-1], "candidates": 1_234}]
    often = {**result, "calibration": {**result["calibration"], "curve": steps}}
    told = "Of the 1,234 candidates that were given 50 to 100\N{NO-BREAK SPACE}%, 60\N{NO-BREAK SPACE}% were bought"
    assert told in report.render(often, HEADER)
    assert "Of the" not in page.split("Can the probabilities be believed?")[1].split("</p>")[0], "five candidates are no example"


def test_the_reliability_plot_reaches_down_to_its_smallest_probability() -> None:
    def drawn(predicted: float) -> str:
        return ranker_charts.reliability([{"candidates": 98_400, "predicted": predicted, "bought": 0.01, "low": 0.0, "high": 0.02}])

    assert "98k" in drawn(0.01)
    assert "0.001 %" not in drawn(0.01)
    assert "0.001 %" in drawn(7e-5)
    assert "1e-05 %" not in drawn(1e-12)


def test_the_page_needs_nothing_from_outside_and_follows_the_theme(result: dict[str, Any]) -> None:
    text = report.render(result, HEADER)
    page = Page()
    page.feed(text)
    assert page.outside == []
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert "prefers-color-scheme: dark" in text
    assert "@import" not in text
    assert "url(http" not in text
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawn)) <= {"#ffffff"}
    assert set(re.findall(r"var\((--[a-z-]+)\)", text)) <= set(re.findall(r"(--[a-z-]+):", text))


def test_the_verdict_claims_a_gain_only_when_the_interval_allows_it(result: dict[str, Any]) -> None:
    def said(low: float, high: float) -> str:
        lift = {"ndcg@10": {"value": (low + high) / 2, "low": low, "high": high}}
        baseline = {**result["baselines"]["personal_decay"], "lift": lift}
        return report.render({**result, "baselines": {"personal_decay": baseline}}, {})

    assert "better</b>" in said(0.01, 0.05)
    assert "worse</b>" in said(-0.05, -0.01)
    assert "cannot be told apart" in said(-0.01, 0.05)


def test_the_example_in_the_documentation_runs() -> None:
    text = (Path(__file__).parent.parent / "docs" / "evaluation.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict[str, Any] = {"judged": judged(), "config": SimpleNamespace(evaluation=CONFIG, seed=3)}
    for example in examples:
        exec(example, names)
    assert names["page"].startswith("<!doctype html>")


def test_the_documentation_names_every_figure(result: dict[str, Any]) -> None:
    text = (Path(__file__).parent.parent / "docs" / "evaluation.md").read_text(encoding="utf-8")
    wanted = {"candidate_recall", "auc", "ndcg@K", "recall@K", "map@K", "mrr@K", "hit_rate@K"}
    wanted |= set(result["slices"]) | set(result["candidates"]["retrievers"]["popular"]) | set(result["beyond_accuracy"]["system"])
    wanted |= set(result["calibration"]) | set(result["calibration"]["top_10"]) | set(result["calibration"]["curve"][0]) - {"from", "to"}
    wanted |= set(result["influence"]) | set(result["influence"]["features"][0])
    wanted |= set(result["new_products"]) | set(result["new_products"]["found"])
    wanted |= set(result["by_interactions"]) | set(result["by_interactions"]["lengths"][0]) - {"recall@20", "ndcg@10"}
    wanted |= {stage["stage"] for stage in result["stages"]} | set(result["stages"][0]) - {"stage", "items"}
    assert {name for name in wanted if name not in text} == set()
