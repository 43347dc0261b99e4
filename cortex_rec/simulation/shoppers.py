"""Shoppers fitted to a history: when they come, what they buy again and after how long, how much is new to them."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from cortex_rec.arrays import DAY, F64, I64, find, owners, pointers, ranges
from cortex_rec.histories import Histories

#: Days of history that habits are read from, and the last ones of them, on which the effect of time since a purchase is fitted.
SPAN: Final = 182
FITTED_ON: Final = 56
#: Time since the last purchase over an item's usual gap: where one step of the effect ends and the next begins.
STEPS: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
#: Visits that everybody is given in thought, at the mean rate: who came twice does not come as often as that by certainty.
_PRIOR: Final = 2.0


@dataclass(frozen=True)
class Shoppers:
    """People and their habits; a habit is an item that somebody bought at least twice.

    Parameters
    ----------
    visits
        (users,) float64, chance to come on a day.
    novelty
        (users,) float64, items a visit that are no habit.
    pointer
        (users + 1,) int64; the habits of user `u` are `pointer[u]:pointer[u + 1]`.
    item
        (habits,) int64, ascending within a user.
    chance
        (habits,) float64, chance to be bought on a visit before the effect of time.
    gap
        (habits,) float64, usual days between two purchases.
    since
        (habits,) float64, days since the last purchase.
    effect
        (len(STEPS) + 1,) float64, factor on the chance by time since the last purchase over the gap: satiation, then due again.
    popularity
        (items,) float64, sums to 1: what is bought that is no habit.
    evenness
        Of visits of one person: a factor drawn from the gamma distribution of this shape, mean 1, makes some large and some small.
    attention
        Exponent of the chance to look at a place: that of place `k` (0-based) is `(k + 1) ** -attention`. A history of purchases does not
        tell it; the exposures and clicks of a service do (`cortex_rec.simulation.attention`).
    impulse
        Chance to buy what was looked at and wanted at some other time, as a share of the item's chance.
    """

    visits: F64
    novelty: F64
    pointer: I64
    item: I64
    chance: F64
    gap: F64
    since: F64
    effect: F64
    popularity: F64
    evenness: float
    attention: float = 1.0
    impulse: float = 0.3

    @property
    def owner(self) -> I64:
        """(habits,) the user of each."""
        return owners(self.pointer)

    def take(self, users: I64) -> "Shoppers":
        """Some of the people; one may be taken several times, as another person with the same habits."""
        counts = self.pointer[users + 1] - self.pointer[users]
        at = ranges(self.pointer[users], counts)
        return replace(
            self,
            visits=self.visits[users],
            novelty=self.novelty[users],
            pointer=pointers(counts),
            item=self.item[at],
            chance=self.chance[at],
            gap=self.gap[at],
            since=self.since[at],
        )


def fit(histories: Histories, n_items: int, as_of: int) -> Shoppers:
    """Read habits from the half year before a moment.

    The chance of a habit is the share of visits with it. How time since the last purchase changes that chance is counted on all visits of
    the last eight weeks: purchases over what the chances alone would give, by steps of that time over the item's usual gap.

    Parameters
    ----------
    histories
        Purchases; those at or after `as_of` are not looked at.
    n_items
        Length of the catalogue.
    as_of
        Seconds since 1970.
    """
    span = histories.between(as_of - SPAN * DAY, as_of)
    recent = span.time >= as_of - FITTED_ON * DAY
    visit, first_line = np.unique(_visit_of(span), return_index=True)
    came = np.bincount(span.owner[first_line], minlength=span.n_users).astype(np.float64)
    known_for = np.maximum((as_of - np.minimum(_first(histories, as_of), as_of - DAY)) / DAY, 1.0)
    known_for = np.minimum(known_for, SPAN)
    mean = came.sum() / known_for[came > 0].sum()
    visits = np.where(came > 0, (came + _PRIOR) / (known_for + _PRIOR / mean), 0.0)

    key = span.owner * n_items + span.item
    pair, of_line, lines = np.unique(key, return_inverse=True, return_counts=True)
    habit = lines >= 2
    user, item = pair[habit] // n_items, pair[habit] % n_items
    last = np.zeros(len(pair))
    np.maximum.at(last, of_line, span.time)
    chance = lines[habit] / (came[user] + 1)
    gap = known_for[user] / lines[habit]
    new = np.bincount(span.owner[~habit[of_line]], minlength=span.n_users) / np.maximum(came, 1)
    popularity = np.bincount(span.item[~habit[of_line]], minlength=n_items) + 1e-9
    pointer = pointers(np.bincount(user, minlength=span.n_users))
    made = Shoppers(
        np.minimum(visits, 1.0),
        new,
        pointer,
        item,
        chance,
        gap,
        (as_of - last[habit]) / DAY,
        np.ones(len(STEPS) + 1),
        popularity / popularity.sum(),
        _evenness(span.owner[first_line], np.bincount(np.searchsorted(visit, _visit_of(span)), minlength=len(visit))),
    )
    seen = first_line[recent[first_line]]
    return replace(made, effect=_effect(made, span, pair[habit], n_items, span.owner[seen], span.time[seen]))


def _visit_of(histories: Histories) -> I64:
    """(lines,) equal for lines of one visit."""
    visit: I64 = histories.owner * (int(histories.basket.max(initial=0)) + 1) + histories.basket
    return visit


def _evenness(visitor: I64, size: I64) -> float:
    """The shape with which visits of one person differ as much as they do, beyond what chance of single items does."""
    mean = np.bincount(visitor, size) / np.maximum(np.bincount(visitor), 1)
    expected = mean[visitor]
    surplus = float(((size - expected) ** 2 - expected).mean())
    return float((expected**2).mean()) / max(surplus, 1e-3)


def step_of(since: F64, gap: F64) -> I64:
    """The step of the effect of time for habits of which so many days have passed."""
    step: I64 = np.searchsorted(STEPS, since / gap, side="right")
    return step


def _first(histories: Histories, as_of: int) -> F64:
    """(users,) time of each one's first purchase; `as_of` where there is none."""
    first = np.full(histories.n_users, float(as_of))
    np.minimum.at(first, histories.owner, histories.time.astype(np.float64))
    return first


def _effect(made: Shoppers, span: Histories, pair: I64, n_items: int, visitor: I64, moment: I64) -> F64:
    """Purchases of habits over what their chances alone give, by step, on the given visits."""
    counts = made.pointer[visitor + 1] - made.pointer[visitor]
    habit, at = ranges(made.pointer[visitor], counts), np.repeat(moment, counts)
    # All purchases of habits in the order of habit and time: the place of a moment among them gives the last one before it.
    line = find(pair, span.owner * n_items + span.item)
    line, time = line[line >= 0], span.time[line >= 0]
    shift = int(time.min(initial=0))
    width = int(time.max(initial=0)) - shift + 2
    bought = np.sort(line * width + time - shift)
    asked = habit * width + at - shift
    place = np.searchsorted(bought, asked)
    before = bought[np.maximum(place - 1, 0)]
    known = (place > 0) & (before // width == habit)
    since = np.where(known, (asked - before) / DAY, 0.0)
    now = (place < len(bought)) & (bought[np.minimum(place, len(bought) - 1)] == asked)
    step = step_of(since, made.gap[habit])[known]
    expected = np.bincount(step, made.chance[habit][known], len(STEPS) + 1)
    happened = np.bincount(step, now[known], len(STEPS) + 1)
    ratio: F64 = np.divide(happened, expected, out=np.ones(len(STEPS) + 1), where=expected > 0)
    return ratio
