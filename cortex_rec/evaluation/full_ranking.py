"""All items ranked for each user but those that the user has: how papers on collaborative filtering judge."""

from collections.abc import Callable
from typing import Final

import numpy as np

from cortex_rec.arrays import F32, F64, I64, Ragged
from cortex_rec.evaluation.metrics import per_user

#: Users whose scores of all items are in memory at once.
BLOCK: Final = 512

#: Scores (n, n_items) float32 of all items for some users, as an array that may be written to.
Scores = Callable[[I64], F32]


def judge(scores: Scores, users: I64, known: Ragged, truth: Ragged, k: int) -> dict[str, F64]:
    """Recall and NDCG of the first `k` items.

    Parameters
    ----------
    scores
        The method.
    users
        (n,) whom to judge; each has an item in `truth`.
    known, truth
        One list for every user: what is masked, and what is to be found.

    Returns
    -------
    dict
        `recall@k` and `ndcg@k`, each (n,) float64.
    """
    ranked = Ragged.joined([_best(scores(part), known.take(part), k) for part in np.split(users, range(BLOCK, len(users), BLOCK))])
    found = per_user(ranked, truth.take(users), [k])
    return {name: found[name] for name in (f"recall@{k}", f"ndcg@{k}")}


def _best(scores: F32, known: Ragged, k: int) -> Ragged:
    """The `k` best items of each row that it does not have."""
    scores[known.owner, known.item] = -np.inf
    k = min(k, scores.shape[1])
    near = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, near, axis=1), axis=1, kind="stable")
    items = np.take_along_axis(near, order, axis=1)
    return Ragged(np.arange(len(items) + 1) * k, items.ravel().astype(np.int32))
