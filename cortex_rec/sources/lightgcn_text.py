"""The LightGCN paper's text files: a line of `train.txt` is `user item item …`."""

from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from cortex_rec import columns
from cortex_rec.config import LightGCNTextSource, Windows
from cortex_rec.dataset import Dataset, empty
from cortex_rec.errors import DataError
from cortex_rec.sources import damage

#: The made-up day of every user's last item.
LAST_DAY: Final = datetime(2000, 1, 1)


def read(source: LightGCNTextSource, windows: Windows) -> Dataset:
    """Read `train.txt` or `train.txt.gz` of a folder; `test.txt` is left alone.

    The files hold no times, so they are made up from the position: a user's last item lies on `LAST_DAY` at midnight,
    the one before it a day earlier, and so on. All users end on the same day, hence a test window of n days holds
    the last n items of each. Where the lists are not in the order of purchase, neither are these times.

    Parameters
    ----------
    source
        The folder.
    windows
        Not used.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged or not UTF-8, or no line has an item.
    """
    interactions = (
        lists(Path(source.folder), "train")
        .with_columns(pl.int_ranges(pl.col(columns.ITEM).list.len().cast(pl.Int64) - 1, -1, -1).alias("days_before_last"))
        .explode(columns.ITEM, "days_before_last")
        .select(
            columns.USER,
            columns.ITEM,
            (pl.lit(LAST_DAY) - pl.duration(days="days_before_last")).cast(columns.TIME_DTYPE).alias(columns.TIMESTAMP),
        )
    )
    items = interactions.select(pl.col(columns.ITEM).unique(maintain_order=True))
    return Dataset(interactions, items, empty({columns.USER: pl.String}), empty(columns.PROMOTIONS))


def lists(folder: Path, part: str) -> pl.DataFrame:
    """The lines of `<part>.txt` or `<part>.txt.gz` that have an item: `columns.USER`, and `columns.ITEM` as a list.

    Raises
    ------
    DataError
        If the file is missing, damaged or not UTF-8, or no line has an item.
    """
    return lines_of(_file(folder, part))


def lines_of(path: Path) -> pl.DataFrame:
    """The lines `user item item …` of one file that have an item, as `lists` has them; what parts the ids may be any white space.

    Raises
    ------
    DataError
        If the file is damaged or not UTF-8, or no line has an item.
    """
    try:
        with damage.open_bytes(path) as file:
            lines = pl.Series("line", [line.decode("utf-8") for line in file], dtype=pl.String)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 (byte 0x{error.object[error.start]:02x}); it should hold ids parted by spaces.", table="interactions"
        ) from error
    except (OSError, EOFError) as error:
        raise DataError(
            f"{path}: the file is damaged or cut short ({error}). Copy it again from where it came.", table="interactions"
        ) from error
    words = lines.str.extract_all(r"\S+")
    found = (
        pl.DataFrame({columns.USER: words.list.first(), columns.ITEM: words.list.slice(1)})
        # A user without items is in some of the published files; the paper's own reader skips them too.
        .filter(pl.col(columns.ITEM).list.len() > 0)
    )
    if found.is_empty():
        raise DataError(f"{path}: no line has a user and an item. A line is `user item item …`, parted by spaces.", table="interactions")
    return found


def _file(folder: Path, part: str) -> Path:
    for name in (f"{part}.txt", f"{part}.txt.gz"):
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: neither {part}.txt nor {part}.txt.gz is there. Correct `source.folder`.", table="interactions")
