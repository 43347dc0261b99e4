"""Digests of the files that a source consists of, so that a run can tell whether any of them has changed."""

import hashlib
from pathlib import Path

from cortex_rec.config import CompleteJourneySource, FilesSource, HMSource, Source
from cortex_rec.folders import FileRecord
from cortex_rec.sources import hm, pictures
from cortex_rec.sources.complete_journey import data_folder
from cortex_rec.sources.files import matching


def fingerprint(source: Source) -> dict[str, str]:
    """SHA-256 of every file of a source, by table and position in the order of names.

    Of the H&M pictures it is the SHA-256 of their names: which there are decides what is read, what they show does not.

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
    elif isinstance(source, HMSource):
        return _hm(source)
    else:
        patterns = {"interactions": str(Path(source.folder) / "train.txt*")}
    return {f"{name} {i}": FileRecord.of(path).sha256 for name, pattern in patterns.items() for i, path in enumerate(matching(pattern))}


def _hm(source: HMSource) -> dict[str, str]:
    folder = Path(source.folder)
    found = {name: hm.present(folder, name) for name in (hm.ARTICLES, hm.CUSTOMERS, hm.TRANSACTIONS)}
    digests = {name: FileRecord.of(path).sha256 for name, path in found.items() if path is not None}
    if source.images and (folder / hm.IMAGES).is_dir():
        names = sorted(pictures.listed(folder / hm.IMAGES))
        digests[hm.IMAGES] = hashlib.sha256("\n".join(names).encode()).hexdigest()
    return digests
