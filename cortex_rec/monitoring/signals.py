"""From profiles to signals: how far each day lies from what the weeks before it let expect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.arrays import DAY, F64, Bool
from cortex_rec.monitoring import distances
from cortex_rec.monitoring.profiles import Profiles

#: Distances below these are of no interest, however regular a shop is (by custom, a PSI below 0.1 is no shift): they are added before
#: the logarithm, so that a thousandth of a shift is not told from a hundredth.
PSI_OF_INTEREST: Final = 0.1
JS_OF_INTEREST: Final = 0.15
COSINE_OF_INTEREST: Final = 0.002


@dataclass(frozen=True)
class Rule:
    """What a day is compared with.

    Parameters
    ----------
    memory
        Weeks before the day's own that it is compared with.
    by_weekday
        Only their days of the same weekday.
    scales
        How a figure is measured, by its name or the beginning of it: `count` by its ratio, `share` by its angle; any other by its
        difference.
    untested
        Beginnings of the names of what is kept for another purpose.
    """

    memory: int
    by_weekday: bool
    scales: Mapping[str, str]
    untested: tuple[str, ...] = ()

    def scale_of(self, name: str) -> str:
        """How a figure is measured."""
        return next((scale for start, scale in self.scales.items() if name.startswith(start)), "plain")


@dataclass(frozen=True)
class Signals:
    """(n_days, n_signals) arrays with a name a column.

    Parameters
    ----------
    value
        The figure itself: a distance, or what was counted.
    expected
        What it is compared with: 0 for a distance.
    shift
        What is tested: the logarithm of a distance, or how far a figure is from the expected one on its scale. NaN where either is
        not known, or nothing lies before the day to compare it with.
    one_sided
        (n_signals,) whether only a large shift is of interest.
    """

    names: tuple[str, ...]
    value: F64
    expected: F64
    shift: F64
    one_sided: Bool


def signals(profiles: Profiles, rule: Rule) -> Signals:
    """Compare every day with the same weekday, or all days, of the weeks before its own."""
    weights = _weights(profiles, rule)
    names: list[str] = []
    columns: list[tuple[F64, F64, F64, bool]] = []

    def distance(name: str, value: F64, least: float) -> None:
        names.append(name)
        columns.append((value, np.zeros(len(value)), np.log(value + least), True))

    for name, rows in profiles.histograms.items():
        if name.startswith(rule.untested):
            continue
        expected = _mean(weights, distances.shares(rows))
        # Every day weighs the same in what is expected, which then counts as many lines as the day itself.
        expected = expected * np.sum(rows, axis=1, keepdims=True)
        distance(f"psi/{name}", distances.psi(expected, rows), PSI_OF_INTEREST)
        distance(f"js/{name}", distances.jensen_shannon(np.nan_to_num(expected), np.nan_to_num(rows)), JS_OF_INTEREST)
    for name, rows in profiles.vectors.items():
        distance(f"cosine/{name}", distances.cosine(_mean(weights, rows), rows), COSINE_OF_INTEREST)
    for name, rows in profiles.numbers.items():
        if name.startswith(rule.untested):
            continue
        scaled = _scaled(rows, rule.scale_of(name))
        names.append(name)
        columns.append((rows, _mean(weights, rows), scaled - _mean(weights, scaled), False))
    value, expected, shift = (np.stack([column[place] for column in columns], axis=1) for place in range(3))
    return Signals(tuple(names), value, expected, shift, np.array([column[3] for column in columns]))


def _weights(profiles: Profiles, rule: Rule) -> F64:
    """(n_days, n_days) 1 where the second is one of the days that the first is compared with."""
    behind = profiles.block[:, None] - profiles.block[None, :]
    chosen = (behind > 0) & (behind <= rule.memory)
    if rule.by_weekday:
        weekday = profiles.start // DAY % 7
        chosen &= weekday[:, None] == weekday[None, :]
    # A week that the memory reaches beyond the first day for is not judged, rather than by less than the others.
    chosen &= (profiles.block - profiles.block.min(initial=0) >= rule.memory)[:, None]
    weights: F64 = chosen.astype(np.float64)
    return weights


def _mean(weights: F64, rows: F64) -> F64:
    """Means of the rows that each day is compared with; what a row lacks is left out."""
    flat = rows.reshape(len(rows), -1)
    known = np.isfinite(flat)
    total, count = weights @ np.where(known, flat, 0), weights @ known.astype(np.float64)
    means = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    shaped: F64 = means.reshape(rows.shape)
    return shaped


def _scaled(rows: F64, scale: str) -> F64:
    if scale == "count":
        return np.log1p(rows)
    if scale == "share":
        angle: F64 = np.arcsin(np.sqrt(np.clip(rows, 0, 1)))
        return angle
    return rows
