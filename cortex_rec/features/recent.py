"""The latest items of a shopper, newest first: what a ranker reads that attends to the history itself."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.arrays import DAY, F32, I32, NO_ROW, ranges
from cortex_rec.queries import Queries

#: Distinct items that are kept of a history.
LENGTH: Final = 60


@dataclass(frozen=True)
class Recent:
    """One row a list, one column a distinct item of its user, the one bought last first.

    Parameters
    ----------
    item
        (n_lists, LENGTH) int32 item rows, -1 where the history is shorter.
    days
        (n_lists, LENGTH) float32 days since it was last bought, NaN where there is none.
    baskets
        (n_lists, LENGTH) float32 number of baskets that held it, NaN where there is none.
    """

    item: I32
    days: F32
    baskets: F32


def recent(queries: Queries) -> Recent:
    """The latest items of each query; of one moment's, the lower row first."""
    pairs, n = queries.items, len(queries)
    order = np.lexsort((pairs.member, -pairs.last, pairs.owner))
    start = queries.items_pointer[:-1]
    count = np.minimum(np.diff(queries.items_pointer), LENGTH)
    entry = order[ranges(start, count)]
    row, column = np.repeat(np.arange(n), count), ranges(np.zeros(n, np.int64), count)
    item = np.full((n, LENGTH), NO_ROW, np.int32)
    days, baskets = np.full((n, LENGTH), np.nan, np.float32), np.full((n, LENGTH), np.nan, np.float32)
    item[row, column] = pairs.member[entry]
    days[row, column] = (queries.as_of - pairs.last[entry]) / DAY
    baskets[row, column] = pairs.baskets[entry]
    return Recent(item, days, baskets)
