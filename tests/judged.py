"""A test window of four users small enough to check by hand."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from cortex_rec.arrays import DAY, NO_ROW, Ragged, pointers
from cortex_rec.evaluation.evaluate import Judged
from cortex_rec.evaluation.influence import Influence
from cortex_rec.histories import Histories
from cortex_rec.releases import store
from cortex_rec.releases.manifest import Contents, DataWindow
from cortex_rec.releases.store import Release


def ragged(*rows: list[int]) -> Ragged:
    return Ragged(pointers(np.array([len(row) for row in rows])), np.array([item for row in rows for item in row], np.int32))


def history(*rows: list[int]) -> Histories:
    lists = ragged(*rows)
    n = len(lists.item)
    nan = np.full(n, np.nan, np.float32)
    return Histories(lists.pointer, lists.item, np.arange(n) * DAY, np.arange(n), np.full(n, NO_ROW, np.int32), nan, nan, nan)


def judged() -> Judged:
    """Item 5 is in no list, -1 is not in the catalogue; user 0 has both kinds of hit, user 3 has none."""
    ranked = ragged([0, 1, 2], [1, 0], [2, 3, 4], [0, 1])
    return Judged(
        window=("2017-12-25T00:00:00", "2018-01-01T00:00:00"),
        test_week="53",
        users=np.arange(4, dtype=np.int32),
        ranked=ranked,
        scores=np.array([3, 2, 1, 2, 1, 3, 2, 1, 2, 1], np.float32),
        probabilities=np.array([0.9, 0.5, 0.5, 0.8, 0.1, 0.5, 0.1, 0.1, 0.2, 0.1], np.float32),
        truth=ragged([0, 2], [1, -1], [4, 5], [5]),
        bought_before=ragged([0, 1], [1], [3, 5], [0]),
        history=history([0, 0, 1], [1], [3, 5, 5, 5], [0, 0]),
        found_by={
            "repeats": np.array([1, 1, 0, 1, 0, 0, 1, 0, 1, 0], bool),
            "popular": np.array([1, 1, 1, 1, 1, 1, 0, 1, 1, 1], bool),
        },
        baselines={"popularity": ragged([0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]), "personal_decay": ragged([0, 1], [1], [5, 3], [0])},
        item_vectors=np.eye(6, 4, dtype=np.float32),
        department=np.array([0, 0, 1, 1, 1, -1], np.int32),
        department_names=["FOOD & CO", "TOYS <3"],
        n_items=6,
        popularity=np.array([10, 8, 4, 2, 0, 0], np.int32),
        sold=np.array([1, 1, 1, 1, 0, 0], bool),
    )


def influence() -> Influence:
    """Four candidates of two users and three features; the first is the strongest and larger is better, the last says nothing."""
    values = np.array([[1, 5, np.nan], [2, 5, 7], [3, np.nan, 7], [4, 5, 7]], np.float32)
    contributions = np.array([[-0.3, 0.1, 0], [-0.1, 0.1, 0], [0.2, -0.2, 0], [0.4, 0.1, 0]], np.float32)
    return Influence(
        2,
        ("pair_recency", "repeats_rank", "a$1 to $2"),
        ("repeats", "popular"),
        values,
        contributions,
        np.full(4, 0.7, np.float32),
        [("pair_recency", 30.0)],
    )


def release_of(root: Path, write: Callable[[Path], None]) -> Release:
    """A published release that holds only what `write` writes."""
    data = DataWindow(as_of=datetime(2026, 1, 8), first=datetime(2025, 1, 1), last=datetime(2026, 1, 7), interactions=10, users=4, items=6)
    contents = Contents(name="shop", data=data, config={}, features=(), metrics={}, libraries={})
    return store.open_release(root, store.publish(root, write, contents, {}).id)
