"""People who asked to be forgotten: their purchases are in releases, which never change, but no answer rests on them any more.

The list is kept beside the releases until a release is made without them; who is on it and comes back starts anew.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Final

from cortex_rec.errors import ArtifactError

_FILE: Final = "forgotten.jsonl"


def read(root: Path) -> frozenset[str]:
    """External ids of those who are forgotten.

    Parameters
    ----------
    root
        The folder of what is kept beside releases (`places.state_of`).

    Raises
    ------
    ArtifactError
        If the list cannot be read: it is better not to answer than to answer from what somebody wanted gone.
    """
    path = root / _FILE
    try:
        return frozenset(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}). Put it back from a backup: it holds who asked to be forgotten.") from error


def version(root: Path) -> tuple[int, ...] | None:
    """Something that is another one whenever the list is another one; None while nobody is forgotten."""
    try:
        found = (root / _FILE).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def add(root: Path, user: str) -> None:
    """Put somebody on the list; it is on the disk when this returns.

    Raises
    ------
    ArtifactError
        If it cannot be written.
    """
    path = root / _FILE
    try:
        root.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if user not in read(root):
                file.write(json.dumps(user) + "\n")
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written ({error}). Make it writable.") from error
