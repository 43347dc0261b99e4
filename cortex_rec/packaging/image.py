"""An image as files on this machine: what it is called, what it weighs, and how it is built."""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cortex_rec import __version__, folders
from cortex_rec.code_version import ROOT
from cortex_rec.errors import ArtifactError
from cortex_rec.folders import FileRecord
from cortex_rec.packaging.engine import Engine
from cortex_rec.packaging.requirements import DEPLOYMENTS
from cortex_rec.releases.store import Release

NAME: Final = "localhost/cortex-rec"
CONTAINERFILE: Final = DEPLOYMENTS / "Containerfile"
BILL: Final = "sbom.cdx.json"
_FILES: Final = "image"


@dataclass(frozen=True)
class Image:
    """An image that was built.

    Parameters
    ----------
    tag
        `<release>-<commit>`.
    folder
        Holds `image`, the files as a registry has them (skopeo's `dir:`), and `sbom.cdx.json`.
    digest
        Of its manifest: the same in every registry that it is pushed to.
    layers
        Compressed bytes of each, the base's first.
    """

    tag: str
    folder: Path
    digest: str
    layers: tuple[int, ...]

    @property
    def files(self) -> Path:
        """The folder of manifest and layers."""
        return self.folder / _FILES

    @property
    def compressed_mb(self) -> float:
        """What a machine without any of its layers has to load, in 10^6 bytes."""
        return sum(self.layers) / 1e6

    @classmethod
    def open(cls, folder: Path) -> "Image":
        """Read what `build` wrote.

        Raises
        ------
        ArtifactError
            If there is no image.
        """
        path = folder / _FILES / "manifest.json"
        try:
            manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            layers = tuple(int(layer["size"]) for layer in manifest["layers"])
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(f"{path}: is no image's manifest ({error}). Build it anew with `make image`.") from error
        return cls(folder.name, folder, f"sha256:{FileRecord.of(path).sha256}", layers)


@dataclass(frozen=True)
class Source:
    """The commit that the code comes from."""

    commit: str
    made: int

    @classmethod
    def of(cls, root: Path = ROOT) -> "Source":
        """The checkout's commit, with `-dirty` where files differ from it; `unknown` and 0 outside of a checkout."""
        if shutil.which("git") is None or not (root / ".git").exists():
            return cls("unknown", 0)
        commit, made = _git(root, "log", "-1", "--format=%H %ct").split()
        return cls(commit + ("-dirty" if _git(root, "status", "--porcelain") else ""), int(made))

    @property
    def short(self) -> str:
        """Ten digits of the commit, and `-dirty`."""
        commit, dash, dirty = self.commit.partition("-")
        return commit[:10] + dash + dirty


def tag_of(release: Release | None, source: Source) -> str:
    """The same release and the same commit have the same tag."""
    return f"{'no-release' if release is None else release.id}-{source.short}"


def labels(release: Release | None, source: Source, base: str) -> dict[str, str]:
    """What the image says of itself; a service without a release inside has no `org.cortex-rec.release`."""
    named = {
        "org.opencontainers.image.title": "cortex-rec",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": __version__,
        "org.opencontainers.image.revision": source.commit,
        "org.opencontainers.image.base.name": base,
    }
    return named if release is None else named | {"org.cortex-rec.release": release.id}


def build(
    parent: Path, *, python: Path, code: Path, bill: str, release: Release | None, source: Source, base: str, engine: Engine
) -> Image:
    """Build `localhost/cortex-rec:<tag>` and keep its files under `parent/<tag>`, in place of what was there.

    Parameters
    ----------
    python, code
        As of `requirements.install` and `bento.build`.
    bill
        As of `contents.bill`; goes into the image, too.

    Raises
    ------
    ProgramFailed
        If a step of the Containerfile fails.
    """
    tag = tag_of(release, source)
    with tempfile.TemporaryDirectory(dir=parent) as scratch:
        context = Path(scratch)
        # Links within one disk: the wheels are 600 MB unpacked.
        shutil.copytree(python, context / "python", copy_function=_link)
        shutil.copytree(code, context / "src")
        (context / BILL).write_text(bill, encoding="utf-8")
        named = f"{NAME}:{tag}"
        inside = {"BASE": base, "RELEASE": "" if release is None else release.id}
        engine.build(context, CONTAINERFILE, tag=named, arguments=inside, labels=labels(release, source, base), made=source.made)
    with folders.draft(parent) as draft:
        made = draft / tag
        made.mkdir()
        engine.export(named, made / _FILES)
        (made / BILL).write_text(bill, encoding="utf-8")
        shutil.rmtree(parent / tag, ignore_errors=True)
        folders.settle(made, parent / tag)
    return Image.open(parent / tag)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
