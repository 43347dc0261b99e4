"""Recall and NDCG over the whole catalogue equal a ten-line reference."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_rec.arrays import Ragged
from cortex_rec.evaluation import full_ranking
from cortex_rec.evaluation.full_ranking import judge

N_ITEMS, K = 7, 3


def reference(scores: list[float], known: set[int], truth: set[int]) -> tuple[float, float]:
    """The LightGCN paper's metrics of one user."""
    ranked = sorted((item for item in range(N_ITEMS) if item not in known), key=lambda item: -scores[item])[:K]
    hits = [item in truth for item in ranked]
    gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
    ideal = sum(1 / math.log2(place + 2) for place in range(min(K, len(truth))))
    return sum(hits) / len(truth), gain / ideal


SCORES = st.permutations([float(score) for score in range(N_ITEMS)])
USER = st.tuples(SCORES, st.sets(st.integers(0, 3), max_size=3), st.sets(st.integers(4, 6), min_size=1))


@settings(deadline=None)
@given(st.lists(USER, min_size=1, max_size=5))
def test_each_users_figures_are_those_of_the_reference(people: list[tuple[list[float], set[int], set[int]]]) -> None:
    known, truth = (Ragged.of([np.array(sorted(person[part])) for person in people]) for part in (1, 2))
    table = np.array([scores for scores, _, _ in people], np.float32)
    found = judge(lambda users: table[users].copy(), np.arange(len(people)), known, truth, K)
    expected = np.array([reference(*person) for person in people])
    assert np.allclose(found["recall@3"], expected[:, 0])
    assert np.allclose(found["ndcg@3"], expected[:, 1])


def test_users_are_judged_block_by_block_and_only_those_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(full_ranking, "BLOCK", 2)
    table, asked = np.eye(5, N_ITEMS, dtype=np.float32), []

    def scores(users: np.ndarray) -> np.ndarray:
        asked.append(users.tolist())
        return table[users].copy()

    known, truth = Ragged.of([np.zeros(0)] * 5), Ragged.of([np.array([i]) for i in range(5)])
    found = judge(scores, np.array([0, 1, 2, 4]), known, truth, 1)
    assert asked == [[0, 1], [2, 4]]
    assert found["recall@1"].tolist() == [1, 1, 1, 1]
