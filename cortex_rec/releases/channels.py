"""Channels: which release is in production, which one is the newest candidate, and how that came about.

A channel is a small file that says where it points and its own last move. It is replaced by conditional write, so that of two moves
at once one wins. A move first puts the record of the one before into the log: so the log never lacks a move and needs no repair,
whenever a process dies. `docs/adr/008-channels.md` tells why.
"""

import getpass
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cortex_rec.errors import ConfigError, PromotionConflict, ReleaseNotFound
from cortex_rec.releases.manifest import MANIFEST, is_id
from cortex_rec.releases.places import storage_of
from cortex_rec.releases.pointers import Pointer as Pointer
from cortex_rec.releases.pointers import dump, parse
from cortex_rec.releases.storage import Storage, Versioned

#: What the service and the command line use when nothing else is said.
PRODUCTION: Final = "production"
#: The newest that was made.
CANDIDATE: Final = "candidate"
CHANNELS: Final = (PRODUCTION, CANDIDATE)
#: All files of channels and of their log begin with it.
FOLDER: Final = "channels"


@dataclass(frozen=True)
class Move(Pointer):
    """One entry of the log: `channel` went from `former` to `release`."""

    channel: str


def read(root: Path | str, channel: str) -> Pointer | None:
    """Where a channel points now; None before its first move.

    Parameters
    ----------
    root
        The place of the releases.

    Raises
    ------
    ArtifactError
        If the channel's file is damaged or cannot be read.
    """
    found = storage_of(root).read(file_of(channel))
    return None if found is None else parse(found.content, storage_of(root).where(file_of(channel)))


def move(root: Path | str, channel: str, release: str, *, by: str, why: str, at: datetime, expected: Pointer | None) -> Pointer:
    """Point a channel to a release.

    Parameters
    ----------
    root
        The place of the releases.
    release
        The id of one that is there.
    at
        Now; without a zone it is local time.
    expected
        What `read` gave when this move was decided.

    Returns
    -------
    Pointer
        Where the channel points from now on.

    Raises
    ------
    PromotionConflict
        If the channel is not where `expected` says, any more: somebody else moved it.
    ReleaseNotFound
        If there is no such release.
    ArtifactError
        If the channel's file is damaged or cannot be written.
    """
    storage, name = storage_of(root), file_of(channel)
    if not is_id(release) or storage.read(f"{release}/{MANIFEST}") is None:
        raise ReleaseNotFound(
            f"{storage.where()}: no release {release!r} for `{channel}` to point to. `cortex-rec releases list` shows all."
        )
    found = storage.read(name)
    now = None if found is None else parse(found.content, storage.where(name))
    if now != expected:
        raise _conflict(storage, channel, now)
    if found is not None and now is not None:
        _keep(storage, channel, now, found)
    serial = 1 + (max(_kept(storage, channel), default=0) if now is None else now.serial)
    moved = Pointer(release, None if now is None else now.release, at.astimezone(UTC), by, why, serial)
    if not storage.write(name, dump(moved), expected=None if found is None else found.tag):
        winner = read(root, channel)
        # An answer that was lost on its way makes the client write again, and be refused because of its own first try.
        if winner != moved:
            raise _conflict(storage, channel, winner)
    return moved


def promote(root: Path | str, release: str, *, by: str, why: str, at: datetime) -> Pointer:
    """Point `production` to a release; raises like `move`. It stays as it is when it points there already."""
    now = read(root, PRODUCTION)
    if now is not None and now.release == release:
        return now
    return move(root, PRODUCTION, release, by=by, why=why, at=at, expected=now)


def rollback(root: Path | str, *, by: str, why: str, at: datetime) -> Pointer:
    """Point `production` to where it pointed before its last move; a second time takes the first back. Raises like `move`.

    Raises
    ------
    ReleaseNotFound
        If `production` was never moved from one release to another.
    """
    now = read(root, PRODUCTION)
    if now is None or now.former is None:
        place = storage_of(root).where()
        raise ReleaseNotFound(f"{place}: `{PRODUCTION}` has no former release to go back to. `cortex-rec releases list` shows all.")
    return move(root, PRODUCTION, now.former, by=by, why=why, at=at, expected=now)


def log(root: Path | str) -> list[Move]:
    """Every move of every channel, the newest first.

    Raises
    ------
    ArtifactError
        If an entry is damaged or cannot be read.
    """
    storage = storage_of(root)
    # The pointers first: whatever they do not know any more is in the log by then.
    pointers = {channel: read(root, channel) for channel in CHANNELS}
    moves = []
    for channel, pointer in pointers.items():
        by_serial = {} if pointer is None else {pointer.serial: pointer}
        for serial, name in _kept(storage, channel).items():
            found = storage.read(name)
            if found is not None:
                by_serial.setdefault(serial, parse(found.content, storage.where(name)))
        moves += [Move(**asdict(each), channel=channel) for each in by_serial.values()]
    return sorted(moves, key=lambda move: (move.at, move.serial), reverse=True)


def login() -> str:
    """Who runs this process, by their login name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have a number only
        return f"user {os.getuid()}"


def file_of(channel: str) -> str:
    """The name of a channel's file in its storage."""
    if channel not in CHANNELS:
        raise ConfigError(f"{channel!r} is no channel. They are {' and '.join(CHANNELS)}.")
    return f"{FOLDER}/{channel}.json"


def _kept(storage: Storage, channel: str) -> dict[int, str]:
    """The log of a channel: each move's serial number and its file."""
    names = storage.list(f"{FOLDER}/log/{channel}/")
    return {int(Path(name).stem): name for name in names if Path(name).stem.isdigit()}


def _keep(storage: Storage, channel: str, pointer: Pointer, found: Versioned) -> None:
    """Put the record of a move into the log; it is there already when the process that should have gone on from it died, or is slow."""
    storage.write(f"{FOLDER}/log/{channel}/{pointer.serial:08}.json", found.content, expected=None)


def _conflict(storage: Storage, channel: str, now: Pointer | None) -> PromotionConflict:
    told = "is not set any more" if now is None else f"was moved to {now.release} by {now.by} at {now.at:%Y-%m-%d %H:%M:%S} UTC ({now.why})"
    return PromotionConflict(f"{storage.where(file_of(channel))}: {told}; nothing is changed. Look at it, and decide again.")
