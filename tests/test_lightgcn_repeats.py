"""Training the graph twice gives the same bytes, with the library's own threads."""

import numpy as np

from cortex_rec.arrays import Ragged, pointers
from cortex_rec.config import Graph
from cortex_rec.retrieval import lightgcn


def test_two_fits_on_the_same_pairs_are_equal_to_the_last_bit() -> None:
    generator = np.random.default_rng(3)
    lists = [np.unique(generator.integers(0, 400, 60)) for _ in range(150)]
    pairs = Ragged(pointers(np.array([len(items) for items in lists])), np.concatenate(lists).astype(np.int32))
    first, *others = (lightgcn.train(pairs, 400, Graph(steps=8, dimensions=32), seed=7) for _ in range(4))
    for other in others:
        assert np.array_equal(first.items, other.items)
        assert np.array_equal(first.users, other.users)
