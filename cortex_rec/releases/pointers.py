"""The record of a channel's move, as a file that tells when a bit of it has changed."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from cortex_rec.errors import ArtifactError

_DIGEST: Final = "sha256"


@dataclass(frozen=True)
class Pointer:
    """Where a channel points, and the move that made it so.

    Parameters
    ----------
    release
        The id of a release.
    former
        Where the channel pointed before; None at its first move.
    at
        When it was moved, in UTC.
    by, why
        Who moved it, and their reason.
    serial
        Counts the moves of the channel from 1.
    """

    release: str
    former: str | None
    at: datetime
    by: str
    why: str
    serial: int


_POINTER: Final = TypeAdapter(Pointer)


def dump(pointer: Pointer) -> bytes:
    """The pointer as JSON, with the digest of what it says."""
    said: dict[str, Any] = _POINTER.dump_python(pointer, mode="json")
    return json.dumps(said | {_DIGEST: _digest(said)}, indent=1, ensure_ascii=False).encode() + b"\n"


def parse(content: bytes, where: str) -> Pointer:
    """The pointer that a file holds.

    Parameters
    ----------
    where
        The file, for the message.

    Raises
    ------
    ArtifactError
        If it is damaged.
    """
    try:
        said = json.loads(content)
        stated = said.pop(_DIGEST)
        if stated != _digest(said):
            raise ValueError("its digest is not the one that it states")
        return _POINTER.validate_python(said)
    except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
        fault = "not as it was written" if isinstance(error, ValidationError) else error
        raise ArtifactError(f"{where}: is damaged ({fault}). Put it back from a backup, or remove it and promote.") from error


def _digest(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
