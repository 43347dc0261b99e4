"""The moment by which everything in a source must have happened: what tells a purchase in the future without a clock."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cortex_rec.config import CompleteJourneySource, FilesSource, LightGCNTextSource, Source
from cortex_rec.sources import hm, lightgcn_text
from cortex_rec.sources.files import matching

#: The Complete Journey is the year 2017.
_YEAR_END: Final = datetime(2018, 1, 1)
_DAY: Final = timedelta(days=1)


def known_by(source: Source) -> datetime:
    """The first moment at which no purchase of the source can have happened yet.

    Of own files and the H&M layout it is the date of the newest interactions file, rounded up to a whole day, and a day more,
    since the shop's time zone is not known. Not `windows.end`: a test window may well end before the data.

    Raises
    ------
    DataError
        If a path or pattern matches no file.
    """
    if isinstance(source, CompleteJourneySource):
        return _YEAR_END
    if isinstance(source, LightGCNTextSource):
        return lightgcn_text.LAST_DAY + _DAY
    paths = matching(source.interactions.path) if isinstance(source, FilesSource) else [hm.needed(Path(source.folder), hm.TRANSACTIONS)]
    newest = max(path.stat().st_mtime for path in paths)
    return datetime.fromtimestamp(newest, UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0) + 2 * _DAY
