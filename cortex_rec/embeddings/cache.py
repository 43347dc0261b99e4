"""Vectors of one model by digest of what they were computed from, in one file: what was embedded once is not embedded again."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from cortex_rec.arrays import F32, Array, load_arrays, save_arrays
from cortex_rec.errors import ArtifactError
from cortex_rec.folders import replace_file

DIGEST_BYTES: Final = 16
#: The file is written again when a quarter more vectors are known than it holds: a killed run loses little, a long one writes
#: each vector about five times.
_GROWTH: Final = 1.25


def digest(content: bytes) -> bytes:
    """(DIGEST_BYTES,) what names the vector of this content."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class VectorCache:
    """Vectors by digest; a context that saves what is new when it ends, also by an error or an interrupt.

    A save keeps what other processes saved meanwhile. Of two that save at the very same moment one may lose its vectors, which
    are then computed again when they are needed: nothing wrong is ever read.

    Parameters
    ----------
    folder
        Where the file is; made when there is something to save.
    model
        What computes the vectors; another model has another file.

    Raises
    ------
    ArtifactError
        If the file is damaged.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self.path = folder / f"{hashlib.blake2b(model.encode(), digest_size=8).hexdigest()}.safetensors"
        self._row: dict[bytes, int] = {}
        self._vectors: list[F32] = []
        if self.path.exists():
            self.add(*_read(self.path))
        self._saved = len(self._row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if len(self._row) > self._saved:
            self._save()

    def __contains__(self, key: bytes) -> bool:
        return key in self._row

    @property
    def width(self) -> int | None:
        """Length of a vector; None while none is known."""
        return self._vectors[0].shape[1] if self._vectors else None

    def add(self, keys: Sequence[bytes], vectors: F32) -> None:
        """Take vectors (len(keys), d); a key that is known keeps the vector that it has."""
        new = [i for i, key in enumerate(keys) if key not in self._row]
        if not new:
            return
        self._row |= {keys[i]: len(self._row) + place for place, i in enumerate(new)}
        self._vectors.append(vectors[new])

    def keep(self) -> None:
        """Save now, if enough is new."""
        if len(self._row) > self._saved * _GROWTH:
            self._save()

    def take(self, keys: Sequence[bytes | None], width: int) -> F32:
        """(len(keys), width) float32: each key's vector, zeros for None."""
        found = np.zeros((len(keys), width), np.float32)
        asked = [(place, self._row[key]) for place, key in enumerate(keys) if key is not None]
        if asked:
            places, rows = np.array(asked).T
            found[places] = np.concatenate(self._vectors)[rows]
        return found

    def _save(self) -> None:
        if self.path.exists():
            self.add(*_read(self.path))
        arrays: dict[str, Array] = {
            "digests": np.frombuffer(b"".join(self._row), np.uint8).reshape(-1, DIGEST_BYTES),
            "vectors": np.concatenate(self._vectors),
        }
        with replace_file(self.path) as path:
            save_arrays(path, arrays | {"checksum": _checksum(arrays)})
        self._saved = len(self._row)


def _checksum(arrays: dict[str, Array]) -> Array:
    """A disk's flipped bit would otherwise be a wrong vector for ever."""
    whole = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for name in ("digests", "vectors"):
        whole.update(np.ascontiguousarray(arrays[name]).data)
    return np.frombuffer(whole.digest(), np.uint8)


def _read(path: Path) -> tuple[list[bytes], F32]:
    try:
        arrays = load_arrays(path)
        whole = arrays.keys() == {"digests", "vectors", "checksum"} and np.array_equal(arrays["checksum"], _checksum(arrays))
    except ArtifactError as error:
        raise _damaged(path) from error
    if not whole:
        raise _damaged(path)
    return [row.tobytes() for row in arrays["digests"]], arrays["vectors"]


def _damaged(path: Path) -> ArtifactError:
    return ArtifactError(f"{path}: this cache of vectors is damaged. Delete the file and run again: its vectors are then computed anew.")
