"""How much more one arm brings a person and day than the other, with what its people did before taken into account."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.arrays import F64, Array, Bool

#: Fewer people in an arm than this say nothing that the normal distribution holds for.
FEWEST: Final = 50


@dataclass(frozen=True)
class Followed:
    """People of an experiment, up to one look after another.

    Parameters
    ----------
    value
        (users, looks) float64, what each person has brought until then.
    days
        (users, looks) float64, days since the person was first shown anything, the first one included; 0 before it.
    treated
        (users,) bool; False is the first arm.
    before
        (users, k) float64, what is known of each person from before: covariates; k may be 0.
    """

    value: F64
    days: F64
    treated: Bool
    before: F64

    def of(self, users: Array) -> "Followed":
        """Some of the people."""
        return Followed(self.value[users], self.days[users], self.treated[users], self.before[users])


@dataclass(frozen=True)
class Estimates:
    """One look after another; NaN where there are too few people.

    Parameters
    ----------
    control, difference
        (looks,) float64: what a person and day of the first arm brings, and how much more one of the second.
    variance
        (looks,) float64, of the difference.
    users
        (looks, 2) int64, people so far in each arm.
    reduction
        (looks,) float64, the share by which what is known from before has cut the variance.
    """

    control: F64
    difference: F64
    variance: F64
    users: Array
    reduction: F64

    @property
    def information(self) -> F64:
        """(looks,) float64, one over the variance; 0 where there are too few people."""
        known: F64 = np.nan_to_num(np.divide(1.0, self.variance, out=np.zeros_like(self.variance), where=self.variance > 0))
        return known


def compare(followed: Followed) -> Estimates:
    """Compare the two arms at every look.

    A rate is the sum of values over the sum of days; its variance is that of its linear part (the delta method). What is known from
    before is taken out by least squares (CUPED), each person's share of it growing with their days.

    Source
    ------
    Deng, Xu, Kohavi and Walker 2013, Improving the sensitivity of online controlled experiments by utilizing pre-experiment data;
    Deng, Knoblich and Lu 2018, Applying the delta method in metric analytics, section 3.
    """
    looks = followed.value.shape[1]
    found = [_look(followed, k) for k in range(looks)]
    table = np.array([row[:4] for row in found], np.float64).reshape(looks, 4)
    return Estimates(table[:, 0], table[:, 1], table[:, 2], np.array([row[4] for row in found], np.int64).reshape(looks, 2), table[:, 3])


def alone(value: F64, days: F64) -> Estimates:
    """The rate of one group at every look, as a difference from nothing: of persons who each compare two arms themselves."""
    looks = value.shape[1]
    found = np.full((looks, 2), np.nan)
    users = np.zeros((looks, 2), np.int64)
    for k in range(looks):
        seen = days[:, k] > 0
        users[k] = n = int(seen.sum())
        if n >= FEWEST:
            rate, part = _rate(value[seen, k], days[seen, k])
            found[k] = rate, part.var(ddof=1) / n
    none = np.zeros(looks)
    return Estimates(none, found[:, 0], found[:, 1], users, none)


def _look(followed: Followed, k: int) -> tuple[float, float, float, float, tuple[int, int]]:
    seen = followed.days[:, k] > 0
    treated = followed.treated[seen]
    n = int((~treated).sum()), int(treated.sum())
    if min(n) < FEWEST:
        return np.nan, np.nan, np.nan, np.nan, n
    value, days = followed.value[seen, k], followed.days[seen, k]
    part = np.empty(len(value))
    rates = []
    for arm in (~treated, treated):
        rate, part[arm] = _rate(value[arm], days[arm])
        rates.append(rate)
    plain = _variance(part, treated)
    difference, reduction = rates[1] - rates[0], 0.0
    if followed.before.shape[1] and plain > 0:
        known = followed.before[seen]
        known = (known - known.mean(axis=0)) * (days / days.mean())[:, None]
        weights = np.linalg.lstsq(known - known.mean(axis=0), part, rcond=None)[0]
        explained = known @ weights
        difference -= explained[treated].mean() - explained[~treated].mean()
        part = part - explained
        variance = _variance(part, treated)
        reduction = 1 - variance / plain
    else:
        variance = plain
    return rates[0], difference, variance, reduction, n


def _rate(value: F64, days: F64) -> tuple[float, F64]:
    """A rate, and each person's part in its error."""
    rate = float(value.sum() / days.sum())
    return rate, (value - rate * days) / days.mean()


def _variance(part: F64, treated: Bool) -> float:
    return float(part[treated].var(ddof=1) / treated.sum() + part[~treated].var(ddof=1) / (~treated).sum())
