"""The metrics equal ten-line references on random lists and hand-computed values on small ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_rec.arrays import Ragged, is_in, pointers
from cortex_rec.evaluation import metrics

CUTOFFS = (1, 3, 5)

lists = st.lists(st.integers(0, 12), unique=True, max_size=9)
users = st.lists(st.tuples(lists, lists), min_size=1, max_size=6)


def ragged(rows: list[list[int]]) -> Ragged:
    return Ragged(pointers(np.array([len(row) for row in rows])), np.array([item for row in rows for item in row], np.int32))


def reference(ranked: list[int], truth: list[int], k: int) -> dict[str, float]:
    hits = [item in truth for item in ranked[:k]]
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(truth))))
    precision = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits) if hit]
    return {
        "ndcg": sum(1 / math.log2(rank + 2) for rank, hit in enumerate(hits) if hit) / ideal,
        "recall": sum(hits) / len(truth),
        "map": sum(precision) / min(k, len(truth)),
        "mrr": 1 / (hits.index(True) + 1) if any(hits) else 0.0,
        "hit_rate": float(any(hits)),
    }


@given(users)
def test_every_metric_equals_its_reference_at_every_cutoff(rows: list[tuple[list[int], list[int]]]) -> None:
    found = metrics.per_user(ragged([r for r, _ in rows]), ragged([t for _, t in rows]), CUTOFFS)
    assert set(found) == {f"{name}@{k}" for name in metrics.NAMES for k in CUTOFFS}
    for user, (ranked, truth) in enumerate(rows):
        for k in CUTOFFS:
            wanted = reference(ranked, truth, k) if truth else dict.fromkeys(metrics.NAMES, math.nan)
            for name, value in wanted.items():
                assert found[f"{name}@{k}"][user] == pytest.approx(value, nan_ok=True), (name, k)


def test_metrics_have_the_values_computed_by_hand() -> None:
    found = metrics.per_user(ragged([[7, 1, 2], [4]]), ragged([[1, 2], []]), [2, 3])
    ideal = 1 + 1 / math.log2(3)
    assert found["ndcg@2"][0] == pytest.approx((1 / math.log2(3)) / ideal)
    assert found["ndcg@3"][0] == pytest.approx((1 / math.log2(3) + 1 / 2) / ideal)
    assert found["recall@2"][0] == 0.5
    assert found["map@3"][0] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["mrr@3"][0] == 0.5
    assert found["hit_rate@2"][0] == 1
    assert all(math.isnan(values[1]) for values in found.values())


@given(users)
def test_an_item_moved_up_never_lowers_a_metric(rows: list[tuple[list[int], list[int]]]) -> None:
    before = metrics.per_user(ragged([r for r, _ in rows]), ragged([t for _, t in rows]), CUTOFFS)
    better = [sorted(r, key=lambda item, truth=t: item not in truth) for r, t in rows]  # type: ignore[misc]
    after = metrics.per_user(ragged(better), ragged([t for _, t in rows]), CUTOFFS)
    for name, values in before.items():
        known = ~np.isnan(values)
        assert np.all(after[name][known] >= values[known] - 1e-12)
        assert np.all((values[known] >= 0) & (values[known] <= 1 + 1e-12))


scored = st.lists(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=8), min_size=1, max_size=5)


@given(scored)
def test_auc_equals_the_count_over_all_pairs(rows: list[list[tuple[int, bool]]]) -> None:
    pointer = pointers(np.array([len(row) for row in rows]))
    flat = [entry for row in rows for entry in row]
    found = metrics.auc_per_user(pointer, np.array([s for s, _ in flat], np.float32), np.array([r for _, r in flat], bool))
    for user, row in enumerate(rows):
        pairs = [(a > b) + 0.5 * (a == b) for a, bought in row if bought for b, other in row if not other]
        assert found[user] == pytest.approx(np.mean(pairs) if pairs else math.nan, nan_ok=True)


@given(st.lists(st.tuples(st.lists(st.integers(-1, 6), max_size=5), st.lists(st.integers(-1, 9), max_size=5)), max_size=6))
def test_an_entry_is_in_the_set_of_its_own_user_alone(rows: list[tuple[list[int], list[int]]]) -> None:
    found = is_in(ragged([own for own, _ in rows]), ragged([theirs for _, theirs in rows]))
    assert found.tolist() == [item in theirs for own, theirs in rows for item in own]


@given(users)
def test_without_drops_exactly_the_excluded_items_and_keeps_the_order(rows: list[tuple[list[int], list[int]]]) -> None:
    found = metrics.without(ragged([r for r, _ in rows]), ragged([t for _, t in rows]))
    assert [list(found[user]) for user in range(len(rows))] == [[item for item in r if item not in t] for r, t in rows]


@given(users, st.integers(1, 5))
def test_top_and_take_give_the_same_lists_as_slicing(rows: list[tuple[list[int], list[int]]], k: int) -> None:
    every = ragged([r for r, _ in rows])
    assert [list(metrics.top(every, k)[user]) for user in range(len(rows))] == [r[:k] for r, _ in rows]
    last_first = np.arange(len(rows))[::-1]
    assert [list(found) for found in (every.take(last_first)[user] for user in range(len(rows)))] == [r for r, _ in rows][::-1]
    mask = np.arange(len(rows)) % 2 == 0
    assert [list(every.take(mask)[user]) for user in range(mask.sum())] == [r for r, _ in rows][::2]
