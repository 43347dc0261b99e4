"""Items in time order, a line a user: `user item item …`, as the published splits for next-item prediction have them."""

from pathlib import Path

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import Ragged, pointers
from cortex_rec.errors import DataError
from cortex_rec.sources import lightgcn_text

#: Lines that an error names at most.
NAMED = 5


def read(path: Path) -> tuple[Ragged, int]:
    """Read a file or its `.gz`.

    Returns
    -------
    sequences
        One list a line, in the order of the file; rows of the distinct item ids, which are sorted as text.
    n_items
        How many distinct items there are.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged or not UTF-8, no line has an item, or a user has two lines.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Name the file whose lines are `user item item …`.", table="interactions")
    lines = lightgcn_text.lines_of(path)
    again = lines.filter(pl.col(columns.USER).is_duplicated()).head(NAMED)
    if len(again):
        users = ", ".join(dict.fromkeys(again[columns.USER]))
        raise DataError(
            f"{path}: more than one line of the user {users}. A line holds all items of one user in time order, `user item item …`; "
            "a file with one purchase a line is read by `cortex-rec init`.",
            table="interactions",
        )
    item = lines[columns.ITEM].explode().rank("dense").to_numpy().astype(np.int32) - 1
    return Ragged(pointers(lines[columns.ITEM].list.len().to_numpy()), item), int(item.max()) + 1
