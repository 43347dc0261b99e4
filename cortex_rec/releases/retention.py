"""Which releases stay, and how one goes: never while a channel points to it, and never by halves."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cortex_rec.releases import channels
from cortex_rec.releases.channels import CHANNELS, PRODUCTION
from cortex_rec.releases.manifest import MANIFEST, is_id
from cortex_rec.releases.places import storage_of
from cortex_rec.releases.storage import Storage

#: A file here says that a release is being removed, so that whoever comes after a killed process can end it.
_REMOVED = "removed"


@dataclass(frozen=True)
class Fate:
    """What becomes of a release.

    Parameters
    ----------
    release
        Its id.
    bytes
        The size of its files.
    stays
        Whether it does.
    why
        The reason, in words.
    """

    release: str
    bytes: int
    stays: bool
    why: str


def gc(root: Path | str, *, keep: int, dry_run: bool = False) -> list[Fate]:
    """Remove releases that are neither among the newest nor pointed to.

    Parameters
    ----------
    root
        The place of the releases.
    keep
        How many of the newest stay: by the end of their data, and of those with the same end by when a channel came to them.
    dry_run
        Only tell.

    Returns
    -------
    list
        Every release and every unfinished upload, the newest first. Unfinished uploads stay, as one may be going on.

    Raises
    ------
    ArtifactError
        If a channel is damaged: then it cannot be known what it points to, and nothing is removed.
    """
    storage = storage_of(root)
    files = storage.list()
    ending = {name.split("/")[1] for name in files if name.startswith(f"{_REMOVED}/")}
    sizes = dict.fromkeys(ending, 0)
    for name, size in files.items():
        release = name.partition("/")[0]
        if is_id(release):
            sizes[release] = sizes.get(release, 0) + size
    whole = _newest_first(root, [release for release in sizes if f"{release}/{MANIFEST}" in files])
    held = _held(root)
    fates = []
    for place, release in enumerate(whole, start=1):
        reasons = [*([f"newest {place} of {keep}"] if place <= keep else []), *held.get(release, [])]
        fates.append(Fate(release, sizes[release], bool(reasons), ", ".join(reasons) or "neither new nor pointed to"))
    for release in sorted(sizes.keys() - set(whole), reverse=True):
        why = "its removal was interrupted" if release in ending else "an unfinished upload; push it again to end it"
        fates.append(Fate(release, sizes[release], release not in ending, why))
    if not dry_run:
        fates = [fate if fate.stays else _gone(root, storage, fate) for fate in fates]
    return fates


def finish_removal(storage: Storage, release: str) -> None:
    """End a removal that was interrupted, if there was one."""
    if storage.read(f"{_REMOVED}/{release}") is not None:
        _remove(storage, release)


def _gone(root: Path | str, storage: Storage, fate: Fate) -> Fate:
    # Looked at again: it may have been promoted while others were removed.
    held = _held(root).get(fate.release)
    if held:
        return Fate(fate.release, fate.bytes, True, ", ".join(held))
    _remove(storage, fate.release)
    return fate


def _remove(storage: Storage, release: str) -> None:
    """The manifest goes first: nobody finds a release with a part of its files."""
    storage.write(f"{_REMOVED}/{release}", b"", expected=None)
    storage.remove(f"{release}/{MANIFEST}")
    for name in storage.list(f"{release}/"):
        storage.remove(name)
    storage.remove(f"{_REMOVED}/{release}")


def _held(root: Path | str) -> Mapping[str, list[str]]:
    """Releases that must stay, each with the reasons."""
    held: dict[str, list[str]] = {}
    for channel in CHANNELS:
        pointer = channels.read(root, channel)
        if pointer is not None:
            held.setdefault(pointer.release, []).append(channel)
            if channel == PRODUCTION and pointer.former is not None:
                held.setdefault(pointer.former, []).append(f"former of {PRODUCTION}")
    return held


def _newest_first(root: Path | str, releases: list[str]) -> list[str]:
    moved = {move.release: move.at.timestamp() for move in reversed(channels.log(root))}
    return sorted(releases, key=lambda release: (release[:10], moved.get(release, 0.0), release), reverse=True)
