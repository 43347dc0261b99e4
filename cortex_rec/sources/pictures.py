"""Where items' pictures lie: a path of the items file, and what a folder of pictures holds."""

import os
import re
from pathlib import Path
from typing import Final

import polars as pl

from cortex_rec import columns
from cortex_rec.errors import DataError

_ADDRESS: Final = re.compile(r"\s*(?:data:|[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
_SHOWN: Final = 5


def beside(file: Path, given: pl.Series) -> pl.Series:
    """Absolute paths of the pictures that an items file names.

    Parameters
    ----------
    file
        The items file; its folder is where relative paths start, and the pictures lie in it or below it.
    given
        (n,) String, null or blank where an item has none.

    Returns
    -------
    pl.Series
        (n,) String. Whether there is such a file is not looked up here: who reads the pictures counts those that are missing.

    Raises
    ------
    DataError
        If a path is an address of the web, or leaves the folder by `..` or as an absolute path: an items file that came
        from elsewhere shall not decide what else of this machine is read. A link within the folder may point anywhere.
    """
    folder = os.path.abspath(file.parent)
    paths, wrong = [], []
    for row, path in enumerate(given):
        blank = path is None or not path.strip()
        full = None if blank else os.path.normpath(os.path.join(folder, path))
        if full is not None and (_ADDRESS.match(path) or "\0" in path or not full.startswith(os.path.join(folder, ""))):
            wrong.append(row)
        paths.append(full)
    if wrong:
        shown = ", ".join(f"row {row}: {given[row]!r}" for row in wrong[:_SHOWN])
        raise DataError(
            f"{file}: column of {columns.IMAGE!r}, {len(wrong)} of {len(given)} values are no path below the file's own folder ({shown}; "
            "row 0 is the first after the header). Nothing is downloaded, and no other folder is read: put the pictures, or a link to "
            "their folder, beside the file.",
            table="items",
            rows=wrong[:_SHOWN],
        )
    return pl.Series(columns.IMAGE, paths, dtype=pl.String)


def listed(folder: Path) -> set[str]:
    """Relative paths, with `/`, of all files in the folders of a folder; each is listed once, no file is looked at.

    Raises
    ------
    DataError
        If a folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            below = [entry.name for entry in entries if entry.is_dir()]
        return {f"{name}/{file}" for name in below for file in os.listdir(folder / name)}
    except OSError as error:
        raise DataError(f"{folder}: the pictures cannot be listed ({error}). Make the folder readable.", table="items") from error
