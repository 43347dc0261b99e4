"""What a retriever is fitted on and asked, from the small made-up shop."""

from collections.abc import Sequence
from datetime import UTC
from typing import Final

import numpy as np

from cortex_rec.arrays import DAY, F32, NO_ROW
from cortex_rec.dataset import Dataset
from cortex_rec.embeddings.placed import Placed
from cortex_rec.encoding import encode
from cortex_rec.features import statistics
from cortex_rec.histories import Past
from cortex_rec.queries import Queries, ask
from cortex_rec.retrieval.protocol import Evidence
from cortex_rec.testing.shop import OPENING, small_shop

#: The moment of the small evidence: what happened in the twelfth week is not known to it.
AS_OF: Final = int(OPENING.replace(tzinfo=UTC).timestamp()) + 11 * 7 * DAY


def small_evidence(dataset: Dataset | None = None, *, as_of: int = AS_OF, seed: int = 7) -> Evidence:
    """Everything that a retriever may learn from.

    Parameters
    ----------
    dataset
        `small_shop()` when absent.
    as_of
        Seconds since 1970; what is not before it is left out here.
    seed
        Of the content vectors and of the retrievers that use chance.
    """
    encoded = encode(small_shop() if dataset is None else dataset)
    counts = statistics.fit(encoded.histories, encoded.catalogue.codes["subcategory"], len(encoded.items), len(encoded.stores), as_of=as_of)
    content = places(len(encoded.items), seed=seed)
    return Evidence(Past(encoded.histories, as_of), counts, encoded.catalogue, encoded.promotions.active(as_of), content, as_of, seed)


def unit_vectors(n: int, dimensions: int = 16, *, seed: int) -> F32:
    """(n, dimensions) float32 of random directions and unit length, in place of content vectors."""
    vectors = np.random.default_rng(seed).normal(size=(n, dimensions))
    unit: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def places(n: int, dimensions: int = 16, *, seed: int) -> Placed:
    """Random places of `n` items, with vectors of `unit_vectors`."""
    appeal = np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)
    return Placed(unit_vectors(n, dimensions, seed=seed), appeal)


def all_kinds_of_queries(evidence: Evidence) -> Queries:
    """Every known user; then a stranger with a basket, one without anything, and a known user whose history is empty."""
    known = np.arange(evidence.histories.n_users, dtype=np.int32)
    asked = ask(evidence.histories.whole(), np.append(known, np.array([0, NO_ROW, NO_ROW], np.int32)), evidence.as_of, evidence.n_items)
    users = np.append(known, np.array([NO_ROW, NO_ROW, 0], np.int32))
    store = asked.store.copy()
    store[-2] = NO_ROW
    return Queries(asked.histories, users, evidence.as_of, store, evidence.n_items)


def subset(queries: Queries, which: Sequence[int]) -> Queries:
    """Some of the queries, in the given order."""
    at = np.array(which, np.int32)
    return Queries(queries.histories.take(at), queries.users[at], queries.as_of, queries.store[at], queries.n_items)
