"""A store from which nothing came: how likely that is for a store of its size, by the shop's own day-to-day variation."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from scipy import stats

from cortex_rec.arrays import F64
from cortex_rec.monitoring.bins import Bins, Names
from cortex_rec.monitoring.profiles import Profiles
from cortex_rec.monitoring.purchases import RULE, SILENCE
from cortex_rec.monitoring.raw import Raw
from cortex_rec.monitoring.verdict import Part, Signal, normal_score

#: Days that a store's size is learned from at least, and baskets a day from which a store's variation is looked at.
_FEWEST_DAYS: Final = 14
_BUSY: Final = 1.0


def judge(days: Profiles, one: Raw, layout: Mapping[str, Bins]) -> Part:
    """Judge the stores that no basket of the day is from.

    Notes
    -----
    A store's baskets are negative binomial around its share of the day's, with the dispersion of the median store. What is told of a
    silent store is the chance that any store as unlikely to be silent, or more, is silent on an ordinary day.

    Returns
    -------
    Part
        `stores`, with one signal a silent store.
    """
    bins = layout.get(SILENCE)
    if not isinstance(bins, Names) or SILENCE not in days.histograms:
        return Part("stores", "absent", "the shop's purchases name no store")
    recent = days.block > days.block.max() - RULE.memory
    if recent.sum() < _FEWEST_DAYS:
        return Part("stores", "too few", f"{int(recent.sum())} days to compare with, too few to know a store's size")
    n = len(bins.shown)
    past, own = days.histograms[SILENCE][recent], one.counted(layout).histograms[SILENCE]
    expected = past.sum(axis=0) / past.sum() * own.sum()
    silence = _silence(expected[:n], _dispersion(past)) if own.sum() else np.ones(n)
    chance = _any(silence)
    # A store that was shut for the whole last week was told of then.
    open_lately = days.histograms[SILENCE][days.block == days.block.max()].sum(axis=0)[:n] > 0
    silent = np.flatnonzero((own[:n] == 0) & open_lately)
    silent = silent[np.argsort(chance[silent], kind="stable")]
    signals = tuple(
        Signal("stores", f"silent/{bins.shown[at]}", 0.0, float(expected[at]), normal_score(chance[at]), float(chance[at])) for at in silent
    )
    return Part("stores", "judged", f"{n} stores beside {int(recent.sum())} days", int(own.sum()), int(recent.sum()), signals)


def _dispersion(past: F64) -> float:
    """Variance over mean of the median busy store, at least 1, once each day's total is taken out."""
    total = past.sum(axis=1, keepdims=True)
    mean = past.sum(axis=0) / total.sum() * total
    busy = mean.mean(axis=0) >= _BUSY
    if not busy.any():
        return 1.0
    pearson = ((past - mean)[:, busy] ** 2 / mean[:, busy]).sum(axis=0) / (len(past) - 1)
    return max(1.0, float(np.median(pearson)))


def _silence(expected: F64, dispersion: float) -> F64:
    """The chance of no basket where some are expected."""
    if dispersion <= 1:
        none: F64 = stats.poisson.pmf(0, expected)
        return none
    chance: F64 = stats.nbinom.pmf(0, np.maximum(expected, 1e-12) / (dispersion - 1), 1 / dispersion)
    return chance


def _any(silence: F64) -> F64:
    """For each store, the chance that any is silent of those that are as unlikely to be."""
    order = np.argsort(silence, kind="stable")
    chance = np.empty(len(silence))
    # log1p(-1) of a store that nothing is expected from is minus infinity: one of those is always silent.
    with np.errstate(divide="ignore"):
        chance[order] = -np.expm1(np.cumsum(np.log1p(-silence[order])))
    return chance
