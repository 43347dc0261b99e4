"""A day before it is counted: values by name. One layout of bins, made from the reference's days, turns each day into a profile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.arrays import DAY, F32, F64, NO_ROW, Array
from cortex_rec.monitoring.bins import NAMES, Bins, Names, Steps
from cortex_rec.monitoring.profiles import Profile

WEEK: Final = 7 * DAY
HOURS: Final = tuple(f"{hour:02}" for hour in range(24))
#: The code of a name that the release does not know; `NO_ROW` is none at all.
NEW: Final = -2
#: Names with a bin of their own where they are more than usual: every store is looked at by itself.
MOST_NAMES: Final = {"store_baskets": 1_000}
#: Values that steps are laid out by at most: more would not move an edge.
_MOST: Final = 500_000


def mean_vector(name: str, items: Array, content: F32) -> dict[str, F64]:
    """The mean of items' vectors by name; nothing where no item has one."""
    listed = items[(items >= 0) & (items < len(content))]
    return {name: content[listed].mean(axis=0, dtype=np.float64)} if len(listed) else {}


@dataclass(frozen=True)
class Named:
    """Texts by code.

    Parameters
    ----------
    codes
        (n,) places in `names`, `NEW` or `NO_ROW`.
    names
        What the codes mean.
    """

    codes: Array
    names: Sequence[str]

    def counts(self) -> dict[str | None, float]:
        """How often each name is there, None for none; what is new is one name that no layout has."""
        codes, number = np.unique(self.codes, return_counts=True)
        return {self._name(int(code)): float(n) for code, n in zip(codes, number, strict=True)}

    def _name(self, code: int) -> str | None:
        if code == NO_ROW:
            return None
        return "" if code == NEW else self.names[code]


@dataclass(frozen=True)
class Raw:
    """One day: `values` and `named` are counted over bins, `numbers` and `vectors` go into the profile as they are."""

    size: int
    values: Mapping[str, Array]
    named: Mapping[str, Named]
    numbers: Mapping[str, float]
    vectors: Mapping[str, F64]

    def counted(self, layout: Mapping[str, Bins]) -> Profile:
        """The profile over bins; what the day lacks though the layout has it is left out."""
        histograms: dict[str, F64] = {}
        for name, bins in layout.items():
            if isinstance(bins, Steps) and name in self.values:
                histograms[name] = bins.count(self.values[name])
            elif isinstance(bins, Names) and name in self.named:
                counts = self.named[name].counts()
                histograms[name] = bins.count(list(counts), list(counts.values()))
        return Profile(self.size, histograms, self.numbers, self.vectors)


def layout(days: Sequence[Raw]) -> dict[str, Bins]:
    """Bins for everything that the days have; what no day knows a value of has none."""
    found: dict[str, Bins] = {}
    for name in dict.fromkeys(name for day in days for name in day.values):
        values = np.concatenate([day.values[name] for day in days if name in day.values]).astype(np.float64)
        values = values[:: len(values) // _MOST + 1]
        if np.isfinite(values).any():
            found[name] = Steps.of(values)
    for name in dict.fromkeys(name for day in days for name in day.named):
        total: dict[str, float] = {}
        for day in days:
            for label, number in (day.named[name].counts() if name in day.named else {}).items():
                if label:
                    total[label] = total.get(label, 0.0) + number
        if total:
            found[name] = Names.of(total, MOST_NAMES.get(name, NAMES))
    return found
