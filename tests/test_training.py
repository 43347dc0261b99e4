"""LambdaRank keeps the contract of rankers; training lists hold what would have been served, and what was bought."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Literal

import lightgbm as lgb
import numpy as np
import pytest

from cortex_rec import snapshot
from cortex_rec.arrays import DAY, Ragged
from cortex_rec.config import CompleteJourneySource, Config, Graph, Ranking, Retrieval
from cortex_rec.config import LambdaRank as LambdaRankConfig
from cortex_rec.encoding import encode
from cortex_rec.errors import ArtifactError, EmptyTrainingSetError
from cortex_rec.features.recent import LENGTH
from cortex_rec.queries import ask
from cortex_rec.ranking import lambdarank, rankers, training
from cortex_rec.ranking.lambdarank import LambdaRank
from cortex_rec.ranking.paths import trees_of
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.ranking.rankers import REGISTRY
from cortex_rec.ranking.training import TrainingLists, _of_users, build, groups, held_out, sample, sampled, spread
from cortex_rec.splits import Window, truth
from cortex_rec.testing.evidence import AS_OF, places
from cortex_rec.testing.ranker_contract import RankerContract, small_lists
from cortex_rec.testing.shop import small_shop

CONFIG = Ranking(lambdarank=LambdaRankConfig(trees=15, leaves=7, min_rows_in_leaf=10))
RUN = Config(
    name="training",
    source=CompleteJourneySource(),
    retrieval=Retrieval(graph=Graph(dimensions=8, steps=2, batch_size=64, negatives=16)),
    ranking=Ranking(negatives=12),
)


class TestLambdaRank(RankerContract):
    def fit(self, lists: Sequence[TrainingLists]) -> Ranker:
        return lambdarank.fit(lists, CONFIG, seed=7, threads=1)


def test_a_sample_keeps_every_bought_candidate_and_so_many_others_of_each_list() -> None:
    owner = np.repeat(np.arange(3), [10, 4, 6])
    bought = np.isin(np.arange(20), [0, 7, 12, 13])
    kept = sample(owner, bought, 3, np.random.default_rng(1))
    assert np.all(np.diff(kept) > 0)
    assert set(np.flatnonzero(bought)) <= set(kept)
    assert np.bincount(owner[kept[~bought[kept]]]).tolist() == [3, 2, 3]


def test_a_sample_of_others_is_drawn_evenly_and_again_the_same() -> None:
    owner, bought = np.zeros(5, np.int64), np.array([True, False, False, False, False])
    draws = [sample(owner, bought, 2, np.random.default_rng(seed)) for seed in range(400)]
    assert all(len(draw) == 3 for draw in draws)
    counts = np.bincount(np.concatenate(draws), minlength=5)
    assert counts[0] == 400
    assert np.all(np.abs(counts[1:] - 200) < 50)
    assert np.array_equal(sample(owner, bought, 2, np.random.default_rng(3)), draws[3])


def test_lists_without_a_candidate_are_no_group() -> None:
    lists = small_lists(0, lists=3, length=2)
    emptied = replace(lists, matrix=replace(lists.matrix, lists=Ragged(np.array([0, 2, 2, 6]), lists.matrix.lists.item)))
    assert groups([emptied, lists]).tolist() == [2, 4, 2, 2, 2]


def test_training_lists_are_saved_whole(tmp_path: Path) -> None:
    lists = small_lists(0)
    lists.save(tmp_path)
    again = TrainingLists.load(tmp_path)
    assert again.matrix.names == lists.matrix.names
    assert again.matrix.lists.pointer.tolist() == lists.matrix.lists.pointer.tolist()
    read = "lists.item values vectors recent.item recent.days recent.baskets"
    for name in (*(f"matrix.{part}" for part in read.split()), "bought", "weight"):
        assert attrgetter(name)(again).tobytes() == attrgetter(name)(lists).tobytes(), name


def test_a_feature_that_never_varies_is_not_learned_from() -> None:
    lists = small_lists(0)
    values = lists.matrix.values
    added = np.concatenate([values, np.full((len(values), 1), 3), np.full((len(values), 1), np.nan)], axis=1)
    more = with_columns(lists, (*lists.matrix.names, "always three", "never known"), added)
    assert lambdarank.fit([more], CONFIG, seed=7, threads=1).features == lists.matrix.names


def test_a_feature_that_is_known_of_hardly_any_candidate_is_not_learned_from() -> None:
    lists = small_lists(0, lists=100, length=40)
    seldom = np.full((2, 4_000), np.nan)
    seldom[0, :2], seldom[1, :1] = 3, 3
    names = (*lists.matrix.names, "two in four thousand", "one in four thousand")
    more = with_columns(lists, names, np.concatenate([lists.matrix.values, seldom.T], axis=1))
    assert training.informative([more]) == names[:-1]


def test_windows_may_have_features_in_another_order_or_lack_some() -> None:
    one, other = small_lists(0), small_lists(1)
    names, values = other.matrix.names, other.matrix.values
    turned = with_columns(other, names[::-1], values[:, ::-1])
    straight, mixed = (lambdarank.fit([one, each], CONFIG, seed=7, threads=1) for each in (other, turned))
    assert mixed.models == straight.models
    fewer = with_columns(other, names[:1], values[:, :1])
    assert lambdarank.fit([one, fewer], CONFIG, seed=7, threads=1).features == names


def test_users_held_out_are_of_the_last_window_and_learned_from_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "FEWEST", 15)
    lists = [small_lists(0), small_lists(1)]
    learned, validation = held_out(lists, 0.25, seed=7)
    (apart,) = validation
    assert learned[0] is lists[0]
    assert (len(apart.matrix.lists), len(learned[1].matrix.lists)) == (15, 45)
    whole = {part.matrix.values.tobytes() for part in by_user(lists[1])}
    parts = [part.matrix.values.tobytes() for part in (*by_user(apart), *by_user(learned[1]))]
    assert len(parts) == len(whole)
    assert set(parts) == whole
    assert apart.matrix.recent.item.shape == (15, LENGTH)
    assert apart.bought.shape == apart.weight.shape == (len(apart.matrix.values),)


@pytest.mark.parametrize(("fewest", "windows"), [(15, 1), (16, 2), (30, 2), (31, 3), (1_000, 3)])
def test_few_users_a_window_are_held_out_of_as_many_windows_as_it_takes(monkeypatch: pytest.MonkeyPatch, fewest: int, windows: int) -> None:
    monkeypatch.setattr(training, "FEWEST", fewest)
    lists = [small_lists(seed) for seed in range(3)]
    learned, validation = held_out(lists, 0.25, seed=7)
    assert [len(each.matrix.lists) for each in validation] == [15] * windows
    assert [len(each.matrix.lists) for each in learned] == [60] * (3 - windows) + [45] * windows


def test_a_row_stands_for_the_others_of_its_list_that_were_not_kept() -> None:
    whole = small_lists(0)
    thinned = sampled(whole.matrix, whole.bought, 2, np.random.default_rng(1))
    owner = thinned.matrix.lists.owner
    assert np.all(thinned.weight[thinned.bought] == 1)
    assert np.allclose(np.bincount(owner, thinned.weight), np.diff(whole.matrix.lists.pointer))
    assert thinned.bought.sum() == whole.bought.sum()


def test_the_feature_that_tells_has_the_largest_gain() -> None:
    importances = lambdarank.fit([small_lists(0)], CONFIG, seed=7, threads=1).importances()
    assert importances[0][0] == "taste"
    assert [gain for _, gain in importances] == sorted((gain for _, gain in importances), reverse=True)


def test_nothing_bought_is_nothing_to_learn() -> None:
    lists = small_lists(0)
    with pytest.raises(EmptyTrainingSetError, match="none of the candidates of any training window was bought"):
        lambdarank.fit([replace(lists, bought=lists.bought & False)], CONFIG, seed=7, threads=1)


@pytest.mark.parametrize(("leaves", "missing"), [(2, 0.0), (31, 0.3), (32, 0.3), (33, 0.1), (150, 0.2)])
def test_trees_give_the_bits_that_lightgbm_gives_however_many_leaves_they_have_and_wherever_a_value_is_missing(
    leaves: int, missing: float
) -> None:
    rng = np.random.default_rng(leaves)
    known, asked = rng.normal(size=(3_000, 6)).astype(np.float32), rng.normal(size=(200, 6)).astype(np.float32)
    known[rng.random(known.shape) < missing] = asked[rng.random(asked.shape) < 0.3] = np.nan
    known[:, 3], asked[:, 3] = np.round(known[:, 3]), np.round(asked[:, 3])
    wanted = np.nan_to_num(known[:, 0]) * np.nan_to_num(known[:, 3], nan=2) + rng.normal(size=len(known))
    settings = {"num_leaves": leaves, "min_data_in_leaf": 3, "num_threads": 1, "verbosity": -1}
    model = lambdarank.scaled(lgb.train(settings, lgb.Dataset(known, wanted), 20), 1.0)
    booster = lgb.Booster(model_str=model)
    assert leaves >= max(tree["num_leaves"] for tree in booster.dump_model()["tree_info"]) > leaves // 2
    # Values on the very edge of a split, too.
    asked[:40, 0] = [each for tree in trees_of(model) for each in tree["threshold"][tree["split_feature"] == 0]][:40] if leaves > 2 else 0
    ranker = LambdaRank({"one": model}, ("a", "b", "c", "d", "e", "f"))
    for n in (1, 31, 32, 33, 200):
        matrix = replace(small_lists(0).matrix, names=ranker.features, values=asked[:n])
        assert ranker.score(matrix).tobytes() == booster.predict(asked[:n]).astype(np.float32).tobytes()


def test_trees_that_split_by_category_are_refused() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, (500, 1)).astype(np.float32)
    data = lgb.Dataset(values, (values[:, 0] == 2).astype(np.float32), categorical_feature=[0])
    booster = lgb.train({"min_data_in_leaf": 3, "verbosity": -1, "num_threads": 1}, data, 2)
    with pytest.raises(ArtifactError, match="splits by category"):
        LambdaRank({"one": booster.model_to_string()}, ("a",)).score(replace(small_lists(0).matrix, names=("a",), values=values))


def test_a_model_of_which_trees_are_missing_names_its_folder(tmp_path: Path) -> None:
    made = lambdarank.fit([small_lists(0)], CONFIG, seed=7, threads=1)
    made.save(tmp_path)
    assert LambdaRank.load(tmp_path).models == made.models
    text = (tmp_path / "lambdarank.txt").read_text(encoding="utf-8")
    for damaged in (text[: text.rindex("Tree=")], text.replace("tree_sizes", "sizes"), text.replace("threshold=", "threshold=x "), ""):
        (tmp_path / "lambdarank.txt").write_text(damaged, encoding="utf-8")
        with pytest.raises(ArtifactError, match=f"{tmp_path}: the ranker cannot be read"):
            LambdaRank.load(tmp_path)


def test_the_objectives_count_alike_and_one_alone_will_do() -> None:
    lists, matrix = small_lists(0), small_lists(0).matrix
    both = lambdarank.fit([lists], CONFIG, seed=7, threads=1)
    parts = [booster.predict(matrix.values) for booster in both.boosters.values()]
    assert [spread([part], [lists]) for part in parts] == pytest.approx([0.5, 0.5], rel=1e-4)
    assert np.allclose(both.score(matrix), sum(parts), atol=1e-6)
    alone = lambdarank.fit([lists], Ranking(lambdarank=LambdaRankConfig(objectives=("rank_xendcg",), trees=5)), seed=7, threads=1)
    assert list(alone.boosters) == ["rank_xendcg"]


def test_no_trees_are_added_when_the_users_kept_apart_are_not_ranked_better() -> None:
    config = Ranking(lambdarank=LambdaRankConfig(trees=200, patience=5, leaves=7, min_rows_in_leaf=10))
    stopped = lambdarank.fit([small_lists(0)], config, validation=[small_lists(1)], seed=7, threads=1)
    assert all(0 < booster.num_trees() < 100 for booster in stopped.boosters.values())
    unstopped = lambdarank.fit([small_lists(0)], config, seed=7, threads=1)
    assert [booster.num_trees() for booster in unstopped.boosters.values()] == [200, 200]


@pytest.mark.parametrize("file", ["lambdarank.txt", "rank_xendcg.txt", "lambdarank.json"])
@pytest.mark.parametrize("content", ["", "damaged", None])
def test_a_missing_or_damaged_file_of_the_ranker_is_named(tmp_path: Path, file: str, content: str | None) -> None:
    lambdarank.fit([small_lists(0)], CONFIG, seed=7, threads=1).save(tmp_path)
    assert json.loads((tmp_path / "lambdarank.json").read_text(encoding="utf-8"))["features"] == list(small_lists(0).matrix.names)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match="the ranker cannot be read"):
        LambdaRank.load(tmp_path)


def test_a_windows_lists_label_what_was_bought_in_it_among_what_would_have_been_served() -> None:
    data = encode(small_shop())
    window = Window(AS_OF - 7 * DAY, AS_OF)
    fitted = snapshot.fit(data, places(len(data.items), seed=7), RUN, as_of=window.start)
    lists = build(fitted, data, window, RUN)
    users, bought = truth(data.histories, window)
    candidates = fitted.union.retrieve(ask(data.histories, users, window.start, len(data.items))).lists
    found = sum(len(np.intersect1d(candidates[i], bought[i])) for i in range(len(users)))
    assert lists.bought.sum() == found > 100
    per_user = [lists.bought[start:end] for start, end in pairwise(lists.matrix.lists.pointer)]
    assert len(per_user) == len(users)
    assert max(np.count_nonzero(~own) for own in per_user) == RUN.ranking.negatives
    assert build(fitted, data, window, RUN).matrix.values.tobytes() == lists.matrix.values.tobytes()


def test_a_windows_lists_built_in_parts_and_joined_are_those_built_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(training, "BLOCK", 20)
    monkeypatch.setattr(training, "PART", 40)
    data = encode(small_shop())
    window = Window(AS_OF - 7 * DAY, AS_OF)
    fitted = snapshot.fit(data, places(len(data.items), seed=7), RUN, as_of=window.start)
    n = len(truth(data.histories, window)[0])
    assert 40 < n <= 60
    assert training.parts(n) == [slice(0, 2), slice(2, 4)]
    assert training.parts(40) == [slice(0, 2)]
    parts = [build(fitted, data, window, RUN, blocks) for blocks in reversed(training.parts(n))][::-1]
    assert [len(part.matrix.lists) for part in parts] == [40, n - 40]
    for name, lists in (("whole", build(fitted, data, window, RUN)), ("joined", training.joined(parts))):
        (tmp_path / name).mkdir()
        lists.save(tmp_path / name)
    assert (tmp_path / "whole" / "lists.safetensors").read_bytes() == (tmp_path / "joined" / "lists.safetensors").read_bytes()


def with_columns(lists: TrainingLists, names: tuple[str, ...], values: np.ndarray) -> TrainingLists:
    """The same lists with other features."""
    return replace(lists, matrix=replace(lists.matrix, names=names, values=np.ascontiguousarray(values, np.float32)))


def by_user(lists: TrainingLists) -> list[TrainingLists]:
    """One object a user."""
    n = len(lists.matrix.lists)
    return [_of_users(lists, np.arange(n) == i) for i in range(n)]


@pytest.mark.parametrize("ranker", list(REGISTRY))
def test_a_shop_with_one_user_a_window_cannot_be_learned_from_and_says_so(ranker: Literal["lambdarank", "neural", "blend"]) -> None:
    with pytest.raises(EmptyTrainingSetError, match="no candidate is left to validate on"):
        rankers.fit([small_lists(0, lists=1), small_lists(1, lists=1)], RUN.model_copy(update={"ranker": ranker}))
