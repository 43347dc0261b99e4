"""What moves the scores: contributions add up, groups and directions by value, and only test users' first items are explained."""

from dataclasses import replace

import numpy as np
import pytest
from judged import influence

from cortex_rec.evaluation.influence import BANDS, describe, direction, group_of
from cortex_rec.evaluation.judge import explain, judge
from cortex_rec.ranking.blend import Blend
from cortex_rec.recommender import Recommender
from cortex_rec.splits import Window


def test_features_are_told_by_what_they_add_or_take_on_average() -> None:
    found = describe(influence())
    assert (found["users"], found["candidates"]) == (2, 4)
    assert [(each["name"], each["size"]) for each in found["features"]] == [
        ("pair_recency", pytest.approx((0.3 + 0.1 + 0.2 + 0.4) / 4)),
        ("repeats_rank", pytest.approx((0.1 + 0.1 + 0.2 + 0.1) / 4)),
        ("a$1 to $2", 0),
    ]
    assert [each["gain"] for each in found["features"]] == [1, None, None]
    assert found["groups"] == {"pair": pytest.approx(0.25), "retrievers": pytest.approx(0.125), "a$1 to $2": 0}


def test_what_no_feature_says_is_a_kind_of_its_own_when_it_moves_scores() -> None:
    neural = replace(influence(), rest=np.array([1, 1, 2, 5], np.float32))
    # The median is 1.5.
    assert describe(neural)["groups"] == {"rest": 1.25, **describe(influence())["groups"]}


def test_a_feature_belongs_to_the_first_word_of_its_name_or_to_the_retrievers() -> None:
    names = ("pair_decay_14", "found_by", "graph_score", "popular_rank", "neural_score", "day_of_month")
    assert [group_of(name, ("graph", "popular")) for name in names] == ["pair", "retrievers", "retrievers", "retrievers", "neural", "day"]


def test_bands_follow_the_values_from_the_smallest_to_the_largest_whatever_their_order() -> None:
    values = np.random.default_rng(1).permutation(101).astype(np.float32)
    found = direction(values, np.where(values < 50, -1, values / 100).astype(np.float32))
    assert found["missing"] is None
    assert found["bands"][:4] == [-1] * 4
    # From 50 to 60, bounds included.
    assert found["bands"][5] == pytest.approx(0.55)
    assert found["bands"] == sorted(found["bands"])


def test_a_value_that_fills_several_bands_is_in_all_of_them_and_a_missing_one_apart() -> None:
    values = np.array([0] * 8 + [1] * 8 + [np.nan] * 4, np.float32)
    found = direction(values, np.array([-0.5] * 8 + [0.25] * 8 + [-2, -2, 0, 0], np.float32))
    assert found["bands"][0] == -0.5
    assert found["bands"][-1] == 0.25
    assert None not in found["bands"]
    assert found["missing"] == -1
    assert direction(np.full(3, np.nan, np.float32), np.ones(3, np.float32)) == {"bands": [None] * BANDS, "missing": 1}


def test_the_first_items_of_so_many_test_users_are_explained_and_again_the_same(recommender: Recommender, window: Window) -> None:
    found = explain(recommender, window, seed=3, users=7, shown=4)
    assert found is not None
    assert (found.users, found.values.shape, found.contributions.shape) == (7, (28, len(found.names)), (28, len(found.names)))
    again = explain(recommender, window, seed=3, users=7, shown=4)
    other = explain(recommender, window, seed=4, users=7, shown=4)
    assert again is not None
    assert other is not None
    assert again.contributions.tobytes() == found.contributions.tobytes()
    assert other.contributions.tobytes() != found.contributions.tobytes()


@pytest.mark.parametrize("part", ["blend", "trees"])
def test_what_the_features_and_the_rest_add_to_the_first_items_are_their_scores(
    recommender: Recommender, window: Window, part: str
) -> None:
    blend = recommender.ranker.ranker
    assert isinstance(blend, Blend)
    if part == "trees":
        recommender = replace(recommender, ranker=replace(recommender.ranker, ranker=blend.trees))
    judged = judge(recommender, window)
    found = explain(recommender, window, seed=3, users=10_000, shown=5)
    assert found is not None
    assert found.users == len(judged.users)
    place = np.arange(len(judged.scores)) - judged.ranked.pointer[judged.ranked.owner]
    assert (np.ptp(found.rest) > 0) == (part == "blend")
    assert np.sort(found.contributions.sum(axis=1) + found.rest) == pytest.approx(np.sort(judged.scores[place < 5]), abs=1e-5)


def test_a_ranker_that_cannot_say_what_a_feature_adds_is_not_explained(recommender: Recommender, window: Window) -> None:
    class Silent:
        def score(self, matrix: object) -> np.ndarray:
            return np.zeros(len(matrix.values), np.float32)  # type: ignore[attr-defined]

        def contributions(self, matrix: object) -> None:
            return None

    assert explain(replace(recommender, ranker=Silent()), window, seed=3, users=3) is None  # type: ignore[arg-type]
