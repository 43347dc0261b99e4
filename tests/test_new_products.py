"""Products that nobody had bought before the window, by value on four users."""

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import judged, ragged
from rich.console import Console

from cortex_rec.config import Evaluation
from cortex_rec.evaluation import new_products, report, slices
from cortex_rec.evaluation.evaluate import evaluate
from cortex_rec.terminal import evaluation_table

CONFIG = Evaluation(bootstrap_samples=100)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """Items 4 and 5 are new: user 2 bought both and had 4 among the candidates, user 3 bought 5."""
    return evaluate(judged(), CONFIG, seed=3)


def test_purchases_of_new_products_are_counted_and_so_are_those_that_the_lists_had(result: dict[str, Any]) -> None:
    found = result["new_products"]
    assert {name: found[name] for name in ("listed", "purchases", "items", "users")} == {
        "listed": 2,
        "purchases": 3,
        "items": 2,
        "users": 2,
    }
    assert found["share"] == pytest.approx(3 / 7, abs=1e-6)
    for depth in ("candidates", "first_500", "top_20", "top_10"):
        assert (found["found"][depth]["purchases"], found["found"][depth]["items"]) == (1, 1)
        assert found["found"][depth]["share"] == pytest.approx(1 / 3, abs=1e-6)


def test_a_share_is_told_for_each_depth_of_the_list() -> None:
    ranked = ragged(list(range(600)))
    truth = ragged([9, 10, 19, 20, 499, 500, 599, 600])
    found = new_products.describe(ranked, truth, np.zeros(601, bool), samples=10, seed=1)["found"]
    assert {name: part["purchases"] for name, part in found.items()} == {"candidates": 7, "first_500": 5, "top_20": 3, "top_10": 1}


def test_the_interval_is_of_users_and_a_share_of_all_has_none() -> None:
    sold = np.zeros(4, bool)
    sure = new_products.describe(ragged([0], [1]), ragged([0], [1]), sold, samples=50, seed=1)["found"]["top_10"]
    assert (sure["share"], sure["low"], sure["high"]) == (1, 1, 1)
    split = new_products.describe(ragged([0], [1]), ragged([0], [2, 3]), sold, samples=50, seed=1)["found"]["top_10"]
    assert (split["share"], split["low"], split["high"]) == (pytest.approx(1 / 3), 0, 1)


def test_an_item_that_the_catalogue_lacks_is_neither_cold_nor_warm() -> None:
    found = new_products.describe(ragged([0]), ragged([-1]), np.array([False]), samples=10, seed=1)
    assert found["purchases"] == 0
    assert math.isnan(found["found"]["candidates"]["share"])
    parts = slices.by_sale(ragged([0]), ragged([-1]), np.array([False]))
    assert [len(truth.item) for _, truth in parts.values()] == [0, 0]


def test_cold_and_warm_items_are_each_judged_in_a_list_of_their_kind(result: dict[str, Any]) -> None:
    two = 1 + 1 / math.log2(3)
    cold, warm = result["slices"]["cold_items"], result["slices"]["warm_items"]
    assert (cold["users"], cold["purchases"]) == (2, 3)
    # User 2 sees 4 first and lacks 5; user 3 sees none.
    assert cold["ndcg@10"] == pytest.approx((1 / two + 0) / 2, abs=1e-6)
    assert (warm["users"], warm["purchases"]) == (2, 3)
    assert warm["ndcg@10"] == pytest.approx((1.5 / two + 1) / 2, abs=1e-6)


def test_baselines_are_judged_on_cold_and_warm_items_too(result: dict[str, Any]) -> None:
    popular = result["baselines"]["popularity"]["slices"]
    assert popular["cold_items"]["ndcg@10"] == 0
    # The list [0, 1, 2] for truth {0, 2} and {1}.
    two = 1 + 1 / math.log2(3)
    assert popular["warm_items"]["ndcg@10"] == pytest.approx((1.5 / two + 1 / math.log2(3)) / 2, abs=1e-6)


def test_the_places_that_go_to_products_without_a_sale_are_told_for_every_system(result: dict[str, Any]) -> None:
    found = {name: figures["unsold_share"] for name, figures in result["beyond_accuracy"].items()}
    # Ten places, one of them item 4; of personal decay's six one is 5; of the six purchases in the catalogue three.
    of_each = {"system": 1 / 10, "popularity": 0, "personal_decay": 1 / 6, "bought": 1 / 2}
    assert found == {name: pytest.approx(share, abs=1e-6) for name, share in of_each.items()}


@given(
    st.lists(st.tuples(*[st.lists(st.integers(0, 8), unique=True, max_size=6)] * 2), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_no_more_is_found_further_up_and_the_two_kinds_are_all(rows: list[tuple[list[int], list[int]]], sold: list[bool]) -> None:
    ranked, truth = (ragged(*[row[part] for row in rows]) for part in range(2))
    flags = np.array(sold)
    found = new_products.describe(ranked, truth, flags, samples=10, seed=1)
    counts = [found["purchases"], *(part["purchases"] for part in found["found"].values())]
    assert counts == sorted(counts, reverse=True)
    parts = slices.by_sale(ranked, truth, flags)
    for place, whole in enumerate((ranked, truth)):
        assert sum(len(part[place].item) for part in parts.values()) == len(whole.item)
    assert len(parts["cold_items"][1].item) == found["purchases"]


def test_a_window_in_which_nothing_is_new_says_so(result: dict[str, Any]) -> None:
    old = evaluate(replace(judged(), sold=np.ones(6, bool)), CONFIG, seed=3)
    assert old["new_products"]["found"]["candidates"]["share"] is None
    assert old["slices"]["cold_items"]["ndcg@10"] is None
    assert "Nothing was sold for the first time in the window." in report.render(old, {})
    assert "Nothing was sold for the first time" not in report.render(result, {})


def test_the_page_and_the_terminal_say_how_much_was_found(result: dict[str, Any]) -> None:
    assert "3 purchases (43 % of all) were of 2 products that nobody had bought" in report.render(result, {})
    told = printed(result)
    assert "3 purchases (42.9% of all) were of 2 products first sold in the window" in told
    assert "retrieval finds 33.3%, the first 20 hold 33.3%." in told


def test_the_terminal_shows_releases_that_did_not_tell_it_yet(result: dict[str, Any]) -> None:
    without = {name: figures for name, figures in result.items() if name != "new_products"}
    assert "first sold" not in printed(without)


def printed(metrics: dict[str, Any]) -> str:
    said = io.StringIO()
    Console(width=80, file=said).print(evaluation_table(metrics))
    return " ".join(said.getvalue().split())
