"""At most so many items with the same value of a group."""

import numpy as np

from cortex_rec.arrays import I32, NO_ROW


def room(codes: I32, most: int) -> int:
    """How many items with these (k,) codes fit under a cap; an unknown value (-1) counts for nothing and always fits."""
    counts = np.bincount(codes[codes != NO_ROW])
    return int(np.minimum(counts, most).sum()) + int(np.count_nonzero(codes == NO_ROW))
