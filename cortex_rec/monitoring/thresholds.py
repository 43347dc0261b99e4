"""What is ordinary: how far signals wander in weeks of the reference, and how rare a day's largest deviation would be then."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from cortex_rec.arrays import F64, Bool
from cortex_rec.monitoring.profiles import Profiles
from cortex_rec.monitoring.signals import Rule, Signals, signals

#: Days of the reference that ordinary weeks must be learned from at least.
FEWEST_DAYS: Final = 14
#: The least deviation of a signal that counts as one: a tenth of a distance, and as much of a figure on its scale.
LEAST_DISTANCE: Final = 0.1
LEAST_FIGURE: Final = 0.01


@dataclass(frozen=True)
class Judged:
    """A day's signals beside the ordinary; all arrays (n_signals,).

    Parameters
    ----------
    names, value, expected
        Of `Signals`.
    z
        Deviations from the ordinary, in its standard deviations; not signed.
    p
        How often any signal would deviate as much on an ordinary day; NaN where it cannot be said.
    days
        How many days of the reference the ordinary was learned from.
    """

    names: tuple[str, ...]
    value: F64
    expected: F64
    z: F64
    p: F64
    days: int


def judge(profiles: Profiles, rule: Rule) -> Judged | None:
    """Judge the last day by all before it; None where fewer than `FEWEST_DAYS` of them can be compared with the weeks before them.

    Notes
    -----
    A signal is standardised by mean and deviation of the reference's days; a day of the reference by those of the other weeks. Each
    day's largest standardised deviation follows a distribution of maxima, to which Gumbel's is fitted. A signal's `p` is the chance
    of that maximum being as large as the signal's own deviation, which controls the chance of any false alarm among all signals of a
    day, however they hang together.

    Source
    ------
    Westfall and Young 1993, Resampling-based multiple testing (the single-step maximum); Coles 2001, Statistical modeling of extreme
    values, chapter 3.
    """
    found = signals(profiles, rule)
    own = profiles.block == profiles.block[-1]
    compared = np.isfinite(found.shift).any(axis=1) & ~own
    if compared.sum() < FEWEST_DAYS:
        return None
    shift, block = found.shift[compared], profiles.block[compared]
    # A signal that half of the days lack is not known well enough.
    usable = np.isfinite(shift).mean(axis=0) > 0.5
    z = _standardised(found.shift[-1:], shift, found)[0]
    ordinary = np.concatenate([_standardised(shift[block == one], shift[block != one], found) for one in np.unique(block)])
    tested = usable & np.isfinite(z)
    p = np.full(len(z), np.nan)
    if tested.any():
        largest = np.nanmax(np.where(np.isfinite(ordinary[:, tested]), ordinary[:, tested], -np.inf), axis=1)
        place, scale = stats.gumbel_r.fit(largest[np.isfinite(largest)])
        p[tested] = stats.gumbel_r.sf(z[tested], place, scale)
    return Judged(found.names, found.value[-1], found.expected[-1], np.where(tested, z, np.nan), p, int(compared.sum()))


def _standardised(shift: F64, ordinary: F64, found: Signals) -> F64:
    """(n_days, n_signals) deviations of some days by the ordinary ones; absolute where either direction is of interest."""
    known = np.isfinite(ordinary)
    count = known.sum(axis=0)
    mean = np.divide(np.where(known, ordinary, 0).sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 1)
    square = np.where(known, (ordinary - mean) ** 2, 0).sum(axis=0)
    deviation = np.sqrt(np.divide(square, count - 1, out=np.full(len(count), np.nan), where=count > 1))
    least: Bool | F64 = np.where(found.one_sided, LEAST_DISTANCE, LEAST_FIGURE)
    # The mean of few days is itself not certain.
    z = (shift - mean) / (np.maximum(deviation, least) * np.sqrt(1 + 1 / np.maximum(count, 1)))
    return np.where(found.one_sided, z, np.abs(z))
