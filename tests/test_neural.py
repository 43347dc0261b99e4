"""The neural ranker keeps the contract, answers as torch does, and learns from the history and the items' vectors."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from cortex_rec.arrays import F32, Ragged, pointers
from cortex_rec.config import Neural as NeuralConfig
from cortex_rec.config import Ranking
from cortex_rec.errors import ArtifactError, ConfigError, EmptyTrainingSetError
from cortex_rec.features.assemble import Matrix
from cortex_rec.features.recent import Recent
from cortex_rec.ranking import neural, neural_training, piecewise
from cortex_rec.ranking.neural import BLOCK, Neural
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.ranking.training import TrainingLists
from cortex_rec.testing.ranker_contract import RankerContract, small_lists

SMALL = NeuralConfig(
    pieces=4, width=8, item_width=8, deep=(8,), heads=2, history=20, cross_rank=4, epochs=12, lists_a_step=8, learning_rate=0.02
)
CONFIG = Ranking(neural=SMALL)
ITEMS = 300


class TestNeural(RankerContract):
    def fit(self, lists: Sequence[TrainingLists]) -> Ranker:
        return neural.fit(lists, CONFIG, seed=7, threads=1)


@cache
def small() -> Neural:
    return neural.fit([small_lists(0)], CONFIG, seed=7, threads=1)


def big_lists(lengths: Sequence[int], seed: int = 3) -> TrainingLists:
    """Lists with items out of `ITEMS`, two features, histories of 9 to 60 items and vectors of 16 numbers; nothing bought."""
    rng = np.random.default_rng(seed)
    n, lists = sum(lengths), len(lengths)
    item = np.concatenate([np.sort(rng.choice(ITEMS, length, replace=False)) for length in lengths]).astype(np.int32)
    known = np.arange(60) < rng.integers(9, 61, (lists, 1))
    recent = Recent(
        np.where(known, np.argsort(rng.random((lists, ITEMS)), axis=1)[:, :60], -1).astype(np.int32),
        np.where(known, np.sort(rng.uniform(0, 200, (lists, 60)), axis=1), np.nan).astype(np.float32),
        np.where(known, rng.integers(1, 30, (lists, 60)), np.nan).astype(np.float32),
    )
    values = rng.normal(size=(n, 2)).astype(np.float32)
    vectors = np.random.default_rng(99).normal(size=(ITEMS, 16)).astype(np.float32)
    matrix = Matrix(Ragged(pointers(np.array(lengths)), item), ("one", "two"), values, recent, vectors)
    return TrainingLists(matrix, np.zeros(n, bool), np.ones(n, np.float32))


def labelled(lists: TrainingLists, fit: F32) -> TrainingLists:
    """The three candidates of each list with the largest `fit` are bought."""
    owner = lists.matrix.lists.owner
    order = np.lexsort((-fit, owner))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - lists.matrix.lists.pointer[owner[order]]
    return replace(lists, bought=place < 3)


def hits(ranker: Ranker, lists: TrainingLists) -> float:
    """Share of the bought candidates that are among the best three of their list."""
    best = labelled(lists, ranker.score(lists.matrix)).bought
    return float((best & lists.bought).sum() / lists.bought.sum())


def network_and_ranker(lists: TrainingLists, config: NeuralConfig) -> tuple[neural_training.Network, Neural]:
    """A network of random weights and the ranker that answers as it does."""
    pieces = piecewise.fit(lists.matrix.values.T, lists.bought, config.pieces)
    torch.manual_seed(1)
    network = neural_training.Network(pieces.width, lists.matrix.vectors.shape[1], config).eval()
    with torch.no_grad():
        network.same.copy_(torch.randn(config.heads))
    scale = np.ones(lists.matrix.vectors.shape[1], np.float32)
    weights = neural_training._exported(network.state_dict(), scale, config)
    return network, Neural(lists.matrix.names, pieces, config.history, weights)


@pytest.mark.parametrize("config", [NeuralConfig(), SMALL, NeuralConfig(crosses=0, deep=(), heads=1)])
def test_numpy_answers_as_torch_within_a_hundred_thousandth(config: NeuralConfig) -> None:
    lists = big_lists([150, 64, 1, 200])
    lists.matrix.values[::5, 0] = np.nan
    network, ranker = network_and_ranker(lists, config)
    window = neural_training._Window(lists, ranker.features, ranker.pieces, np.ones(16, np.float32), config)
    batch = replace(window.batch(np.arange(4)), inputs=torch.from_numpy(np.ascontiguousarray(ranker.pieces.encode(lists.matrix.values))))
    with torch.no_grad():
        expected = network(batch).numpy()
    assert np.ptp(expected) > 0.1
    assert np.abs(ranker.score(lists.matrix) - expected).max() < 1e-5


def test_no_bit_of_a_score_depends_on_how_many_candidates_there_are_or_in_which_order() -> None:
    lists = big_lists([ITEMS])
    _, ranker = network_and_ranker(lists, NeuralConfig())
    matrix = lists.matrix
    scores = ranker.score(matrix)
    for count in (1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 130, ITEMS):
        chosen = np.random.default_rng(count).permutation(ITEMS)[:count]
        some = replace(matrix, lists=Ragged(np.array([0, count]), matrix.lists.item[chosen]), values=matrix.values[chosen])
        assert ranker.score(some).tobytes() == scores[chosen].tobytes()


def test_no_bit_of_a_score_depends_on_how_many_threads_the_matrix_products_may_use() -> None:
    lists = big_lists([ITEMS])
    _, ranker = network_and_ranker(lists, NeuralConfig(pieces=1_000))  # a product so wide that it is divided among threads
    scores = []
    for threads in (1, 2, 4):
        with threadpool_limits(limits=threads, user_api="blas"):
            scores.append(ranker.score(lists.matrix).tobytes())
    assert scores[0] == scores[1] == scores[2]


def test_a_list_scores_alone_as_among_others_bit_for_bit() -> None:
    lists = big_lists([100, 0, 70, 1])
    _, ranker = network_and_ranker(lists, NeuralConfig())
    matrix, pointer = lists.matrix, lists.matrix.lists.pointer
    scores = ranker.score(matrix)
    for i in range(4):
        rows, own = slice(pointer[i], pointer[i + 1]), slice(i, i + 1)
        recent = Recent(matrix.recent.item[own], matrix.recent.days[own], matrix.recent.baskets[own])
        alone = replace(matrix.rows(rows), lists=Ragged(pointer[i : i + 2] - pointer[i], matrix.lists.item[rows]), recent=recent)
        assert ranker.score(alone).tobytes() == scores[rows].tobytes()


def test_it_learns_that_what_was_bought_lately_is_bought_again() -> None:
    def again(seed: int) -> TrainingLists:
        lists = big_lists([40] * 120, seed)
        matrix = lists.matrix
        owner, latest = matrix.lists.owner, matrix.recent.item[:, :20]
        return labelled(lists, np.any(matrix.lists.item[:, None] == latest[owner], axis=1) + lists.matrix.values[:, 0] / 100)

    ranker = neural.fit([again(1)], CONFIG, seed=7, threads=1)
    assert hits(ranker, again(2)) > 0.6  # by chance .08


def test_it_learns_that_what_is_near_the_latest_items_is_bought() -> None:
    def near(seed: int) -> TrainingLists:
        lists = big_lists([40] * 200, seed)
        matrix = lists.matrix
        mean = matrix.vectors[matrix.recent.item[:, :9]].mean(axis=1)
        return labelled(lists, np.einsum("ij,ij->i", matrix.vectors[matrix.lists.item], mean[matrix.lists.owner]))

    ranker = neural.fit([near(1)], Ranking(neural=SMALL.model_copy(update={"history": 9, "epochs": 20})), seed=7, threads=1)
    assert hits(ranker, near(2)) > 0.3  # by chance .08


def test_a_list_loses_what_its_bought_ones_lack_in_the_softmax_over_the_root_of_their_number() -> None:
    lists = big_lists([3, 2])
    lists = replace(lists, bought=np.array([True, False, True, True, False]), weight=np.array([1, 4, 1, 1, 2], np.float32))
    window = neural_training._Window(
        lists, ("one",), piecewise.fit([lists.matrix.values[:, 0]], lists.bought, 2), np.ones(16, np.float32), SMALL
    )
    scores = np.log(np.array([1, 2, 3, 5, 7]))
    found = neural_training.loss(torch.from_numpy(scores), window.batch(np.arange(2))).numpy()
    total = 1 + 4 * 2 + 3
    assert found == pytest.approx([-(np.log(1 / total) + np.log(3 / total)) / np.sqrt(2), -np.log(5 / (5 + 2 * 7))])


def test_the_weights_of_the_epoch_that_is_best_on_other_users_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    losses, seen = iter([3.0, 1.0, 2.0]), []

    def judge(network: torch.nn.Module, *_: object) -> float:
        seen.append(network.state_dict()["last.weight"].numpy().T.copy())
        return next(losses)

    monkeypatch.setattr(neural_training, "_judge", judge)
    config = Ranking(neural=SMALL.model_copy(update={"epochs": 3}))
    ranker = neural.fit([small_lists(0)], config, validation=[small_lists(1)], seed=7, threads=1)
    assert np.array_equal(ranker.weights["last.weight"], seen[1])
    assert not np.array_equal(seen[1], seen[2])


def test_a_feature_that_only_tells_windows_apart_is_not_read() -> None:
    def with_week(seed: int) -> TrainingLists:
        matrix = small_lists(seed).matrix
        values = np.concatenate([matrix.values, np.full((len(matrix.values), 1), seed, np.float32)], axis=1)
        return replace(small_lists(seed), matrix=replace(matrix, names=(*matrix.names, "week"), values=values))

    config = Ranking(neural=SMALL.model_copy(update={"epochs": 1}))
    assert neural.fit([with_week(0), with_week(1)], config, seed=7, threads=1).features == small().features


def test_another_seed_gives_another_ranker() -> None:
    other = neural.fit([small_lists(0)], CONFIG, seed=8, threads=1)
    matrix = small_lists(2).matrix
    assert not np.array_equal(other.score(matrix), small().score(matrix))


def test_training_leaves_the_settings_and_the_generator_of_torch_as_they_were() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    torch.use_deterministic_algorithms(False)
    threads = torch.get_num_threads()
    neural.fit([small_lists(0, lists=8)], Ranking(neural=SMALL.model_copy(update={"epochs": 1})), seed=7, threads=threads + 1)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(1), expected)


def test_lists_in_which_nothing_or_all_was_bought_cannot_be_learned_from() -> None:
    lists = small_lists(0)
    for bought in (np.zeros(len(lists.bought), bool), np.ones(len(lists.bought), bool)):
        with pytest.raises(EmptyTrainingSetError, match="has a bought candidate and another"):
            neural.fit([replace(lists, bought=bought)], CONFIG, seed=7, threads=1)


def test_steps_so_long_that_nothing_is_learned_are_told() -> None:
    config = Ranking(neural=SMALL.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(ConfigError, match=r"Lower `learning_rate`, now 1e\+30"):
        neural.fit([small_lists(0)], config, seed=7, threads=1)


@pytest.mark.parametrize("name", ["neural.safetensors", "neural.json"])
def test_a_missing_or_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    small().save(tmp_path)
    (tmp_path / name).write_text("{}")
    with pytest.raises(ArtifactError, match="releases verify"):
        Neural.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError):
        Neural.load(tmp_path)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="32 cannot be shared among 5 heads"):
        NeuralConfig(heads=5)


def test_a_value_has_come_through_the_pieces_below_it_and_part_of_its_own() -> None:
    values = np.array([0, 1, 3, 3, 5, np.nan], np.float32)
    pieces = piecewise.Piecewise(np.array([0, 0]), np.array([0, 3], np.float32), np.array([1 / 3, 1 / 2], np.float32), np.array([0]))
    found = pieces.encode(np.append(values, [-2, 9]).astype(np.float32)[:, None])
    expected = [[0, 0, 0], [1 / 3, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 0]]
    assert found == pytest.approx(np.array(expected))
    assert found.dtype == np.float32


def test_edges_are_quantiles_of_all_and_of_the_bought_and_only_gaps_are_told_as_missing() -> None:
    values = np.append(np.arange(101), [np.nan] * 4).astype(np.float32)
    bought = values >= 90
    pieces = piecewise.fit([values, np.nan_to_num(values), np.full(105, 2, np.float32)], bought, 4)
    own = pieces.column == 0
    assert pieces.low[own].tolist() == [0, 1, 50, 90, 95, 99]
    assert 1 / pieces.slope[own] == pytest.approx([1, 49, 40, 5, 4, 1])
    assert pieces.missing.tolist() == [0]
    assert set(pieces.column) == {0, 1}


def test_pieces_too_narrow_to_divide_by_are_joined() -> None:
    values = np.array([0, 1e-30, 1, 1e30], np.float32)
    pieces = piecewise.fit([values], np.ones(4, bool), 8)
    assert np.isfinite(pieces.slope).all()
    assert np.isfinite(pieces.encode(np.array([[3e38], [-3e38]], np.float32))).all()


def test_item_vectors_that_are_all_the_same_tell_nothing_and_break_nothing() -> None:
    alike = np.random.default_rng(5).normal(size=6).astype(np.float32)
    lists = [small_lists(0), small_lists(1)]
    same = [replace(each, matrix=replace(each.matrix, vectors=np.tile(alike, (len(each.matrix.vectors), 1)))) for each in lists]
    without = [replace(each, matrix=replace(each.matrix, vectors=np.zeros_like(each.matrix.vectors))) for each in lists]
    fitted = [neural.fit(each, CONFIG, seed=7, threads=1) for each in (same, without)]
    assert fitted[0].score(same[0].matrix).tobytes() == fitted[1].score(without[0].matrix).tobytes()
