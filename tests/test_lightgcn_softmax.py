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
SMALL = LightGCN(dimensions=4, layers=2, steps=4, users=16, negatives=8, every=2)


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


def test_with_the_whole_catalogue_as_sample_the_loss_is_the_plain_softmax() -> None:
    generator = torch.Generator().manual_seed(1)
    users, items = (torch.nn.functional.normalize(torch.randn(n, 4, generator=generator)) for n in (3, 6))
    chunk, owner, item = np.array([0, 2]), np.array([0, 0, 1]), np.array([1, 4, 5])
    found = lightgcn_softmax._loss(users, items, chunk, owner, item, np.arange(6), 0.3)
    expected = -torch.log_softmax(users @ items.T / 0.3, dim=1)[[0, 0, 2], [1, 4, 5]].sum()
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("sample", [[0], [1, 3], [0, 2, 4], [0, 1, 2, 3, 4]])
def test_own_items_count_once_whether_or_not_they_are_in_the_sample(sample: list[int]) -> None:
    generator = torch.Generator().manual_seed(1)
    users, items = (torch.nn.functional.normalize(torch.randn(n, 4, generator=generator)) for n in (1, 5))
    everything = np.arange(5)
    found = lightgcn_softmax._loss(users, items, np.array([0]), np.zeros(5, np.int64), everything, np.array(sample), 0.3)
    assert torch.allclose(found, -torch.log_softmax(users @ items.T / 0.3, dim=1).sum(), atol=1e-4)


def test_two_fits_are_equal_to_the_last_bit() -> None:
    first, second = (lightgcn_softmax.fit(communities(), 24, SMALL, seed=7) for _ in range(2))
    assert first.steps == second.steps
    assert first.users.tobytes() == second.users.tobytes()
    assert first.items.tobytes() == second.items.tobytes()


def test_training_from_the_same_start_on_torch_sparse_ends_where_dgl_does(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, by_default = lightgcn_softmax.train(communities(), 24, SMALL, seed=7)
    monkeypatch.setattr("cortex_rec.retrieval.propagation.by_dgl", by_torch)
    *_, other = lightgcn_softmax.train(communities(), 24, SMALL, seed=7)
    assert by_default.steps == other.steps == 4
    assert np.allclose(by_default.items, other.items, atol=1e-4)


def test_it_learns_and_ends_where_held_out_items_are_found_best() -> None:
    pairs = communities()
    found = lightgcn_softmax.fit(pairs, 24, SMALL, seed=7)
    scores = found.scores(np.arange(40))
    own = scores.reshape(40, 2, 12).mean(axis=2)
    side = np.arange(40) % 2
    assert np.all(own[np.arange(40), side] > own[np.arange(40), 1 - side])


def test_patience_ends_the_search_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def worse_and_worse(*_: object) -> dict[str, np.ndarray]:
        looks.append(len(looks))
        return {"ndcg@20": np.array([1 / len(looks)])}

    monkeypatch.setattr(lightgcn_softmax, "judge", worse_and_worse)
    found = lightgcn_softmax.fit(communities(), 24, SMALL.model_copy(update={"steps": 40, "patience": 2}), seed=7)
    assert found.steps == 0
    assert len(looks) == 3


def test_vectors_without_a_purchase_are_zero() -> None:
    pairs = Ragged.of([*(communities()[i] for i in range(40)), np.zeros(0)])
    *_, state = lightgcn_softmax.train(pairs, 25, SMALL, seed=7)
    assert not state.users[40].any()
    assert not state.items[24].any()
    assert np.allclose(np.linalg.norm(state.items[:24], axis=1), 1, atol=1e-5)


def test_nothing_to_learn_from_says_so() -> None:
    with pytest.raises(EmptyTrainingSetError, match="no purchase before the training cut-off"):
        next(lightgcn_softmax.train(Ragged.of([np.zeros(0)]), 5, SMALL, seed=1))
