"""Array types, ragged lists, and their files (safetensors: no pickle)."""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cortex_rec.errors import ArtifactError

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

DAY = 86_400
NO_ROW = -1
#: Up to so many possible keys for each wanted one it is quicker to write down where each key lies than to search.
_DENSE: Final = 32
#: Types of a safetensors file by their names there, in the order in which it has its arrays.
_TYPES: Final = {"I64": np.int64, "F64": np.float64, "F32": np.float32, "I32": np.int32, "I8": np.int8, "BOOL": np.bool_}


@dataclass(frozen=True)
class Ragged:
    """Lists of item rows of different length, one a user, in one flat array.

    Parameters
    ----------
    pointer
        (n + 1,) int64; list `i` is `item[pointer[i]:pointer[i + 1]]`.
    item
        (pointer[-1],) int32 rows of the item `IdMap`.
    """

    pointer: I64
    item: I32

    def __len__(self) -> int:
        return len(self.pointer) - 1

    def __getitem__(self, i: int) -> I32:
        return self.item[self.pointer[i] : self.pointer[i + 1]]

    def take(self, chosen: Array) -> "Ragged":
        """Some of the lists, given as positions or as a mask."""
        rows = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        counts = np.diff(self.pointer)[rows]
        return Ragged(pointers(counts), self.item[ranges(self.pointer[rows], counts)])

    def leading(self, scores: Array, n: int) -> I64:
        """Positions in `item`, ascending, of the `n` entries of each list whose `scores` (pointer[-1],) are largest, equal ones by row."""
        order = np.lexsort((self.item, -scores, self.owner))
        return np.sort(order[self.place < n])

    @cached_property
    def owner(self) -> I64:
        """(pointer[-1],) int64, the number of the list that each entry belongs to."""
        return owners(self.pointer)

    @cached_property
    def place(self) -> I64:
        """(pointer[-1],) int64, the position of each entry in its list, from 0."""
        return np.arange(len(self.item)) - self.pointer[self.owner]

    @staticmethod
    def of(lists: Sequence[Array]) -> "Ragged":
        """Some lists as one."""
        flat = np.concatenate([np.zeros(0, np.int32), *lists]).astype(np.int32)
        return Ragged(pointers(np.array([len(own) for own in lists], np.int64)), flat)

    @staticmethod
    def from_owner(owner: I64, item: I32, n: int) -> "Ragged":
        """Lists from flat entries whose `owner` is already in ascending order."""
        return Ragged(pointers(np.bincount(owner, minlength=n)), item.astype(np.int32))

    @staticmethod
    def joined(parts: Sequence["Ragged"]) -> "Ragged":
        """The lists of several, one after another."""
        counts = np.concatenate([np.zeros(0, np.int64), *(np.diff(part.pointer) for part in parts)])
        return Ragged(pointers(counts), np.concatenate([np.zeros(0, np.int32), *(part.item for part in parts)]))


def is_in(lists: Ragged, sets: Ragged) -> Bool:
    """For each entry of `lists`, whether the set of the same user has it: (lists.pointer[-1],) bool."""
    # User by user, since all pairs at once would be sorted. The last place is that of row -1, an unknown item.
    has, found = np.zeros(int(max(lists.item.max(initial=0), sets.item.max(initial=0))) + 2, np.bool_), np.empty(len(lists.item), np.bool_)
    for i in range(len(lists)):
        has[sets[i]] = True
        found[lists.pointer[i] : lists.pointer[i + 1]] = has[lists[i]]
        has[sets[i]] = False
    return found


def pointers(counts: Array) -> I64:
    """Offsets (n + 1,) int64 of lists with the given lengths."""
    result = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=result[1:])
    return result


def owners(pointer: I64) -> I64:
    """For each flat entry, the number of its list."""
    return np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))


def consecutive(pointer: I64, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of consecutive lists with at most so many entries together, or a single list of more; one empty range where there is none."""
    first, n = 0, len(pointer) - 1
    while True:
        last = max(int(np.searchsorted(pointer, pointer[first] + most, side="right")) - 1, first + 1)
        last = min(last, n)
        yield first, last
        if last == n:
            return
        first = last


def ranges(starts: I64, counts: I64) -> I64:
    """Concatenated `arange(start, start + count)`: the flat positions of several slices."""
    offset = pointers(counts)
    return np.repeat(starts - offset[:-1], counts) + np.arange(offset[-1])


def distinct(keys: Array) -> Array:
    """The distinct keys, ascending: what `np.unique` gives, several times as fast where they are few."""
    ordered = np.sort(keys)
    found: Array = ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
    return found


def sums(place: Array, weight: Array, n: int) -> F64:
    """(n,) float64 sums of the weights of each place, added in their order."""
    total: F64 = np.bincount(place, weight, n).astype(np.float64, copy=False)
    return total


def reached(scores: Array, n: int) -> float:
    """What at least `n` of the scores (k,) reach and few others do; minus infinity where they are not more than `n`."""
    if len(scores) <= n:
        return float("-inf")
    # The n-th largest of the maxima of some 8 n groups: sorting all scores into less and more takes many times as long.
    deep = max(len(scores) // (8 * n), 1)
    maxima = scores[: len(scores) // deep * deep].reshape(deep, -1).max(axis=0)
    return float(np.partition(maxima, len(maxima) - n)[len(maxima) - n])


def largest(scores: Array, rows: Array, n: int) -> I64:
    """Positions of the `n` largest scores (k,), best first, equal ones by their rows (k,)."""
    at = np.flatnonzero(scores >= reached(scores, n))
    return at[np.lexsort((rows[at], -scores[at]))[:n]]


def ratio(top: Array, bottom: Array) -> F64:
    """`top / bottom`, NaN where `bottom` is not positive."""
    result: F64 = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return result


def find(keys: Array, wanted: Array) -> I64:
    """Position of each wanted key in ascending, distinct `keys`, -1 where it is not among them."""
    if len(keys) == 0:
        return np.full(len(wanted), NO_ROW, np.int64)
    if keys[0] >= 0 and keys[-1] < _DENSE * len(wanted):
        beyond = int(keys[-1]) + 1
        place = np.full(beyond + 1, NO_ROW, np.int64)
        place[keys] = np.arange(len(keys))
        return place[np.where(wanted < 0, beyond, np.minimum(wanted, beyond))]
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, NO_ROW)


def extended(array: Array, n: int, fill: float) -> Array:
    """The array with `n` more rows of one value at its end."""
    return np.concatenate([array, np.full((n, *array.shape[1:]), fill, array.dtype)])


def rekeyed(key: I64, width: int, wider: int) -> I64:
    """Keys `group * width + member` as `group * wider + member`, in the same order."""
    return key // width * wider + key % width


def vars_of(value: object) -> dict[str, Array]:
    """The declared array fields of a dataclass by name, without cached properties."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}  # type: ignore[attr-defined]


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write named arrays to one safetensors file."""
    save_file({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}, path)


class ArraysFile:
    """A safetensors file of arrays that are written piece by piece: then it holds what `save_arrays` would have written.

    Parameters
    ----------
    path
        A new file.
    shapes
        Of each array its dtype and length.

    Source
    ------
    The safetensors format, huggingface/safetensors: the header's size as 8 bytes, the header as JSON padded to 8 bytes, the arrays.
    """

    def __init__(self, path: Path, shapes: Mapping[str, tuple[npt.DTypeLike, int]]) -> None:
        self._path = path
        self._dtypes = {name: np.dtype(dtype) for name, (dtype, _) in shapes.items()}
        header: dict[str, dict[str, Any]] = {}
        end = 0
        for kind, dtype in _TYPES.items():
            for name in sorted(name for name, own in self._dtypes.items() if own == dtype):
                n = shapes[name][1]
                start, end = end, end + n * self._dtypes[name].itemsize
                header[name] = {"dtype": kind, "shape": [n], "data_offsets": [start, end]}
        told = json.dumps(header, separators=(",", ":")).encode()
        told += b" " * (-len(told) % 8)
        self._starts = {name: 8 + len(told) + one["data_offsets"][0] for name, one in header.items()}
        with path.open("xb") as file:
            file.write(struct.pack("<Q", len(told)) + told)
            file.truncate(8 + len(told) + end)

    def write(self, name: str, at: int, values: Array) -> None:
        """Put values into an array, from the place `at` on."""
        with self._path.open("r+b") as file:
            file.seek(self._starts[name] + at * self._dtypes[name].itemsize)
            values.astype(self._dtypes[name], copy=False).tofile(file)


def load_arrays(path: Path, *, mapped: bool = False) -> dict[str, Array]:
    """Read what `save_arrays` wrote.

    Parameters
    ----------
    mapped
        Give read-only views of the file, of which the system reads what is looked at, when it is. Who cuts such a file short ends the
        process; so this is for files that nobody else writes.

    Raises
    ------
    ArtifactError
        If the file is missing or damaged.
    """
    try:
        return _map(path) if mapped else dict(load_file(path))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path}: cannot be read as a safetensors file ({error}). Delete its folder and run again, "
            "or go back to a release that `cortex-rec releases verify` passes."
        ) from error


def _map(path: Path) -> dict[str, Array]:
    """Views of a file: eight bytes that tell the length of a header in JSON, the header, and the arrays one after another."""
    content = np.memmap(path, np.uint8, "r").view(np.ndarray)
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    if start > len(content):
        raise ValueError("it is shorter than its header")
    found: dict[str, Array] = {}
    for name, told in json.loads(content[8:start].tobytes()).items():
        if name == "__metadata__":
            continue
        first, last = told["data_offsets"]
        if start + last > len(content):
            raise ValueError(f"it ends within {name!r}")
        array = content[start + first : start + last].view(_TYPES[told["dtype"]]).reshape(told["shape"])
        # `save_arrays` lays numbers at multiples of their size; another writer need not have.
        found[name] = np.require(array, requirements="A")
    return found
