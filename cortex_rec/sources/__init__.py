"""Where purchases come from: one file a format, each ending in one `Dataset`."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import polars as pl

from cortex_rec import columns
from cortex_rec.config import FilesSource, Source, Windows
from cortex_rec.dataset import Dataset, Stream
from cortex_rec.sources import complete_journey, files, hm, lightgcn_text

#: `source.kind` -> what reads it, but for own files, which come in blocks. A new format is one new file and one line here.
READERS: Final[dict[str, Callable[[Any, Windows], Dataset]]] = {
    "complete_journey": complete_journey.read,
    "hm": hm.read,
    "lightgcn_text": lightgcn_text.read,
}


def read(source: Source, windows: Windows, *, since: datetime | None = None) -> Dataset:
    """Read a source into its tables, all in memory: see `stream`."""
    return stream(source, windows, since=since).whole()


def stream(source: Source, windows: Windows, *, since: datetime | None = None) -> Stream:
    """Read a source into its tables, the purchases block by block.

    Parameters
    ----------
    source
        The part `source` of the configuration; its `kind` picks the reader.
    windows
        The run's windows in time; a source may leave out offers that no window needs, never a purchase.
    since
        Give only purchases of this moment or later; of own files only those that hold any are read whole.

    Returns
    -------
    Stream
        Checked tables; rows are in file order. Own files are read block by block; other sources are in memory.

    Raises
    ------
    DataError
        If a file is missing, empty, damaged or not in the shape that the configuration says.
    """
    if isinstance(source, FilesSource):
        return files.stream(source, windows, since=since)
    found = READERS[source.kind](source, windows).stream()
    return found if since is None else found.each(lambda lines: lines.filter(pl.col(columns.TIMESTAMP) >= since))
