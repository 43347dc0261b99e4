"""How much items are like what somebody bought: between the best match in the history and its mean."""

from typing import Final

import numpy as np

from cortex_rec.arrays import F32

#: Cosines that differ by this much count e times as different: small takes the best match alone, large the mean.
SOFTNESS: Final = 0.1


def likeness(own: F32, share: F32, items: F32) -> F32:
    """A soft maximum of the cosines: a good match with one item of the history counts more than a middling one with all.

    Parameters
    ----------
    own
        (m, d) float32 unit vectors of what was bought, m at least 1.
    share
        (m,) float32 weight of each, in sum 1; at zero it does not count.
    items
        (..., k, d) float32 unit vectors to judge.

    Returns
    -------
    F32
        (..., k) between -1 and 1.
    """
    near = np.exp((items @ own.T - 1) / SOFTNESS) * share
    # Summed row by row, so that an item's likeness does not depend on which others are judged.
    result: F32 = 1 + SOFTNESS * np.log(near.sum(axis=-1))
    return result
