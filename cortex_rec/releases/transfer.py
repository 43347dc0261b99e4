"""From one place of releases to another."""

import tempfile
from pathlib import Path

from cortex_rec.errors import ArtifactError
from cortex_rec.folders import FileRecord
from cortex_rec.releases import retention
from cortex_rec.releases.manifest import MANIFEST, RUN, Manifest
from cortex_rec.releases.storage import Storage


def upload(folder: Path, manifest: Manifest, storage: Storage) -> list[str]:
    """Put a whole release into a storage: its files first and its manifest last, so that a reader finds all of it or nothing.

    What is there already with the right size and SHA-256 is not sent again, so a broken upload goes on where it was, and a release
    that was damaged in the storage is mended.

    Parameters
    ----------
    folder, manifest
        The release, verified.

    Returns
    -------
    list
        Names of the files that were sent.

    Raises
    ------
    StoreUnavailable
        If the storage does not answer; the same call goes on from there.
    """
    retention.finish_removal(storage, manifest.id)
    there = storage.list(f"{manifest.id}/")
    sent = []
    for name, entry in manifest.files.items():
        if not _same(storage, f"{manifest.id}/{name}", FileRecord(entry.sha256, entry.bytes), there):
            storage.upload(folder / name, f"{manifest.id}/{name}")
            sent.append(name)
    # How the run went may differ between equal releases: the first that told stays.
    if f"{manifest.id}/{RUN}" not in there and (folder / RUN).is_file():
        storage.upload(folder / RUN, f"{manifest.id}/{RUN}")
        sent.append(RUN)
    if not _sealed(storage, manifest):
        storage.upload(folder / MANIFEST, f"{manifest.id}/{MANIFEST}")
        sent.append(MANIFEST)
    return sent


def _same(storage: Storage, name: str, record: FileRecord, there: dict[str, int]) -> bool:
    """Whether a file is there as it must be, by reading it: not every S3 refuses an upload whose checksum is wrong."""
    if there.get(name) != record.bytes:
        return False
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        storage.download(name, copy)
        return record.fault(copy) is None


def _sealed(storage: Storage, manifest: Manifest) -> bool:
    """Whether the release's manifest is there; that of an equal release, which may name another commit, is as good."""
    name = f"{manifest.id}/{MANIFEST}"
    found = storage.read(name)
    try:
        return found is not None and Manifest.parse(found.content, storage.where(name)).digest == manifest.digest
    except ArtifactError:
        return False
