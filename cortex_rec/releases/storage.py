"""The seam between releases and where they are kept: the few verbs that a local folder and a bucket both have."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Versioned:
    """What a file held when it was read.

    Parameters
    ----------
    content
        All of its bytes.
    tag
        Names this version of the file: another one whenever the content is another one.
    """

    content: bytes
    tag: str


class Storage(Protocol):
    """Files by name, such as `2026-01-08-0bb5794a6a/manifest.json`. A reader sees a file as it was or as it is, never a part of it.

    `cortex_rec.testing.storage_contract` tells whether an implementation behaves.
    """

    def where(self, name: str = "") -> str:
        """The place of a file, or of everything, for messages."""
        ...

    def read(self, name: str) -> Versioned | None:
        """A small file; None when it is not there."""
        ...

    def write(self, name: str, content: bytes, *, expected: str | None) -> bool:
        """Write a small file if it still is the version of the tag `expected`, or, by None, still is not there.

        Returns
        -------
        bool
            False when it is another version: then nothing was written. Of several that expect the same, one gets True.
        """
        ...

    def list(self, prefix: str = "") -> dict[str, int]:
        """Bytes of every file whose name begins with `prefix`; what is half-written is not among them."""
        ...

    def upload(self, path: Path, name: str) -> None:
        """Put a local file in place, instead of whatever is there under this name."""
        ...

    def download(self, name: str, path: Path) -> None:
        """Copy a file to `path`, which is new; a part of it may be there when this raises.

        Raises
        ------
        ArtifactError
            If there is no such file.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...
