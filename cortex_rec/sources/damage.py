"""Where a text file is damaged. Reads it once more, line by line, so it is asked only after a reader has given up."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from cortex_rec.errors import DataError


def explain(path: Path, separator: str, cause: BaseException, table: str) -> DataError:
    """The error that says what is wrong with a CSV file that could not be read, and in which rows.

    Parameters
    ----------
    path, separator
        The file, plain or `.gz`.
    cause
        What the reader said; used when no fault is found here.
    table
        Name of the table, for `DataError.table`.
    """
    row = -1
    try:
        width = 0
        for row, fields in enumerate(_rows(path, separator), start=-1):
            width = width or len(fields)
            if len(fields) > width:
                message = (
                    f"row {row} has {len(fields)} fields, the header has {width} (row 0 is the first after the header). "
                    "Put quotes around text that holds the separator, or correct `separator`."
                )
                return DataError(f"{path}: {message}", table=table, rows=(row,))
    except UnicodeDecodeError as error:
        message = f"row {row + 1} is not UTF-8 (byte 0x{error.object[error.start]:02x}; row 0 is the first after the header)."
        return DataError(f"{path}: {message} Convert the file, for example `iconv -f LATIN1 -t UTF-8`.", table=table, rows=(row + 1,))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"the gzip file is damaged or cut short after row {row} ({error}). Copy it again from where it came."
        return DataError(f"{path}: {message}", table=table)
    except csv.Error as error:
        return DataError(f"{path}: row {row + 1} is not CSV ({error}).", table=table, rows=(row + 1,))
    return DataError(f"{path}: cannot be read ({cause}).", table=table)


def _rows(path: Path, separator: str) -> Iterator[list[str]]:
    with open_bytes(path) as file:
        yield from csv.reader((line.decode("utf-8") for line in file), delimiter=separator)


def open_bytes(path: Path) -> BinaryIO:
    """The file's content, unpacked block by block when it is a `.gz`."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
