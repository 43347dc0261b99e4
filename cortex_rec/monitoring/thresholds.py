"""What is ordinary: how far signals wander in weeks of the reference, and how rare a day's largest deviation would be then."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import stats

from cortex_rec.arrays import F64
from cortex_rec.monitoring.profiles import Profiles
from cortex_rec.monitoring.signals import Rule, Signals, signals

#: Days of the reference that ordinary weeks must be learned from at least: five weeks, since days of one week are alike.
FEWEST_DAYS: Final = 35
#: The least deviation of a signal that counts as one: a tenth of a distance, and as much of a figure on its scale.
LEAST_DISTANCE: Final = 0.1
LEAST_FIGURE: Final = 0.01
#: Weeks that the median deviation of all distances counts as, beside each one's own.
PRIOR_WEEKS: Final = 6
#: Robust deviations beyond which a day of the reference is an event of its own, from which nothing is learned of ordinary days.
OUTLIER: Final = 5.0


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
    A signal is standardised by mean and deviation of the reference's days; a day of the reference by those of the other weeks, and all of
    them by how far the latter go, where that is further than one deviation. Each
    day's largest standardised deviation follows a distribution of maxima, to which Gumbel's is fitted. A signal's `p` is the chance
    of that maximum being as large as the signal's own deviation, which controls the chance of any false alarm among all signals of a
    day, however they hang together.

    Source
    ------
    Westfall and Young 1993, Resampling-based multiple testing (the single-step maximum); Coles 2001, Statistical modeling of extreme
    values, chapter 3.
    """
    # A young shop is compared with fewer weeks, so that some are left to learn the ordinary from.
    weeks = len(np.unique(profiles.block)) - 1
    found = signals(profiles, replace(rule, memory=max(1, min(rule.memory, weeks // 2))))
    own = profiles.block == profiles.block[-1]
    compared = np.isfinite(found.shift).any(axis=1) & ~own
    if compared.sum() < FEWEST_DAYS:
        return None
    shift, block = found.shift[compared], profiles.block[compared]
    # A signal that half of the days lack is not known well enough.
    usable = np.isfinite(shift).mean(axis=0) > 0.5
    each = np.unique(block)
    z = _standardised(found.shift[-1:], shift, found, len(each))[0]
    ordinary = np.concatenate([_standardised(shift[block == one], shift[block != one], found, len(each) - 1) for one in each])
    # Some signals wander further from week to week than their days within weeks say: what the other weeks show of it counts.
    known = np.isfinite(ordinary)
    squares = np.where(known, ordinary, 0) ** 2
    further = np.sqrt(np.maximum(squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 1))
    z, ordinary = z / further, ordinary / further
    tested = usable & np.isfinite(z)
    p = np.full(len(z), np.nan)
    if tested.any():
        largest = np.nanmax(np.where(np.isfinite(ordinary[:, tested]), ordinary[:, tested], -np.inf), axis=1)
        largest = _without_outliers(largest[np.isfinite(largest), None], np.array([LEAST_DISTANCE]))[:, 0]
        place, scale = stats.gumbel_r.fit(largest[np.isfinite(largest)])
        p[tested] = stats.gumbel_r.sf(z[tested], place, scale)
    return Judged(found.names, found.value[-1], found.expected[-1], np.where(tested, z, np.nan), p, int(compared.sum()))


def _standardised(shift: F64, ordinary: F64, found: Signals, weeks: int) -> F64:
    """(n_days, n_signals) deviations of some days by the ordinary ones of so many weeks; absolute where either direction is of interest.

    Days of a week are alike, so that few weeks tell little of a signal's deviation: those of distances, which are on one scale, are drawn
    to their median as if it came from `PRIOR_WEEKS` more.

    Source
    ------
    Smyth 2004, Linear models and empirical Bayes methods for assessing differential expression (the moderated variance).
    """
    least = np.where(found.one_sided, LEAST_DISTANCE, LEAST_FIGURE)
    kept = _without_outliers(ordinary, least)
    count = np.isfinite(kept).sum(axis=0)
    enough = count > 1
    mean, deviation = np.full(len(count), np.nan), np.full(len(count), np.nan)
    mean[enough], deviation[enough] = np.nanmean(kept[:, enough], axis=0), np.nanstd(kept[:, enough], axis=0, ddof=1)
    if enough[found.one_sided].any():
        middle = np.nanmedian(deviation[found.one_sided])
        moderated = np.sqrt((PRIOR_WEEKS * middle**2 + max(weeks - 1, 0) * deviation**2) / (PRIOR_WEEKS + max(weeks - 1, 0)))
        deviation = np.where(found.one_sided, moderated, deviation)
    # The mean of few days is itself not certain.
    z = (shift - mean) / (np.maximum(deviation, least) * np.sqrt(1 + 1 / np.maximum(count, 1)))
    sided: F64 = np.where(found.one_sided, z, np.abs(z))
    return sided


def _without_outliers(values: F64, least: F64) -> F64:
    """The values, NaN in place of what is no part of the ordinary: a store that was shut, a day that the till was down."""
    known = np.isfinite(values).any(axis=0)
    kept = np.full(values.shape, np.nan)
    inside = values[:, known]
    middle = np.nanmedian(inside, axis=0)
    spread = np.maximum(stats.median_abs_deviation(inside, axis=0, scale="normal", nan_policy="omit"), least[known])
    kept[:, known] = np.where(np.abs(inside - middle) <= OUTLIER * spread, inside, np.nan)
    return kept
