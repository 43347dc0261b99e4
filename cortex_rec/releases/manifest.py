"""What a release says about itself."""

import hashlib
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cortex_rec.errors import ArtifactError

FORMAT_VERSION: Final = 1
MANIFEST = "manifest.json"
#: How the run that made it went; outside of every digest.
RUN = "run.json"
#: Parts of the manifest that may differ between two runs on the same data, config and code.
_OUTSIDE_DIGEST = {"id", "digest", "git_commit"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataWindow(_Part):
    """The purchases that the release learned from: [first, last], all before `as_of`."""

    as_of: datetime
    first: datetime
    last: datetime
    interactions: int
    users: int
    items: int


class Feature(_Part):
    """One column of the ranking matrix, in its order."""

    name: str
    dtype: str


class File(_Part):
    """Size and SHA-256 of one file."""

    sha256: str
    bytes: int


class Contents(_Part):
    """What the maker of a release states; the store adds files, digest and id."""

    name: str
    data: DataWindow
    config: dict[str, Any]
    features: tuple[Feature, ...]
    metrics: dict[str, Any]
    libraries: dict[str, str]
    git_commit: str | None = None


class Manifest(Contents):
    """Everything about a release.

    The digest covers all of it but `id`, `digest` and `git_commit`: the same data, config and code give the same digest
    from a checkout, a tarball or a later commit that only touched a document. How long stages took is kept in
    `run.json`, which no digest covers.
    """

    format_version: Literal[1] = FORMAT_VERSION
    id: str
    digest: str
    files: dict[str, File]

    def write(self, path: Path) -> None:
        """Write it as JSON with sorted keys."""
        path.write_text(json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read a manifest and check that it is the one that its digest and its folder's name say.

        Raises
        ------
        ArtifactError
            If it is missing, damaged or of another format version.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise ArtifactError(f"{path}: is missing.") from error
        except OSError as error:
            raise ArtifactError(f"{path}: cannot be read ({error}).") from error
        return cls.parse(content, str(path))

    @classmethod
    def parse(cls, content: bytes, where: str) -> "Manifest":
        """The manifest that a file holds; raises like `read`, with `where` for the file's place."""
        try:
            raw = json.loads(content)
            version = raw["format_version"]
            if version != FORMAT_VERSION:
                raise ArtifactError(f"{where}: format version {version!r}, expected {FORMAT_VERSION}. Train again.")
            manifest = cls.model_validate(raw)
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise ArtifactError(f"{where}: is damaged ({type(error).__name__}).") from error
        if digest_of(manifest) != manifest.digest or manifest.id != release_id(manifest.data.as_of, manifest.digest):
            raise ArtifactError(f"{where}: was changed after the release was made: its digest is not the one that it states.")
        return manifest


def seal(contents: Contents, files: dict[str, File]) -> Manifest:
    """Add files, digest and id to what the maker states."""
    unsealed = Manifest(**contents.model_dump(), files=files, id="", digest="")
    digest = digest_of(unsealed)
    return unsealed.model_copy(update={"digest": digest, "id": release_id(contents.data.as_of, digest)})


def digest_of(manifest: Manifest) -> str:
    """SHA-256 (64 hex) of everything in the manifest that the data, the config and the code determine."""
    covered = manifest.model_dump(mode="json", exclude=_OUTSIDE_DIGEST)
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()


def release_id(as_of: datetime, digest: str) -> str:
    """`<date>-<first 10 hex of the digest>`: sorts by the data's end, and equal content has an equal name."""
    return f"{as_of:%Y-%m-%d}-{digest[:10]}"


def is_id(name: str) -> bool:
    """Whether it is written as a release's id."""
    return re.fullmatch(r"\d{4}-\d{2}-\d{2}-[0-9a-f]{10}", name) is not None
