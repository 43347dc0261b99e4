"""Releases in a local folder: immutable, verified by digest, with a `latest` pointer that is replaced atomically."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cortex_rec import folders
from cortex_rec.errors import ArtifactError, ReleaseNotFound
from cortex_rec.folders import FileRecord
from cortex_rec.releases.manifest import MANIFEST, Contents, File, Manifest, seal

LATEST = "latest"
RUN = "run.json"
#: The folder of what was added since (`cortex_rec.releases.added`).
ADDED = "items"


@dataclass(frozen=True)
class Release:
    """A release on disk.

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


def publish(root: Path, write: Callable[[Path], None], contents: Contents, run: Mapping[str, Any]) -> Release:
    """Write a release, then point `latest` to it.

    Parameters
    ----------
    root
        The folder of releases; made when absent.
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
        If it cannot be written; `latest` then still names the former release, and nothing half-written is left.
    """
    with folders.draft(root) as folder:
        write(folder)
        for reserved in (MANIFEST, RUN):
            if (folder / reserved).exists():
                raise ArtifactError(f"{reserved}: the store writes this file itself. Give it another name.")
        manifest = seal(contents, {name: File(**asdict(entry)) for name, entry in folders.records(folder).items()})
        manifest.write(folder / MANIFEST)
        (folder / RUN).write_text(json.dumps(dict(run), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        for path in folder.rglob("*"):
            if path.is_file():
                path.chmod(0o444)
        target = root / manifest.id
        if not folders.settle(folder, target):
            verify(root, manifest.id)
        with folders.replace_file(root / LATEST) as pointer:
            pointer.write_text(f"{manifest.id}\n", encoding="utf-8")
    return Release(manifest.id, target, manifest)


def open_release(root: Path, release: str = LATEST, *, check: bool = True) -> Release:
    """Find a release and check it.

    Parameters
    ----------
    root
        The folder of releases.
    release
        Its id, or `latest`.
    check
        Compare every file's size and SHA-256 with the manifest.

    Raises
    ------
    ReleaseNotFound
        If there is no such release.
    ArtifactError
        If the manifest or a file is damaged; the message names it and the way out.
    """
    name = _pointed(root) if release == LATEST else release
    path = root / name
    if not path.is_dir() or name not in release_ids(root):
        raise ReleaseNotFound(f"{root}: no release {name!r}. {_others(root, name)}")
    try:
        manifest = Manifest.read(path / MANIFEST)
        if manifest.id != name:
            raise ArtifactError(f"{path / MANIFEST}: is the manifest of {manifest.id}.")
    except ArtifactError as error:
        raise ArtifactError(f"{error} {_others(root, name)}") from error
    found = Release(name, path, manifest)
    if check:
        _check_files(root, found)
    return found


def verify(root: Path, release: str = LATEST) -> Release:
    """Compare every file of a release with its manifest; raises like `open_release`."""
    return open_release(root, release, check=True)


def release_ids(root: Path) -> list[str]:
    """Names of all release folders, the latest data first."""
    if not root.is_dir():
        return []
    named = (path.name for path in root.iterdir() if path.is_dir() and path.name != ADDED)
    return sorted((name for name in named if not name.startswith(".")), reverse=True)


def latest_id(root: Path) -> str | None:
    """The id that `latest` points to; None before the first release."""
    path = root / LATEST
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def _pointed(root: Path) -> str:
    name = latest_id(root)
    if name is None:
        raise ReleaseNotFound(f"{root}: no release yet. `cortex-rec train configs/complete_journey.yaml` makes one.")
    return name


def _check_files(root: Path, release: Release) -> None:
    for name, entry in release.manifest.files.items():
        fault = FileRecord(entry.sha256, entry.bytes).fault(release.path / name)
        if fault is not None:
            raise ArtifactError(f"release {release.id}: {release.path / name} {fault}. {_others(root, release.id)}")
    known = {*release.manifest.files, MANIFEST, RUN}
    extra = sorted(path.relative_to(release.path).as_posix() for path in release.path.rglob("*") if path.is_file())
    foreign = [name for name in extra if name not in known]
    if foreign:
        raise ArtifactError(f"release {release.id}: {release.path / foreign[0]} is not in its manifest. Remove the file.")


def _others(root: Path, damaged: str) -> str:
    others = [name for name in release_ids(root) if name != damaged]
    if not others:
        return "There is no other release; make one with `cortex-rec train`."
    return f"Use another: {', '.join(others[:5])}; or make it again with `cortex-rec train`."
