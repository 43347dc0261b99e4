"""What nobody had bought before the window: how much of it is found, and how far up."""

from typing import Any, Final

import numpy as np

from cortex_rec.arrays import I32, Bool, Ragged, is_in, sums
from cortex_rec.evaluation import significance
from cortex_rec.evaluation.metrics import top, where

#: By name, how much of a ranked list is looked at; None is all of it.
DEPTHS: Final = {"candidates": None, "first_500": 500, "top_20": 20, "top_10": 10}


def describe(ranked: Ragged, truth: Ragged, sold: Bool, *, samples: int, seed: int) -> dict[str, Any]:
    """Count the purchases of products that nobody had bought before, and those among them that a list had.

    Parameters
    ----------
    ranked
        All candidates, best first.
    truth
        What was bought; -1 for an item that the catalogue lacks, which is not counted here.
    sold
        (n_items,) bool, whether anybody had bought the item before the window.
    samples, seed
        Of the bootstrap over users.

    Returns
    -------
    dict
        The keys that `docs/evaluation.md` lists under `new_products`. NaN where there is nothing to count.
    """
    cold = where(truth, unsold(truth.item, sold))
    n_users, total = len(truth), len(truth.item)
    lists = {name: ranked if depth is None else top(ranked, depth) for name, depth in DEPTHS.items()}
    found = {name: is_in(cold, shown) for name, shown in lists.items()}
    # A share is a ratio of sums over users: resampling the users' sums gives the intervals of all of them.
    columns = np.column_stack([sums(cold.owner, mask, n_users) for mask in (np.ones(len(cold.item)), *found.values())])
    drawn = significance.resampled_means(columns, samples=samples, seed=seed)
    drawn = drawn[drawn[:, 0] > 0]
    return {
        "listed": int(np.count_nonzero(~sold)),
        "purchases": len(cold.item),
        "items": len(np.unique(cold.item)),
        "users": int(np.count_nonzero(columns[:, 0])),
        "share": len(cold.item) / total if total else np.nan,
        "found": {
            name: _found(cold.item, mask, *significance.bounds(drawn[:, column] / drawn[:, 0]))
            for column, (name, mask) in enumerate(found.items(), start=1)
        },
    }


def unsold(items: I32, sold: Bool) -> Bool:
    """(n,) bool, whether each item is in the catalogue and nobody had bought it."""
    found: Bool = (items >= 0) & ~sold[items]
    return found


def _found(items: I32, mask: Bool, low: float, high: float) -> dict[str, Any]:
    share = float(mask.mean()) if len(mask) else np.nan
    return {"purchases": int(mask.sum()), "items": len(np.unique(items[mask])), "share": share, "low": low, "high": high}
