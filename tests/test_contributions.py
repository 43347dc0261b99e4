"""What kinds of features add to a score: the changes on the ways down the trees, worked out by hand and beside SHAP."""

import lightgbm as lgb
import numpy as np
import pytest

from cortex_rec.config import Ranking
from cortex_rec.features.kinds import KINDS, kind_of, places
from cortex_rec.ranking import lambdarank
from cortex_rec.ranking.lambdarank import LambdaRank
from cortex_rec.ranking.paths import Paths
from cortex_rec.testing.ranker_contract import NAMES, small_lists

CONFIG = Ranking.model_validate(
    {"lambdarank": {"trees": 20, "leaves": 6, "min_rows_in_leaf": 5, "objectives": ["lambdarank", "rank_xendcg"]}}
)


@pytest.fixture(scope="module")
def ranker() -> LambdaRank:
    return lambdarank.fit([small_lists(0), small_lists(1)], CONFIG, validation=[small_lists(2)], seed=7, threads=1)


def two_splits() -> lgb.Booster:
    """One tree: 6 rows on the left of the first feature's split; 2 and 4 on either side of the second's, which is on its right."""
    first = np.repeat([0.0, 1.0, 1.0], [6, 2, 4])
    second = np.repeat([0.0, 0.0, 1.0], [6, 2, 4])
    wanted = np.repeat([0.0, 9.0, 12.0], [6, 2, 4])
    fixed = {"verbosity": -1, "min_data_in_leaf": 1, "min_data_in_bin": 1, "learning_rate": 1.0, "boost_from_average": False, "seed": 1}
    return lgb.train({**fixed, "num_leaves": 3, "objective": "l2"}, lgb.Dataset(np.column_stack([first, second]), wanted), 1)


def test_a_split_adds_the_change_of_the_mean_to_its_feature() -> None:
    tree = two_splits()
    ways = Paths.through([tree.model_to_string()], np.array([0, 1]), 2).of([tree], np.array([[0, 0], [1, 0], [1, 1]], np.float32))
    # All rows have the mean 66 / 12 = 5.5, those on the right of the first split 66 / 6 = 11.
    assert ways == pytest.approx(np.array([[-5.5, 0], [5.5, -2], [5.5, 1]]), abs=1e-5)


def test_features_of_one_group_are_added_up() -> None:
    tree = two_splits()
    ways = Paths.through([tree.model_to_string()], np.array([1, 1]), 3).of([tree], np.array([[1, 0]], np.float32))
    assert ways == pytest.approx(np.array([[0, 3.5, 0]]), abs=1e-5)


def test_a_tree_without_a_split_adds_nothing() -> None:
    flat = lgb.train({"verbosity": -1, "objective": "l2"}, lgb.Dataset(np.zeros((5, 2)), np.arange(5.0)), 1)
    split = two_splits()
    values = np.array([[1, 0]], np.float32)
    ways = Paths.through([flat.model_to_string(), split.model_to_string()], np.array([0, 1]), 2).of([flat, split], values)
    assert ways == pytest.approx(np.array([[5.5, -2]]), abs=1e-5)


def test_what_the_kinds_add_sums_to_the_score_less_the_mean(ranker: LambdaRank) -> None:
    matrix = small_lists(3).matrix
    mean = ranker.contributions(matrix)[:, -1]
    added = ranker.contributions_by_kind(matrix)
    assert added.shape == (len(matrix.values), len(KINDS))
    assert np.ptp(added, axis=0).max() > 0.1
    assert np.abs(added.sum(axis=1) - (ranker.score(matrix) - mean)).max() < 1e-5


def test_they_mostly_agree_with_shap_about_what_counts_most(ranker: LambdaRank) -> None:
    matrix = small_lists(3).matrix
    shap = ranker.contributions(matrix)[:, :-1]
    added = ranker.contributions_by_kind(matrix)[:, places(NAMES)]
    assert np.corrcoef(shap.ravel(), added.ravel())[0, 1] > 0.9


def test_no_row_has_no_contribution(ranker: LambdaRank) -> None:
    nothing = small_lists(2).matrix.rows(slice(0, 0))
    assert ranker.contributions_by_kind(nothing).shape == (0, len(KINDS))


@pytest.mark.parametrize(
    ("feature", "kind"),
    [
        ("pair_due", "what you buy"),
        ("repeats_rank", "what you buy"),
        ("copurchase_score", "what goes with it"),
        ("offer_display", "offers"),
        ("pair_price_ratio", "its price"),
        ("item_recent_discount", "its price"),
        ("taste_brand_in_category", "your shelves"),
        ("item_lines_7", "how it sells"),
        ("item_days_listed", "how new it is"),
        ("user_gap", "who asks"),
        ("a_retriever_of_ones_own", "who asks"),
    ],
)
def test_a_feature_belongs_to_what_its_name_tells(feature: str, kind: str) -> None:
    assert kind_of(feature) == kind
    assert KINDS[places([feature])[0]] == kind
