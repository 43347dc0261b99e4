"""What is learned on another device, or by another sum over the graph, is the same up to rounding."""

import numpy as np
import pytest
import torch

from cortex_rec.arrays import F32, Ragged
from cortex_rec.config import Graph, LightGCN
from cortex_rec.repeatable import device
from cortex_rec.retrieval import index, lightgcn, lightgcn_softmax, on_gpu
from cortex_rec.retrieval.index import Index, search
from cortex_rec.retrieval.propagation import by_torch

CPU = torch.device("cpu")
GRAPH = Graph(dimensions=8, steps=5, batch_size=64, negatives=16)
SOFTMAX = LightGCN(dimensions=8, steps=5, users=16, negatives=8)
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here: what a GPU learns was not compared")


def some_pairs() -> Ragged:
    """60 users with 10 of 30 items each, two more items that nobody has, and one user with nothing."""
    generator = np.random.default_rng(5)
    return Ragged.of([*(np.sort(generator.choice(30, 10, replace=False)) for _ in range(60)), np.zeros(0)])


def assert_the_same(one: lightgcn.Trained, other: lightgcn.Trained) -> None:
    for name in ("users", "items", "base_users", "base_items"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-3, err_msg=name)


def test_training_runs_on_a_gpu_exactly_where_torch_sees_one() -> None:
    assert device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_graph_learned_by_torch_sparse_is_that_of_dgl(monkeypatch: pytest.MonkeyPatch) -> None:
    by_dgl = lightgcn.train(some_pairs(), 32, GRAPH, seed=7, at=CPU)
    monkeypatch.setattr("cortex_rec.retrieval.propagation.by_dgl", by_torch)
    assert_the_same(lightgcn.train(some_pairs(), 32, GRAPH, seed=7, at=CPU), by_dgl)
    start = by_dgl.base_users, by_dgl.base_items
    by_sparse = lightgcn.train(some_pairs(), 32, GRAPH, seed=7, start=start, at=CPU)
    monkeypatch.undo()
    assert_the_same(by_sparse, lightgcn.train(some_pairs(), 32, GRAPH, seed=7, start=start, at=CPU))
    assert not by_sparse.users[60].any()
    assert not by_sparse.items[30:].any()


def searched(at: torch.device | None) -> Ragged:
    """The 20 nearest of 70 queries among 3,000 vectors of very different lengths, some of them twice there; by all products on a device."""
    generator = np.random.default_rng(3)
    vectors = (generator.normal(size=(3_000, 24)) * generator.lognormal(0, 1, (3_000, 1))).astype(np.float32)
    vectors[1_000:1_100] = vectors[:100]
    queries = generator.normal(size=(70, 24)).astype(np.float32)
    queries[5] = 0
    over = Index(vectors, np.arange(3_000))
    if at is None:
        return search(over, queries, 20)
    asked = []

    def product(some: F32, all_vectors: F32) -> F32:
        asked.append(len(some))
        found: F32 = products(some, all_vectors)
        return found

    products = on_gpu.Products(at)
    with index.multiplied_by(product):
        found = search(over, queries, 20)
    assert sum(asked) == 69
    return found


def test_a_search_by_all_products_on_a_device_finds_the_same_in_the_same_order() -> None:
    plain, by_torch_ = searched(None), searched(CPU)
    assert plain.item.tobytes() == by_torch_.item.tobytes()
    assert plain.pointer.tolist() == by_torch_.pointer.tolist()


def test_searching_changes_nothing_without_a_gpu() -> None:
    with on_gpu.searching():
        assert (index._product.get() is None) == (not torch.cuda.is_available())
    assert index._product.get() is None


@on_a_gpu
def test_a_search_on_a_gpu_finds_the_same_in_the_same_order() -> None:
    assert searched(None).item.tobytes() == searched(torch.device("cuda")).item.tobytes()


@on_a_gpu
def test_a_gpu_learns_the_graph_that_the_cpu_learns() -> None:
    first, second = (lightgcn.train(some_pairs(), 32, GRAPH, seed=7, at=torch.device("cuda")) for _ in range(2))
    assert first.items.tobytes() == second.items.tobytes()
    assert_the_same(first, lightgcn.train(some_pairs(), 32, GRAPH, seed=7, at=CPU))
    steps = [lightgcn_softmax.fit(some_pairs(), 32, SOFTMAX, seed=7, at=at) for at in (torch.device("cuda"), CPU)]
    np.testing.assert_allclose(steps[0].items, steps[1].items, atol=1e-3)
