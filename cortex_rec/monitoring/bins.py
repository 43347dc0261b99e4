"""Where values are counted: steps of a number or names of a text, laid out once by the reference, so that days can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np

from cortex_rec.arrays import F64, Array

#: Steps of a number at most, each with as many of the reference's values; and names that have a bin of their own, the most frequent.
STEPS: Final = 12
NAMES: Final = 40
OTHER, UNKNOWN, ABSENT = "(others)", "(new)", "(none)"


@dataclass(frozen=True)
class Steps:
    """Bins of a number: below the first edge, between two, from the last one on; the last bin is of what is not known (NaN).

    Parameters
    ----------
    edges
        Ascending.
    """

    edges: tuple[float, ...]

    @classmethod
    def of(cls, values: Array, steps: int = STEPS) -> Self:
        """Steps with about as many of the values each; fewer where many are equal."""
        known = np.asarray(values, np.float64)
        known = known[np.isfinite(known)]
        if len(known) == 0:
            return cls(())
        edges = np.unique(np.quantile(known, np.linspace(0, 1, steps + 1)[1:-1], method="higher"))
        # What is at most the smallest value is one bin, so that a value that nearly all have is told from those above it.
        low = np.nextafter(known.min(), np.inf)
        return cls(tuple(float(edge) for edge in np.unique(np.append(edges[edges > low], low))))

    @property
    def labels(self) -> tuple[str, ...]:
        """One a bin."""
        edges = [f"{edge:.4g}" for edge in self.edges]
        inner = [f"{low} to {high}" for low, high in pairwise(edges)]
        ends = [f"below {edges[0]}", *inner, f"{edges[-1]} and more"] if edges else ["any"]
        return (*ends, ABSENT)

    def count(self, values: Array, weights: Array | None = None) -> F64:
        """(n_bins,) how many values, or what weight of them, lie in each bin."""
        given = np.asarray(values, np.float64)
        place = np.where(np.isnan(given), len(self.edges) + 1, np.searchsorted(np.array(self.edges), given, side="right"))
        return np.bincount(place, weights, len(self.edges) + 2).astype(np.float64)

    def to_dict(self) -> dict[str, Any]:
        return {"edges": list(self.edges)}


@dataclass(frozen=True)
class Names:
    """Bins of a text: the most frequent names, the others that are known, those that are new, and what is not told.

    Parameters
    ----------
    shown
        Names with a bin of their own.
    others
        Further names that are known.
    """

    shown: tuple[str, ...]
    others: frozenset[str] = frozenset()

    @classmethod
    def of(cls, counts: dict[str, float], most: int = NAMES) -> Self:
        """The names by how often each is there."""
        order = sorted(counts, key=lambda name: (-counts[name], name))
        return cls(tuple(order[:most]), frozenset(order[most:]))

    @property
    def labels(self) -> tuple[str, ...]:
        """One a bin."""
        return (*self.shown, OTHER, UNKNOWN, ABSENT)

    def count(self, names: Sequence[str | None], weights: Sequence[float]) -> F64:
        """(n_bins,) the weight of each bin; `names` are distinct or not."""
        n, place = len(self.shown), {name: at for at, name in enumerate(self.shown)}
        found = np.zeros(n + 3)
        for name, weight in zip(names, weights, strict=True):
            at = n + 2 if name is None else place.get(name, n if name in self.others else n + 1)
            found[at] += weight
        return found

    def to_dict(self) -> dict[str, Any]:
        return {"shown": list(self.shown), "others": sorted(self.others)}


Bins = Steps | Names


def from_dict(told: dict[str, Any]) -> Bins:
    """Read what `to_dict` gave."""
    if "edges" in told:
        return Steps(tuple(told["edges"]))
    return Names(tuple(told["shown"]), frozenset(told["others"]))
