"""Folders that appear whole or not at all, and the digests of what is in them."""

import errno
import fcntl
import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cortex_rec.errors import ArtifactError

DRAFT_PREFIX = ".draft-"
#: Seconds after which a draft of another machine is taken for abandoned: no stage takes so long.
_OLD: Final = 86_400
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class FileRecord:
    """What a file must be: its size and the SHA-256 of its bytes."""

    sha256: str
    bytes: int

    @staticmethod
    def of(path: Path) -> "FileRecord":
        """Read the file and record it."""
        with path.open("rb") as file:
            return FileRecord(hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size)

    def fault(self, path: Path) -> str | None:
        """What is wrong with the file at `path`, in words; None when it is as recorded."""
        if not path.is_file():
            return "is missing"
        if path.stat().st_size != self.bytes:
            return f"has {path.stat().st_size:,} bytes, expected {self.bytes:,}"
        found = FileRecord.of(path).sha256
        return None if found == self.sha256 else f"has SHA-256 {found[:12]}…, expected {self.sha256[:12]}…"


def records(folder: Path) -> dict[str, FileRecord]:
    """Every file under `folder` by its relative path, in ascending order."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): FileRecord.of(path) for path in paths}


def content_digest(files: Mapping[str, FileRecord]) -> str:
    """One SHA-256 over names and contents; neither times nor the folder's own name count."""
    lines = (f"{name}\0{files[name].sha256}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def draft(parent: Path) -> Iterator[Path]:
    """Yield a new empty folder inside `parent`, to be filled and then put in place by `settle`.

    Whatever happens before `settle`, the folder is gone afterwards; one left by a killed process is removed by the next
    draft in the same parent.

    Raises
    ------
    ArtifactError
        If the disk is full, whichever library noticed it.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent)
        folder, lock = _locked_folder(parent)
    except OSError as error:
        raise _disk_error(parent, error) from error
    try:
        yield folder
    except Exception as error:
        if _says_disk_is_full(error):
            raise _disk_error(parent, error) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def settle(folder: Path, target: Path) -> bool:
    """Make a draft durable and rename it to `target`.

    Returns
    -------
    bool
        False when another process put the same folder in place first; the draft is then dropped.
    """
    folder.chmod(0o755)
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    _sync(target.parent)
    return True


def read_only(folder: Path) -> None:
    """Take the right to write from every file under `folder`."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o444)


@contextmanager
def replace_file(path: Path, *, drafts: Path | None = None) -> Iterator[Path]:
    """Yield a path to write to; it then replaces `path`, so that a reader sees the old file or the new, never a part.

    Parameters
    ----------
    drafts
        Where it lies until then, a folder on the same disk; the one of `path` when absent.

    Raises
    ------
    ArtifactError
        If it cannot be written; the old file is still there.
    """
    with draft(drafts or path.parent) as folder:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = folder / path.name
        yield fresh
        _sync(fresh)
        fresh.replace(path)
        _sync(path.parent)


@contextmanager
def readable(folder: Path, what: str, *further: type[Exception]) -> Iterator[None]:
    """Within, whatever a missing or damaged file of a release raises, `further` too, is an `ArtifactError` that names the folder."""
    caught: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, TypeError, *further)
    try:
        yield
    except caught as error:
        message = f"{folder}: {what} cannot be read ({error!r}). Verify the release with `cortex-rec releases verify`."
        raise ArtifactError(message) from error


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """A new folder and an open lock on it, which the kernel drops when this process dies."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=draft_prefix(), dir=parent))
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another process took it for abandoned between the two calls
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        if folder.exists():
            return folder, lock
        os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    """Remove drafts that no living process of this machine holds, and old ones of others: a shared file system may not tell their locks."""
    for folder in parent.glob(f"{DRAFT_PREFIX}*"):
        if not folder.name.startswith(draft_prefix()) and not _is_old(folder):
            continue
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def draft_prefix() -> str:
    """How the names of this machine's drafts begin: no host's name has an `@`, so none begins like another's."""
    return f"{DRAFT_PREFIX}{socket.gethostname()}@"


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > _OLD
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _says_disk_is_full(error: BaseException) -> bool:
    """Native libraries raise their own types, with the system's words in the message."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(os.strerror(code).lower() in str(error).lower() for code in _FULL)


def _disk_error(folder: Path, error: BaseException) -> ArtifactError:
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free / 2**20
    way_out = "Free some space or point `workspace` and `releases` to another disk" if _says_disk_is_full(error) else "Make it writable"
    return ArtifactError(
        f"{folder}: cannot be written ({error}; {free:,.0f} MiB free there). {way_out}, then run again: finished stages are kept."
    )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same folder, which is made when absent; the kernel lets go for one that dies.

    Raises
    ------
    ArtifactError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be written ({error}). Make it writable.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
