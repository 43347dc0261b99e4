"""Tests that may be looked at every day: the whole error is 5 % although there are many looks.

Two kinds. For an experiment of a planned length each day may spend a part of the error (group-sequential; exact, and almost as sharp as
one look at the end). For one without an end there is an interval that holds at all times at once (a confidence sequence; wider).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from cortex_rec.arrays import F64

ALPHA: Final = 0.05
#: Beyond so many standard errors nothing happens; a look that may spend less than the tail there spends nothing.
_FAR: Final = 8.0
#: Points on which what has not been decided yet is followed, and the least growth of information that these can tell from none.
_POINTS: Final = 241
_NOTHING_NEW: Final = 1e-3


def spent(time: F64, alpha: float = ALPHA) -> F64:
    """How much of the error may be spent by a share of the planned time: little at first, all at the end.

    Source
    ------
    Lan and DeMets 1983, Discrete sequential boundaries for clinical trials; the function that resembles O'Brien and Fleming's bounds.
    """
    share: F64 = 4 * ndtr(-ndtri(1 - alpha / 4) / np.sqrt(np.clip(time, 1e-9, 1.0)))
    return share


@dataclass(frozen=True)
class Bounds:
    """How far from nothing a difference must be to count, at each look.

    Parameters
    ----------
    bound
        (looks,) float64, in standard errors; infinite where nothing counts.
    crossed
        (looks,) float64, the probability to have crossed one by then.
    """

    bound: F64
    crossed: F64


def bounds(information: F64, days: int, alpha: float = ALPHA) -> Bounds:
    """Bounds of daily looks at an experiment of a planned number of days, for as many looks as there have been.

    Parameters
    ----------
    information
        (looks,) float64, one over the variance of the difference at the end of each day; 0 where nothing can be said.
    days
        How long the experiment is planned to run. The looks after it cross nothing any more.
    """
    allowed = spent((np.arange(len(information)) + 1) / days, alpha)
    allowed[days:] = 0.0
    return _walk(information, allowed=allowed)


def power(information: F64, bound: F64, effect: float) -> float:
    """The probability that a difference of a true size crosses the bounds of `bounds` at one of the looks."""
    return float(_walk(information, drift=effect, fixed=bound).crossed[-1])


def _walk(information: F64, *, allowed: F64 | None = None, drift: float = 0.0, fixed: F64 | None = None) -> Bounds:
    """Follow the density of the estimate times its information, which has independent increments, as far as it is within the bounds.

    The bounds are `fixed`, or such that `allowed` has crossed them by each look.

    Source
    ------
    Armitage, McPherson and Rowe 1969, Repeated significance tests on accumulating data.
    """
    bound, crossed = np.full(len(information), np.inf), np.zeros(len(information))
    points, weights, before, total = np.zeros(1), np.ones(1), 0.0, 0.0
    for look, now in enumerate(information):
        grown = now - before
        crossed[look] = total
        if grown <= _NOTHING_NEW * now:
            # The same data as at the look before: what did not cross then does not now.
            bound[look] = bound[look - 1] if look and now > 0 else np.inf
            continue
        deviation, scale = np.sqrt(grown), np.sqrt(now)
        at = points + drift * grown

        def leaves(c: float) -> float:
            upper, lower = ndtr((at - c * scale) / deviation), ndtr((-c * scale - at) / deviation)  # noqa: B023
            return float(weights @ (upper + lower))  # noqa: B023

        if fixed is not None:
            c = float(fixed[look])
        else:
            assert allowed is not None
            least = float(allowed[look]) - total
            c = np.inf if least <= leaves(_FAR) else brentq(lambda c: leaves(c) - least, 0.0, _FAR, xtol=1e-6)  # noqa: B023
        bound[look] = c
        total += leaves(c) if np.isfinite(c) else 0.0
        crossed[look] = total
        points, weights = _within(at, weights, deviation, min(c, _FAR) * scale, centre=drift * now, scale=scale)
        before = now
    return Bounds(bound, crossed)


def _within(at: F64, weights: F64, deviation: float, end: float, *, centre: float, scale: float) -> tuple[F64, F64]:
    """Points and weights of what stays between -end and end."""
    low, high = max(-end, centre - _FAR * scale), min(end, centre + _FAR * scale)
    points = np.linspace(low, high, _POINTS)
    density = np.exp(-0.5 * ((points[:, None] - at[None, :]) / deviation) ** 2) @ weights / (deviation * np.sqrt(2 * np.pi))
    step = np.full(_POINTS, 2.0)
    step[1::2] = 4.0
    step[0] = step[-1] = 1.0
    return points, density * step * (points[1] - points[0]) / 3


def anytime(information: F64, planned: float, alpha: float = ALPHA) -> F64:
    """Half the width of an interval around the difference that holds at all looks at once, however many come.

    Parameters
    ----------
    information
        (looks,) float64.
    planned
        The information at which the interval is to be narrowest, compared with others of its kind.

    Source
    ------
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Time-uniform central limit theory and asymptotic confidence sequences, eq. 6.
    """
    eta = planned / (-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1)
    known = np.where(information > 0, information, np.nan)
    width: F64 = np.sqrt((known + eta) * np.log((known + eta) / (eta * alpha**2))) / known
    return np.where(np.isfinite(width), width, np.inf)
