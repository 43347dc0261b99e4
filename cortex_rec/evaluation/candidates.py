"""What retrieval found of what was bought, retriever by retriever, and where the rest is lost on the way to the list."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cortex_rec.arrays import F64, Bool, Ragged, is_in
from cortex_rec.evaluation.metrics import top, where

#: Lengths at which recall of the ranked candidates is told, up to the longest list.
LENGTHS: Sequence[int] = (50, 100, 200, 300, 500, 1_000)
#: A stage between retrieval and the list shown: what a reranker would work on.
NEAR = 50


def describe(ranked: Ragged, truth: Ragged, found_by: Mapping[str, Bool]) -> dict[str, Any]:
    """Candidate recall, whole and by retriever; recall is the mean over users with truth.

    Parameters
    ----------
    ranked
        All candidates, best first.
    truth
        What was bought.
    found_by
        By retriever, which entries of `ranked.item` it proposed.

    Returns
    -------
    dict
        `mean_number` of candidates a user; `recall` of the union; `recall_at` by length of the ranked list;
        `retrievers`: by name, `mean_number`, `recall` of it alone, and `unique`, the recall that is lost without it.
    """
    relevant = is_in(ranked, truth)
    lengths = np.diff(ranked.pointer)
    n_users = max(len(ranked), 1)
    only = np.sum([mask.astype(np.int8) for mask in found_by.values()], axis=0) == 1 if found_by else np.zeros(len(relevant), np.bool_)
    position = np.arange(len(relevant)) - ranked.pointer[ranked.owner]
    longest = int(lengths.max(initial=0))
    return {
        "mean_number": len(relevant) / n_users,
        "recall": _recall(ranked, truth, relevant),
        "recall_at": {str(length): _recall(ranked, truth, relevant & (position < length)) for length in LENGTHS if length <= longest},
        "retrievers": {
            name: {
                "mean_number": float(mask.sum() / n_users),
                "recall": _recall(ranked, truth, relevant & mask),
                "unique": _recall(ranked, truth, relevant & mask & only),
            }
            for name, mask in found_by.items()
        },
    }


def stages(ranked: Ragged, truth: Ragged, bought_before: Ragged, n_items: int, k: int) -> list[dict[str, Any]]:
    """How many of the purchases are still there after each stage.

    Parameters
    ----------
    ranked, truth
        As for `describe`.
    bought_before
        Splits the purchases into repeat and new items.
    n_items
        Size of the catalogue.
    k
        Length of the list shown.

    Returns
    -------
    list
        One entry a stage, `bought`, `in_catalogue`, `retrieved`, `in_top_50`, `in_top_K`: `items` left, their `share`
        of all, `repeat_items` and `new_items` among them, and `room`, the share that perfect lists could still hold.
    """
    repeat = is_in(truth, bought_before)
    everything = np.ones(len(truth.item), np.bool_)
    known = (truth.item >= 0) & (truth.item < n_items)
    n_truth = np.diff(truth.pointer)
    total = max(len(truth.item), 1)
    left: dict[str, tuple[Bool, float]] = {
        "bought": (everything, 1.0),
        "in_catalogue": (known, 1.0),
        "retrieved": (is_in(truth, ranked), 1.0),
    }
    for length in (NEAR, k):
        left[f"in_top_{length}"] = (is_in(truth, top(ranked, length)), float(np.minimum(n_truth, length).sum() / total))
    return [
        {
            "stage": name,
            "items": int(mask.sum()),
            "share": float(mask.sum() / total),
            "repeat_items": int((mask & repeat).sum()),
            "new_items": int((mask & ~repeat).sum()),
            "room": room,
        }
        for name, (mask, room) in left.items()
    ]


def _recall(ranked: Ragged, truth: Ragged, found: Bool) -> float:
    n_truth = np.diff(truth.pointer)
    hits: F64 = np.diff(where(ranked, found).pointer).astype(np.float64)
    known = n_truth > 0
    return float((hits[known] / n_truth[known]).mean()) if known.any() else float("nan")
