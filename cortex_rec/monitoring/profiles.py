"""What is kept of a day: counts over bins, single figures, and the mean of vectors. Days of one kind lie below each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F64, I64, load_arrays, save_arrays


@dataclass(frozen=True)
class Profile:
    """One day.

    Parameters
    ----------
    size
        Lines, lists or requests that it rests on: with too few nothing is said.
    histograms
        (n_bins,) counts by name.
    numbers
        Single figures by name; NaN where there is nothing to count.
    vectors
        (d,) means by name.
    """

    size: int
    histograms: Mapping[str, F64]
    numbers: Mapping[str, float]
    vectors: Mapping[str, F64]


@dataclass(frozen=True)
class Profiles:
    """Several days, the oldest first.

    Parameters
    ----------
    start
        (n_days,) int64 the first second of each day.
    block
        (n_days,) int64 the week that each belongs to, ascending: what is known of a day was known when its week began.
    size, histograms, numbers, vectors
        As of `Profile`, with the days as first axis; a figure that a day lacks is NaN.
    """

    start: I64
    block: I64
    size: I64
    histograms: Mapping[str, F64]
    numbers: Mapping[str, F64]
    vectors: Mapping[str, F64]

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def of(cls, days: Sequence[tuple[int, int, Profile]]) -> Self:
        """From (start, block, profile) of each day."""
        profiles = [profile for _, _, profile in days]

        def stacked(field: str) -> dict[str, F64]:
            names = dict.fromkeys(name for profile in profiles for name in getattr(profile, field))
            return {name: _rows([getattr(profile, field).get(name) for profile in profiles]) for name in names}

        start, block = (np.array([day[place] for day in days], np.int64) for place in (0, 1))
        size = np.array([profile.size for profile in profiles], np.int64)
        return cls(start, block, size, stacked("histograms"), stacked("numbers"), stacked("vectors"))

    def followed_by(self, start: int, block: int, profile: Profile) -> Self:
        """The same days and one more."""
        return type(self).of([*((int(s), int(b), self.day(i)) for i, (s, b) in enumerate(zip(self.start, self.block, strict=True))),
                              (start, block, profile)])  # fmt: skip

    def day(self, i: int) -> Profile:
        """Day `i` alone."""
        return Profile(
            int(self.size[i]),
            {name: rows[i] for name, rows in self.histograms.items()},
            {name: float(rows[i]) for name, rows in self.numbers.items()},
            {name: rows[i] for name, rows in self.vectors.items()},
        )

    def save(self, path: Path) -> None:
        """Write one file."""
        arrays = {"start": self.start, "block": self.block, "size": self.size}
        for field in ("histograms", "numbers", "vectors"):
            arrays |= {f"{field}/{name}": rows for name, rows in getattr(self, field).items()}
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_arrays(path)
        parts: dict[str, dict[str, F64]] = {"histograms": {}, "numbers": {}, "vectors": {}}
        for name in sorted(set(arrays) - {"start", "block", "size"}):
            field, _, own = name.partition("/")
            parts[field][own] = arrays[name]
        return cls(arrays["start"], arrays["block"], arrays["size"], **parts)


def _rows(values: Sequence[F64 | float | None]) -> F64:
    """The values below each other, NaN in place of one that is absent."""
    shape = next((np.shape(value) for value in values if value is not None), ())
    return np.stack([np.full(shape, np.nan) if value is None else np.asarray(value, np.float64) for value in values])
