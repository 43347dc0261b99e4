"""Before an experiment: how long it must run for a difference of a given size to be found, told from days that have been."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from cortex_rec.arrays import F64
from cortex_rec.errors import DataError
from cortex_rec.experiments.estimates import FEWEST, Followed, compare
from cortex_rec.experiments.sequential import ALPHA, bounds, power


@dataclass(frozen=True)
class Horizon:
    """What an experiment of some days would find.

    Parameters
    ----------
    days
        Its length.
    users
        How many people take part by its end, in all arms.
    power
        The chance to find the effect that was asked for.
    detectable
        The smallest relative effect that is found with the wanted power; NaN where none is.
    """

    days: int
    users: int
    power: float
    detectable: float


@dataclass(frozen=True)
class Plan:
    """Horizons from short to long, and what a person and day brings now.

    `reduction` is the share of people that CUPED saves.
    """

    rate: float
    reduction: float
    horizons: tuple[Horizon, ...]

    def needed(self, wanted: float) -> int | None:
        """Days of the shortest horizon that has the wanted power; None when none has."""
        return next((horizon.days for horizon in self.horizons if horizon.power >= wanted), None)


def plan(
    value: F64,
    days: F64,
    before: F64,
    *,
    effect: float,
    wanted: float = 0.8,
    share: float = 0.5,
    traffic: float = 1.0,
    every: int = 7,
) -> Plan:
    """Tell from past days what an experiment in such days would find.

    Parameters
    ----------
    value, days, before
        As of `Followed`, of days without an experiment, one look a day.
    effect
        A relative difference: 0.02 is two per cent of what a person and day brings.
    share
        Of the second arm.
    traffic
        Share of the people who take part.
    every
        Days between two horizons.

    Raises
    ------
    DataError
        If fewer people than an estimate needs were there.
    """
    if days.shape[1] < every:
        raise DataError(f"The history has {days.shape[1]} days, and the shortest plan needs {every}. Give more days.", table="history")
    seen = int((days[:, -1] > 0).sum())
    if seen * traffic * min(share, 1 - share) < FEWEST:
        raise DataError(
            f"{seen:,} people came within {days.shape[1]} days, and {FEWEST} are needed in each arm (traffic {traffic:g}, "
            f"share {share:g}). Give a longer history, or more traffic.",
            table="history",
        )
    rate, information, reduction = _trajectory(value, days, before, share, traffic)
    drift = effect * rate
    horizons = []
    for length in range(every, days.shape[1] + 1, every):
        known = information[:length]
        bound = bounds(known, length, ALPHA).bound
        users = round(traffic * int((days[:, length - 1] > 0).sum()))
        horizons.append(Horizon(length, users, power(known, bound, drift), _detectable(known, bound, rate, wanted)))
    return Plan(rate, reduction, tuple(horizons))


def _trajectory(value: F64, days: F64, before: F64, share: float, traffic: float) -> tuple[float, F64, float]:
    """The rate, and one over the variance of a difference at the end of each day, as if the people were parted into arms."""
    # Everybody in both arms: the variance of the difference is then that of one group twice, whatever the parting would have been.
    value, days, before = (np.concatenate([each, each]) for each in (value, days, before))
    found = compare(Followed(value, days, np.repeat([False, True], len(value) // 2), before))
    scale = 2 * share * (1 - share) * traffic
    information = found.information * scale
    return float(found.control[-1]), information, float(found.reduction[-1])


def _detectable(information: F64, bound: F64, rate: float, wanted: float) -> float:
    def lacks(effect: float) -> float:
        return power(information, bound, effect * rate) - wanted

    if rate <= 0 or not np.isfinite(bound).any():
        return float("nan")
    # At this effect the last look alone finds it with near certainty.
    high = (float(bound[np.isfinite(bound)][-1]) + 4) / (rate * float(np.sqrt(information.max())))
    return float(brentq(lacks, 0.0, min(high, 1e6), xtol=1e-5))
