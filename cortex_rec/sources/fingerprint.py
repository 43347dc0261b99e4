"""Digests of the files that a source consists of, so that a run can tell whether any of them has changed."""

from pathlib import Path

from cortex_rec.config import CompleteJourneySource, FilesSource, Source
from cortex_rec.folders import FileRecord
from cortex_rec.sources.complete_journey import data_folder
from cortex_rec.sources.files import matching


def fingerprint(source: Source) -> dict[str, str]:
    """SHA-256 of every file of a source, by table and position in the order of names.

    Raises
    ------
    DataError
        If a path or pattern matches no file.
    """
    if isinstance(source, CompleteJourneySource):
        patterns = {"complete_journey": str(data_folder() / "*.parquet")}
    elif isinstance(source, FilesSource):
        tables = {name: getattr(source, name) for name in ("interactions", "items", "users", "promotions", "campaigns", "coupons")}
        patterns = {name: files.path for name, files in tables.items() if files is not None}
    else:
        patterns = {"interactions": str(Path(source.folder) / "train.txt*")}
    return {f"{name} {i}": FileRecord.of(path).sha256 for name, pattern in patterns.items() for i, path in enumerate(matching(pattern))}
