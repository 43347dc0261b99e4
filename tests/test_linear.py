"""The closed-form retriever keeps the contract and is the sum of what its docstring says."""

import numpy as np

from cortex_rec.arrays import Ragged
from cortex_rec.config import Collaborative as CollaborativeConfig
from cortex_rec.config import LightGCN
from cortex_rec.config import Linear as LinearConfig
from cortex_rec.retrieval import collaborative, linear
from cortex_rec.retrieval.collaborative import Collaborative
from cortex_rec.retrieval.linear import Linear
from cortex_rec.retrieval.protocol import Evidence
from cortex_rec.testing.retriever_contract import RetrieverContract

SMALL = LinearConfig(dimensions=6, neighbours=20)
PURCHASES = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 0]], np.float64)


class TestLinear(RetrieverContract):
    def fit(self, evidence: Evidence) -> Linear:
        return linear.fit(evidence, SMALL)


class TestCollaborative(RetrieverContract):
    def fit(self, evidence: Evidence) -> Collaborative:
        return collaborative.fit(evidence, CollaborativeConfig(linear=SMALL, lightgcn=LightGCN(dimensions=8, steps=2)))


def pairs(purchases: np.ndarray) -> Ragged:
    return Ragged.of([np.flatnonzero(row) for row in purchases])


def test_with_a_band_of_all_frequencies_the_scores_are_those_of_the_dense_formula() -> None:
    config = LinearConfig(dimensions=5, band=0.3, sharpening=1.7, user_power=0.35, in_power=0.6, out_power=0.1)
    model = linear.learn(pairs(PURCHASES), 6, config, seed=1)
    buyers = np.maximum(PURCHASES.sum(axis=0), 1)
    normal = PURCHASES * PURCHASES.sum(axis=1)[:, None] ** -0.35 / np.sqrt(buyers)
    normal /= np.linalg.norm(normal, 2)
    spread = normal.T @ normal
    _, _, basis = np.linalg.svd(normal, full_matrices=False)
    entered = PURCHASES * buyers**-0.1
    blurred = entered @ spread + 0.3 * entered @ basis.T @ basis
    expected = (blurred - 1.7 * blurred @ spread) * buyers**0.4
    assert np.allclose(model.scores(pairs(PURCHASES)), expected, atol=1e-5)


def test_only_the_nearest_neighbours_are_kept_and_the_first_of_equals() -> None:
    powers = {"user_power": 0.5, "in_power": 0.5, "out_power": 0.5}
    model = linear.learn(pairs(PURCHASES), 6, LinearConfig(dimensions=2, neighbours=2, band=0, sharpening=0, **powers), seed=1)
    kept = [model.neighbour[model.pointer[i] : model.pointer[i + 1]].tolist() for i in range(6)]
    assert kept == [[0, 1], [0, 1], [1, 2], [3, 4], [3, 4], []]


def test_a_history_without_items_scores_zero_everywhere() -> None:
    model = linear.learn(pairs(PURCHASES), 6, LinearConfig(dimensions=2), seed=1)
    assert not model.scores(Ragged.of([np.zeros(0)])).any()


def test_a_known_user_lies_where_training_put_them_a_stranger_where_their_items_do() -> None:
    config = CollaborativeConfig(linear=LinearConfig(dimensions=2), lightgcn=LightGCN(dimensions=4, steps=2))
    model = collaborative.learn(pairs(PURCHASES), 6, config, seed=7)
    history = Ragged.of([np.array([0, 1]), np.array([0, 1]), np.zeros(0)])
    known, stranger, nobody = model.places(history, np.array([0, -1, -1]))
    assert np.array_equal(known, model.users[0])
    mean = model.items[[0, 1]].sum(axis=0)
    assert np.allclose(stranger, mean / np.linalg.norm(mean), atol=1e-6)
    assert not nobody.any()
    alone = model.linear.scores(history) / np.sqrt(np.maximum(np.diff(history.pointer), 1))[:, None]
    learned = model.scores(history, np.array([0, -1, -1])) - alone
    assert np.allclose(learned, model.learned * (np.stack([known, stranger, nobody]) @ model.items.T + model.popularity), atol=1e-6)
