"""How much items are like what somebody bought: by the mean of the history, by its best match, or by something between."""

from typing import Final

import numpy as np

from cortex_rec.arrays import F32, F64, I64, Ragged

#: Cosines that differ by this much count e times as different: small takes the best match alone, large the mean.
SOFTNESS: Final = 0.1


def likeness(histories: Ragged, vectors: F32, items: I64, weight: F64 | None = None) -> F32:
    """A soft maximum of the cosines: a good match with one item counts more than a middling one with all.

    Parameters
    ----------
    histories
        Distinct items of each query.
    vectors
        (n_items, d) float32 unit vectors.
    items
        (k,) rows to judge.
    weight
        Of each entry of `histories`; all the same when absent.

    Returns
    -------
    F32
        (n_queries, k) between -1 and 1; -1 for an empty history.
    """
    candidates = np.ascontiguousarray(vectors[items].T)
    result = np.full((len(histories), len(items)), -1, np.float32)
    for i in range(len(histories)):
        own = slice(histories.pointer[i], histories.pointer[i + 1])
        if own.start == own.stop:
            continue
        share = np.ones(own.stop - own.start) if weight is None else weight[own]
        near = np.exp((vectors[histories.item[own]] @ candidates - 1) / SOFTNESS)
        result[i] = 1 + SOFTNESS * np.log((share / share.sum()).astype(np.float32) @ near)
    return result
