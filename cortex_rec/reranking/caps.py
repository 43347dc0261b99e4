"""At most so many items with the same value of a group."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from cortex_rec.arrays import I32, NO_ROW


def room(caps: Sequence[tuple[I32, int]], enough: int) -> int:
    """How many items fit under all caps at once when they are taken one after the other; no more than `enough` are counted.

    Parameters
    ----------
    caps
        The items' codes (k,) int32 of a group, and how many of a value there may be. An unknown value (-1) counts for nothing and always
        fits. Under one cap the answer is exact; under several another order of the items may fit in more.
    """
    kinds = np.unique(np.column_stack([codes for codes, _ in caps]), axis=0, return_counts=True)
    taken: list[Counter[int]] = [Counter() for _ in caps]
    total = 0
    for values, count in zip(kinds[0].tolist(), kinds[1].tolist(), strict=True):
        capped = [(held, value, most) for held, value, (_, most) in zip(taken, values, caps, strict=True) if value != NO_ROW]
        fits = min([count, *(most - held[value] for held, value, most in capped)])
        for held, value, _ in capped:
            held[value] += fits
        total += fits
        if total >= enough:
            return enough
    return total
