"""Items that were added since the releases were made, kept beside them: a release itself never changes."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import F32
from cortex_rec.config import Embeddings
from cortex_rec.encoding import check_new
from cortex_rec.errors import ArtifactError, UnknownItem
from cortex_rec.folders import alone, replace_file
from cortex_rec.ids import IdMap

#: The folder, beside the releases.
ADDED: Final = "items"
#: What its words and its picture are as vectors, empty where it has none, and by which model; no attribute's name has a colon.
TEXT: Final = "vector:text"
IMAGE: Final = "vector:image"
TEXT_MODEL: Final = "model:text"
IMAGE_MODEL: Final = "model:image"
_KEPT: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    TEXT: pl.List(pl.Float32),
    IMAGE: pl.List(pl.Float32),
    TEXT_MODEL: pl.String,
    IMAGE_MODEL: pl.String,
}
_TABLE: Final = "items.parquet"


def read(root: Path) -> pl.DataFrame:
    """All added items, one row each, in the order in which they came.

    Parameters
    ----------
    root
        The folder of what is kept beside releases (`places.state_of`).

    Returns
    -------
    pl.DataFrame
        `columns.ITEM`, what else of `columns.ITEMS` and of attributes was given (String, null where it was not), `TEXT` and `IMAGE`
        (lists of Float32), `TEXT_MODEL` and `IMAGE_MODEL` (String). No row before anything was added.

    Raises
    ------
    ArtifactError
        If the table is damaged.
    """
    path = root / ADDED / _TABLE
    try:
        table = pl.read_parquet(path)
        missing = [name for name in (columns.ITEM, *_KEPT) if name not in table.columns]
        wrong = f"column {missing[0]!r} is missing" if missing else None
    except FileNotFoundError:
        return pl.DataFrame(schema={columns.ITEM: pl.String, **_KEPT})
    except (OSError, pl.exceptions.PolarsError) as error:
        wrong = str(error)
    if wrong is not None:
        raise ArtifactError(f"{path}: cannot be read ({wrong}). Put it back from a backup, or remove it and add its items again.")
    return table


def version(root: Path) -> tuple[int, ...] | None:
    """Something that is another one whenever the table is another one; None before anything was added."""
    try:
        found = (root / ADDED / _TABLE).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def add(root: Path, items: pl.DataFrame) -> None:
    """Keep further items.

    Parameters
    ----------
    items
        As of `read`; the columns of attributes may be others than those of the items before.

    Raises
    ------
    DataError
        If an id is missing, twice there, or added already.
    ArtifactError
        If the table is damaged or cannot be written; then it is as it was.
    """
    with alone(root / ADDED):
        before = read(root)
        check_new(items, IdMap(before[columns.ITEM]))
        _write(root, pl.concat([before, items], how="diagonal"))


def put(root: Path, items: pl.DataFrame) -> None:
    """Keep items in place of what was added under their ids before, if anything was.

    Parameters
    ----------
    items
        As of `read`.

    Raises
    ------
    DataError
        If an id is missing or twice there.
    ArtifactError
        If the table is damaged or cannot be written; then it is as it was.
    """
    with alone(root / ADDED):
        others = read(root).filter(~pl.col(columns.ITEM).is_in(items[columns.ITEM].implode()))
        check_new(items, IdMap(others[columns.ITEM]))
        _write(root, pl.concat([others, items], how="diagonal"))


def remove(root: Path, item: str) -> None:
    """Forget an item.

    Raises
    ------
    UnknownItem
        If it was not added, or was removed already.
    """
    with alone(root / ADDED):
        before = read(root)
        if item not in before[columns.ITEM]:
            raise UnknownItem(f"item {item!r} was not added to {root}. `cortex-rec items list` shows what was.")
        _write(root, before.filter(pl.col(columns.ITEM) != item))


def models(config: Embeddings) -> dict[str, str]:
    """`TEXT_MODEL` and `IMAGE_MODEL` of what is embedded by a configuration."""
    return {TEXT_MODEL: config.text.model, IMAGE_MODEL: " ".join(filter(None, (config.image.model, config.image.weights)))}


def vectors(items: pl.DataFrame, column: str, width: int) -> F32:
    """(n, width) float32 of `TEXT` or `IMAGE`; zeros where an item has none."""
    result = np.zeros((items.height, width), np.float32)
    for row, vector in enumerate(items[column]):
        if len(vector) == width:
            result[row] = vector.to_numpy()
    return result


def _write(root: Path, table: pl.DataFrame) -> None:
    with replace_file(root / ADDED / _TABLE) as path:
        table.write_parquet(path, statistics=False)
