"""LightGCN in large steps: the propagation, the loss and its early end, each against a plain formula on a small graph."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from cortex_rec.arrays import Ragged
from cortex_rec.config import LightGCN
from cortex_rec.errors import EmptyTrainingSetError
from cortex_rec.retrieval import lightgcn_softmax
from cortex_rec.retrieval.propagation import Propagate, by_dgl, by_torch

CPU = torch.device("cpu")
SMALL = LightGCN(dimensions=4, layers=2, steps=4, users=16, negatives=8)


def communities(n_users: int = 40, n_items: int = 24, *, seed: int = 5) -> Ragged:
    """Two halves of users who each know two thirds of their own half of the items."""
    generator, half = np.random.default_rng(seed), n_items // 2
    return Ragged.of([np.sort(generator.choice(half, 8, replace=False)) + half * (user % 2) for user in range(n_users)])


@pytest.mark.parametrize("made_by", [by_dgl, by_torch])
def test_propagation_is_the_mean_of_the_layers_and_its_own_gradient(made_by: Callable[..., Propagate]) -> None:
    matrix = np.array([[0, 0, 1, 1, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], np.float32)
    scale = 1 / np.sqrt(np.maximum(matrix.sum(axis=1), 1))
    normal = scale[:, None] * matrix * scale
    mean = (np.eye(5) + normal + normal @ normal + normal @ normal @ normal) / 4
    source, target = (torch.from_numpy(ends) for ends in np.nonzero(matrix))
    vectors = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(2))
    smoothed = made_by((source, target), 5, 3, CPU)(vectors)
    (smoothed * weight).sum().backward()
    assert np.allclose(smoothed.detach().numpy(), mean @ vectors.detach().numpy(), atol=1e-6)
    assert np.allclose(vectors.grad.numpy(), mean.T @ weight.numpy(), atol=1e-6)


def test_with_the_whole_catalogue_as_sample_each_item_competes_with_those_that_the_user_does_not_have() -> None:
    generator = torch.Generator().manual_seed(1)
    users, items = (torch.nn.functional.normalize(torch.randn(n, 4, generator=generator)) for n in (3, 6))
    chunk, owner, item = np.array([0, 2]), np.array([0, 0, 1]), np.array([1, 4, 5])
    found = lightgcn_softmax._loss(users, items, chunk, owner, item, np.arange(6), 0.3)
    logits = users @ items.T / 0.3
    competing = [(0, [1, 0, 2, 3, 5]), (0, [4, 0, 2, 3, 5]), (2, [5, 0, 1, 2, 3, 4])]
    expected = -sum(torch.log_softmax(logits[user, rows], dim=0)[0] for user, rows in competing)
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_sample_of_own_items_alone_leaves_nothing_to_compete_with() -> None:
    generator = torch.Generator().manual_seed(1)
    users, items = (torch.nn.functional.normalize(torch.randn(n, 4, generator=generator)) for n in (1, 5))
    own = np.array([1, 3])
    found = lightgcn_softmax._loss(users, items, np.array([0]), np.zeros(2, np.int64), own, own, 0.3)
    assert found.item() == pytest.approx(0, abs=1e-3)


def test_items_are_drawn_once_each_the_more_buyers_the_likelier_those_without_one_never() -> None:
    generator = np.random.default_rng(1)
    drawn = [lightgcn_softmax._sample(generator, np.array([0.0, 1, 2, 4, 8, 0]), 2) for _ in range(2_000)]
    counts = np.bincount(np.concatenate(drawn), minlength=6)
    assert all(len(np.unique(each)) == 2 for each in drawn)
    assert counts[0] == counts[5] == 0
    assert np.all(np.diff(counts[1:5]) > 0)
    assert lightgcn_softmax._sample(generator, np.array([0.0, 1, 2, 4, 8, 0]), 99).tolist() == [1, 2, 3, 4]


def test_two_fits_are_equal_to_the_last_bit() -> None:
    first, second = (lightgcn_softmax.fit(communities(), 24, SMALL, seed=7) for _ in range(2))
    assert first.steps == second.steps
    assert first.users.tobytes() == second.users.tobytes()
    assert first.items.tobytes() == second.items.tobytes()


def test_training_from_the_same_start_on_torch_sparse_ends_where_dgl_does(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, by_default = lightgcn_softmax.train(communities(), 24, SMALL, seed=7, every=4)
    monkeypatch.setattr("cortex_rec.retrieval.propagation.by_dgl", by_torch)
    *_, other = lightgcn_softmax.train(communities(), 24, SMALL, seed=7, every=4)
    assert by_default.steps == other.steps == 4
    assert np.allclose(by_default.items, other.items, atol=1e-4)


def test_it_learns_which_items_go_together() -> None:
    found = lightgcn_softmax.fit(communities(), 24, SMALL, seed=7)
    scores = found.scores(np.arange(40))
    own = scores.reshape(40, 2, 12).mean(axis=2)
    side = np.arange(40) % 2
    assert np.all(own[np.arange(40), side] > own[np.arange(40), 1 - side])


def test_states_are_shown_from_the_start_to_the_end_and_a_score_has_the_popularity_back() -> None:
    pairs = communities()
    states = list(lightgcn_softmax.train(pairs, 24, SMALL, seed=7, every=3))
    assert [state.steps for state in states] == [0, 3, 4]
    buyers = np.bincount(pairs.item, minlength=24)
    cosines = states[-1].users[:5] @ states[-1].items.T
    assert np.allclose(states[-1].scores(np.arange(5)) - cosines, 0.1 * 0.6 * np.log(buyers), atol=1e-5)
    assert np.array_equal(lightgcn_softmax.fit(pairs, 24, SMALL, seed=7).items, states[-1].items)


def test_vectors_without_a_purchase_are_zero() -> None:
    pairs = Ragged.of([*(communities()[i] for i in range(40)), np.zeros(0)])
    *_, state = lightgcn_softmax.train(pairs, 25, SMALL, seed=7, every=4)
    assert not state.users[40].any()
    assert not state.items[24].any()
    assert np.allclose(np.linalg.norm(state.items[:24], axis=1), 1, atol=1e-5)


def test_nothing_to_learn_from_says_so() -> None:
    with pytest.raises(EmptyTrainingSetError, match="no purchase before the training cut-off"):
        next(lightgcn_softmax.train(Ragged.of([np.zeros(0)]), 5, SMALL, seed=1, every=4))
