"""Releases: immutable, verified by digest, and named by their id or by the channel that points to them."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cortex_rec import folders
from cortex_rec.errors import ArtifactError, PromotionConflict, ReleaseNotFound, StoreUnavailable
from cortex_rec.folders import FileRecord
from cortex_rec.releases import cache as fetched
from cortex_rec.releases import channels, transfer
from cortex_rec.releases.channels import CANDIDATE, CHANNELS, PRODUCTION
from cortex_rec.releases.manifest import MANIFEST, RUN, Contents, File, Manifest, is_id, seal
from cortex_rec.releases.places import bucket_of, home_of, storage_of

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """A release on this machine.

    Parameters
    ----------
    id
        `<as-of date>-<digest>`.
    path
        Its folder; never write there.
    manifest
        What it says about itself.
    """

    id: str
    path: Path
    manifest: Manifest

    def run(self) -> dict[str, Any]:
        """How the run that made it went (`seconds` by stage, `peak_rss_mb`); outside of every digest."""
        path = self.path / RUN
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path}: cannot be read ({error}).") from error
        return record


def publish(root: Path | str, write: Callable[[Path], None], contents: Contents, run: Mapping[str, Any]) -> Release:
    """Write a release, then point `candidate` to it.

    Parameters
    ----------
    root
        The place of the releases: a folder, made when absent, or `s3://bucket/prefix`.
    write
        Fills an empty folder with the release's files.
    contents
        What the manifest states.
    run
        Seconds, memory and the like, which may differ between equal runs; goes to `run.json`.

    Returns
    -------
    Release
        The new one, or the one already there when its content is the same.

    Raises
    ------
    ArtifactError
        If it cannot be written; `candidate` then still names the former release, and nothing half-written can be found.
    StoreUnavailable
        If the bucket does not answer; publishing the same again sends what it lacks.
    """
    home = home_of(root)
    with folders.draft(home) as folder:
        write(folder)
        for reserved in (MANIFEST, RUN):
            if (folder / reserved).exists():
                raise ArtifactError(f"{reserved}: the store writes this file itself. Give it another name.")
        manifest = seal(contents, {name: File(**asdict(entry)) for name, entry in folders.records(folder).items()})
        manifest.write(folder / MANIFEST)
        (folder / RUN).write_text(json.dumps(dict(run), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        folders.read_only(folder)
        target = home / manifest.id
        if not folders.settle(folder, target):
            # It was made before, or begun: what is not there as it must be is put there.
            transfer.upload(folder, manifest, storage_of(home))
            verify(home, manifest.id)
    if bucket_of(root) is not None:
        transfer.upload(target, manifest, storage_of(root))
        fetched.prune(home, manifest.id)
    _nominate(root, manifest.id)
    return Release(manifest.id, target, manifest)


def open_release(root: Path | str, release: str = PRODUCTION, *, check: bool = True, cache: Path | None = None) -> Release:
    """Find a release and check it; one of a bucket is fetched first, if it is not on this machine.

    Parameters
    ----------
    root
        The place of the releases: a folder, or `s3://bucket/prefix`.
    release
        Its id, or the channel that points to it.
    check
        Compare every file's size and SHA-256 with the manifest. Of a release that was fetched, a damaged file is fetched again.
    cache
        Where what is fetched is kept; `releases` in `CORTEX_REC_CACHE` or in `~/.cache/cortex-rec` when absent. While the bucket does not
        answer, what was fetched last is given, and the log says so.

    Raises
    ------
    ReleaseNotFound
        If there is no such release.
    ArtifactError
        If the manifest or a file is damaged; the message names it and the way out.
    StoreUnavailable
        If the bucket does not answer, and the release was not fetched before.
    """
    if bucket_of(root) is not None:
        return _fetched(root, release, home_of(root, cache), check=check)
    name = resolve(root, release)
    found = Release(name, Path(root) / name, manifest_of(root, name))
    if check:
        _check_files(root, found)
    return found


def verify(root: Path | str, release: str = PRODUCTION) -> Release:
    """Compare every file of a release with its manifest; raises like `open_release`."""
    return open_release(root, release, check=True)


def resolve(root: Path | str, release: str) -> str:
    """The id of a release by itself, or of the one that a channel points to now.

    Raises
    ------
    ReleaseNotFound
        If the channel was never moved.
    """
    if release not in CHANNELS:
        return release
    pointer = channels.read(root, release)
    if pointer is None:
        raise ReleaseNotFound(f"{storage_of(root).where()}: `{release}` points to no release yet. {_way_out(root)}")
    return pointer.release


def manifest_of(root: Path | str, release: str) -> Manifest:
    """What a release says about itself, without a look at its files.

    Parameters
    ----------
    release
        Its id, or the channel that points to it.

    Raises
    ------
    ReleaseNotFound
        If there is no such release.
    ArtifactError
        If the manifest is damaged.
    """
    storage, name = storage_of(root), resolve(root, release)
    content = storage.read(f"{name}/{MANIFEST}") if is_id(name) else None
    if content is None:
        raise ReleaseNotFound(f"{storage.where()}: no release {name!r}. {_others(root, name)}")
    try:
        manifest = Manifest.parse(content.content, storage.where(f"{name}/{MANIFEST}"))
        if manifest.id != name:
            raise ArtifactError(f"{storage.where(f'{name}/{MANIFEST}')}: is the manifest of {manifest.id}.")
    except ArtifactError as error:
        raise ArtifactError(f"{error} {_others(root, name)}") from error
    return manifest


def release_ids(root: Path | str) -> list[str]:
    """Ids of all releases, the latest data first. One that was not written to its end has no manifest and is none."""
    parts = (name.split("/") for name in storage_of(root).list())
    return sorted((folder[0] for folder in parts if len(folder) == 2 and folder[1] == MANIFEST and is_id(folder[0])), reverse=True)


def push(root: Path | str, to: Path | str, release: str = PRODUCTION) -> Release:
    """Copy a release to another place, or go on with a copy that was interrupted; no channel is moved.

    Parameters
    ----------
    release
        Its id, or the channel of `root` that points to it.

    Raises
    ------
    ArtifactError
        If the release is damaged, or cannot be written.
    StoreUnavailable
        If a bucket does not answer; the same call goes on from there.
    """
    found = open_release(root, release)
    transfer.upload(found.path, found.manifest, storage_of(to))
    return found


def _fetched(root: Path | str, release: str, home: Path, *, check: bool) -> Release:
    storage = storage_of(root)
    try:
        pointer = channels.read(root, release) if release in CHANNELS else None
        name = resolve(root, release) if pointer is None else pointer.release
        if not (home / name).is_dir():
            manifest_of(root, name)  # tells what there is when it is not this one
        fetched.fetch(storage, name, home, check=check)
        if pointer is not None:
            fetched.remember(home, release, pointer)
    except StoreUnavailable as error:
        try:
            found = open_release(home, release, check=check)
        except ReleaseNotFound:
            raise error from None
        _LOG.warning("%s Release %s is taken from what was fetched before (%s).", error, found.id, home)
        return found
    return open_release(home, name, check=check)


def _nominate(root: Path | str, release: str) -> None:
    """Point `candidate` to what was just made; of two made at once, the one that comes last stays."""
    while True:
        now = channels.read(root, CANDIDATE)
        if now is not None and now.release == release:
            return
        try:
            channels.move(root, CANDIDATE, release, by=channels.login(), why="made", at=datetime.now(UTC), expected=now)
        except PromotionConflict:
            continue


def _check_files(root: Path | str, release: Release) -> None:
    for name, entry in release.manifest.files.items():
        fault = FileRecord(entry.sha256, entry.bytes).fault(release.path / name)
        if fault is not None:
            raise ArtifactError(f"release {release.id}: {release.path / name} {fault}. {_others(root, release.id)}")
    known = {*release.manifest.files, MANIFEST, RUN}
    extra = sorted(path.relative_to(release.path).as_posix() for path in release.path.rglob("*") if path.is_file())
    foreign = [name for name in extra if name not in known]
    if foreign:
        raise ArtifactError(f"release {release.id}: {release.path / foreign[0]} is not in its manifest. Remove the file.")


def _way_out(root: Path | str) -> str:
    found = release_ids(root)
    if not found:
        return "There is no release yet; `cortex-rec train configs/complete_journey.yaml` makes one."
    return f"Promote one: `cortex-rec releases promote {found[0]} --why …`."


def _others(root: Path | str, damaged: str) -> str:
    others = [name for name in release_ids(root) if name != damaged]
    if not others:
        return "There is no other release; make one with `cortex-rec train`."
    return f"Use another: {', '.join(others[:5])}; or make it again with `cortex-rec train`."
