"""What another policy would have brought, told from the answers of the one that was served and the chance that was in them.

The value of a policy is what an answer brings, summed over its places. What a place brings is taken to depend on its item and on the
place, not on the other items (the item-position model); then the probability that an item stands at a place is all that is needed.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.arrays import F64, Array, sums
from cortex_rec.errors import DataError

#: With fewer effective answers at some place, or a smaller share of what the target shows that could be seen, an estimate is a guess.
LEAST_EFFECTIVE: Final = 300
LEAST_SEEN: Final = 0.95
_NORMAL: Final = 1.959963984540054


@dataclass(frozen=True)
class Logged:
    """Answers that were shown, and where another policy agrees with them.

    Parameters
    ----------
    person
        (answers,) int64, whose answer it was: answers of one person are not independent.
    reward
        (answers, places) float64, what each place has brought.
    propensity
        (answers, places) float64, the probability that the shown item stood there.
    target
        (answers, places) float64, the probability with which the other policy shows just this item there; 0 or 1 if it has no chance in it.
    expected, target_expected
        (answers, places) float64, what a model of rewards expects of the shown item, and of what the other policy shows.
    """

    person: Array
    reward: F64
    propensity: F64
    target: F64
    expected: F64
    target_expected: F64


@dataclass(frozen=True)
class Value:
    """An estimate of what an answer of the other policy brings, with its 95 % interval."""

    method: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class OffPolicy:
    """Three estimates, and how much they rest on.

    Parameters
    ----------
    values
        By inverse propensities (`ips`), the same normalised by place (`snips`), and with a model of rewards (`dr`, doubly robust).
    effective
        How many answers of the other policy's own would tell as much, by the weights; of the place where it is fewest.
    seen
        Share of what the other policy shows that could have been seen: the mean weight, which is 1 when all of it could.
    warnings
        Why not to rest on the estimates; empty when nothing speaks against it.
    """

    values: tuple[Value, ...]
    effective: float
    seen: float
    warnings: tuple[str, ...]


def estimate(logged: Logged) -> OffPolicy:
    """Estimate the other policy's value.

    Raises
    ------
    DataError
        If there are no answers, or a propensity is not above 0 and at most 1.

    Source
    ------
    Swaminathan and Joachims 2015 (self-normalised); Dudík, Langford and Li 2011 (doubly robust); Li, Abbasi-Yadkori, Kveton, Muthukrishnan,
    Vinay and Wen 2018, Offline evaluation of ranking policies with click models (item-position).
    """
    people = len(np.unique(logged.person))
    if people < 2:
        raise DataError(f"off-policy: {people} people were shown answers, and at least 2 are needed. Log more exposures.")
    bad = ~((logged.propensity > 0) & (logged.propensity <= 1))
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        told = f"off-policy: a propensity of answer {row} is not above 0 and at most 1. Such an answer cannot have been shown."
        raise DataError(told, rows=[row])
    weight = logged.target / logged.propensity
    ips = (weight * logged.reward).sum(axis=1)
    direct = logged.target_expected + weight * (logged.reward - logged.expected)
    values = (_mean("ips", ips, logged.person), _normalised(weight, logged), _mean("dr", direct.sum(axis=1), logged.person))
    effective = _effective(weight)
    seen = _mean("seen", weight.mean(axis=1), logged.person)
    return OffPolicy(values, effective, min(seen.value, 1.0), tuple(_warnings(effective, seen, len(weight))))


def _mean(method: str, by_answer: F64, person: Array) -> Value:
    """A mean over answers; its error counts persons, not answers."""
    value = float(by_answer.mean())
    return _interval(method, value, by_answer - value, person)


def _normalised(weight: F64, logged: Logged) -> Value:
    """Place by place, the weighted mean of rewards; the error is that of the ratios' linear parts."""
    total = weight.mean(axis=0)
    ratio = np.divide((weight * logged.reward).mean(axis=0), total, out=np.zeros_like(total), where=total > 0)
    part = np.divide(weight * (logged.reward - ratio), total, out=np.zeros_like(weight), where=total > 0)
    return _interval("snips", float(ratio.sum()), part.sum(axis=1), logged.person)


def _interval(method: str, value: float, part: F64, person: Array) -> Value:
    _, place = np.unique(person, return_inverse=True)
    by_person = sums(place, part, int(place.max()) + 1)
    n = len(by_person)
    error = float(np.sqrt(n / (n - 1) * (by_person**2).sum()) / len(part))
    return Value(method, value, value - _NORMAL * error, value + _NORMAL * error)


def _effective(weight: F64) -> float:
    """Kish's effective number of answers, of the place where it is fewest."""
    squares = (weight**2).sum(axis=0)
    return float(np.divide(weight.sum(axis=0) ** 2, squares, out=np.zeros_like(squares), where=squares > 0).min())


def _warnings(effective: float, seen: Value, answers: int) -> list[str]:
    told = []
    # Twice as far as the interval: by chance alone this is not told once in ten thousand logs.
    if seen.value + 2 * (seen.high - seen.value) < LEAST_SEEN:
        told.append(
            f"{1 - seen.value:.0%} of what the other policy shows could never have been shown: the estimates leave it out, as if it "
            "brought nothing (dr: what the model expects). Explore more places, or compare policies that are more alike."
        )
    if effective < LEAST_EFFECTIVE:
        told.append(
            f"{answers:,} answers tell as much as {effective:,.0f} of the other policy's own at some place, and {LEAST_EFFECTIVE} are "
            "needed for intervals to hold. Explore more, log longer, or run an A/B test."
        )
    return told
