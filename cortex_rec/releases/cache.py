"""What was fetched of a place that is not a folder of this machine. It is itself a place: the same files, the same checks."""

import logging
import os
import shutil
from pathlib import Path
from typing import Final

from cortex_rec import folders
from cortex_rec.errors import ArtifactError
from cortex_rec.folders import FileRecord
from cortex_rec.releases import channels
from cortex_rec.releases.manifest import MANIFEST, RUN, File, Manifest, is_id
from cortex_rec.releases.pointers import Pointer, dump
from cortex_rec.releases.storage import Storage

_LOG: Final = logging.getLogger(__name__)
#: How many releases stay on this machine: enough to go back a few steps without fetching.
KEPT: Final = 5


def fetch(storage: Storage, release: str, home: Path, *, check: bool) -> None:
    """Have a release in a local folder, whole: it appears there with one rename.

    Parameters
    ----------
    storage
        Where it is fetched from; not asked when everything is there.
    release
        Its id.
    home
        The place's folder on this machine (`places.home_of`).
    check
        Compare what was fetched before with the manifest, and fetch what is damaged again.

    Raises
    ------
    ArtifactError
        If the release is damaged in the storage, or this machine's disk cannot be written.
    StoreUnavailable
        If the storage does not answer.
    """
    folder = home / release
    if folder.is_dir():
        _repair(storage, release, home, check=check)
        os.utime(folder)
        return
    with folders.draft(home) as draft:
        content = _manifest(storage, release)
        for name, entry in Manifest.parse(content, storage.where(f"{release}/{MANIFEST}")).files.items():
            _download(storage, f"{release}/{name}", draft / name, entry)
        run = storage.read(f"{release}/{RUN}")
        if run is not None:
            (draft / RUN).write_bytes(run.content)
        (draft / MANIFEST).write_bytes(content)
        folders.read_only(draft)
        folders.settle(draft, folder)
    prune(home, release)


def remember(home: Path, channel: str, pointer: Pointer) -> None:
    """Keep where a channel pointed, once that release is here, for when the storage does not answer."""
    kept, content = home / channels.file_of(channel), dump(pointer)
    if not kept.is_file() or kept.read_bytes() != content:
        with folders.replace_file(kept) as path:
            path.write_bytes(content)


def prune(home: Path, fresh: str) -> None:
    """Remove what was not used lately and no channel pointed to when it was asked; who has one of its files open goes on reading it.

    Parameters
    ----------
    fresh
        The release that is used now.
    """
    held = {fresh, *filter(None, (_remembered(home, channel) for channel in channels.CHANNELS))}
    found = [path for path in home.iterdir() if is_id(path.name) and path.name not in held]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[KEPT - len(held) :]:
        _LOG.info("%s was not used lately and is removed; it can be fetched again", path)
        # Gone at once: what a process that is killed now leaves, the next draft removes.
        gone = path.rename(home / f"{folders.draft_prefix()}{path.name}")
        shutil.rmtree(gone, ignore_errors=True)


def _remembered(home: Path, channel: str) -> str | None:
    """The release that a channel pointed to; a damaged copy is of no use and is dropped."""
    try:
        pointer = channels.read(home, channel)
    except ArtifactError as error:
        _LOG.warning("%s It is only a copy, and is made anew.", error)
        (home / channels.file_of(channel)).unlink(missing_ok=True)
        return None
    return None if pointer is None else pointer.release


def _repair(storage: Storage, release: str, home: Path, *, check: bool) -> None:
    folder = home / release
    try:
        manifest = Manifest.read(folder / MANIFEST)
    except ArtifactError as error:
        _LOG.warning("%s It is fetched again.", error)
        content = _manifest(storage, release)
        with folders.replace_file(folder / MANIFEST, drafts=home) as path:
            path.write_bytes(content)
            path.chmod(0o444)
        manifest = Manifest.read(folder / MANIFEST)
    for name, entry in manifest.files.items() if check else ():
        fault = FileRecord(entry.sha256, entry.bytes).fault(folder / name)
        if fault is not None:
            _LOG.warning("%s %s. It is fetched again.", folder / name, fault)
            with folders.replace_file(folder / name, drafts=home) as path:
                _download(storage, f"{release}/{name}", path, entry)
                path.chmod(0o444)


def _manifest(storage: Storage, release: str) -> bytes:
    found = storage.read(f"{release}/{MANIFEST}")
    if found is None:
        raise ArtifactError(f"{storage.where(f'{release}/{MANIFEST}')}: is missing.")
    return found.content


def _download(storage: Storage, name: str, path: Path, entry: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.download(name, path)
    fault = FileRecord(entry.sha256, entry.bytes).fault(path)
    if fault is not None:
        raise ArtifactError(f"{storage.where(name)} {fault}. Push the release again from where it is whole, or use another one.")
