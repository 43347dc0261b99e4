"""Days in a shop: who comes, what they want, what they look at on the list that they are shown, what they buy."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.arrays import F64, I64, Array, Bool, ranges
from cortex_rec.simulation.shoppers import Shoppers, step_of

#: A place without an item.
EMPTY: Final = -1


@dataclass(frozen=True)
class Visit:
    """What one shopper has bought on one visit.

    Parameters
    ----------
    clicked, from_list
        Places of the list that were clicked, and whose item was bought from there.
    elsewhere
        Items that were bought without the list.
    """

    clicked: tuple[int, ...]
    from_list: tuple[int, ...]
    elsewhere: tuple[int, ...]


class Shop:
    """Shoppers in the course of days; what they bought last changes with what they buy.

    Parameters
    ----------
    shoppers
        As they are on the first day.
    rng
        All chance comes from it.
    """

    def __init__(self, shoppers: Shoppers, rng: np.random.Generator) -> None:
        self.shoppers, self._rng = shoppers, rng
        self._bought_on = -shoppers.since
        self._popular = np.cumsum(shoppers.popularity)

    def visitors(self) -> I64:
        """Who comes on a day."""
        return np.flatnonzero(self._rng.random(len(self.shoppers.visits)) < self.shoppers.visits)

    def visit(self, user: int, day: float, shown: Array) -> Visit:
        """One visit: wishes first, then a look at the list, place by place.

        Parameters
        ----------
        shown
            Items by place; `EMPTY` where the shop does not have it.
        """
        shoppers, own = self.shoppers, slice(self.shoppers.pointer[user], self.shoppers.pointer[user + 1])
        item = shoppers.item[own]
        chance = shoppers.chance[own] * shoppers.effect[step_of(day - self._bought_on[own], shoppers.gap[own])]
        size = self._rng.gamma(shoppers.evenness, 1 / shoppers.evenness)
        wanted = self._rng.random(len(item)) < chance * size
        new = np.searchsorted(self._popular, self._rng.random(self._rng.poisson(shoppers.novelty[user] * size)))
        looked = self._rng.random(len(shown)) < looks(len(shown), shoppers.attention)
        on_impulse = self._rng.random(len(shown))
        clicked: list[int] = []
        taken: list[int] = []
        wishes = set(item[wanted].tolist()) | set(new.tolist())
        habits = dict(zip(item.tolist(), chance.tolist(), strict=True))
        for place in np.flatnonzero(looked).tolist():
            thing = int(shown[place])
            liking = habits.get(thing, float(shoppers.novelty[user] * shoppers.popularity[thing]) if thing != EMPTY else 0.0)
            if thing in wishes or on_impulse[place] < shoppers.impulse * liking:
                clicked.append(place)
                taken.append(place)
        from_list = {int(shown[place]) for place in taken}
        bought = wishes | from_list
        self._bought_on[own][np.isin(item, list(bought))] = day
        return Visit(tuple(clicked), tuple(taken), tuple(sorted(wishes - from_list)))


def looks(places: int, attention: float) -> F64:
    """(places,) the chance that each place is looked at."""
    chance: F64 = np.arange(1, places + 1, dtype=np.float64) ** -attention
    return chance


@dataclass(frozen=True)
class Listed:
    """For each shopper, one list that stays the same: what a fast simulation needs of it.

    Parameters
    ----------
    user, chance, gap, since
        (n,) of each listed item: whose list it is on, and of it as a habit what `Shoppers` has.
    attention
        (n, policies) float64, the chance to be looked at on each policy's list; 0 where it is not on it.
    credit
        (n, policies) float64, what a purchase from there counts.
    """

    user: I64
    chance: F64
    gap: F64
    since: F64
    attention: F64
    credit: F64


def listed(shoppers: Shoppers, lists: list[I64], credits: list[F64] | None = None) -> Listed:
    """Put the lists of several policies, each (users, places) items, beside the habits; each purchase counts 1 without `credits`."""
    users, places = lists[0].shape
    width = len(shoppers.popularity)
    look = looks(places, shoppers.attention)
    keys = [np.arange(users)[:, None] * width + shown for shown in lists]
    every = np.unique(np.concatenate([key[shown != EMPTY] for key, shown in zip(keys, lists, strict=True)]))
    user, item = every // width, every % width
    attention, credit = np.zeros((len(every), len(lists))), np.ones((len(every), len(lists)))
    for policy, (key, shown) in enumerate(zip(keys, lists, strict=True)):
        place = np.broadcast_to(np.arange(places), shown.shape)
        on = shown != EMPTY
        at = np.searchsorted(every, key[on])
        attention[at, policy] = look[place[on]]
        if credits is not None:
            credit[at, policy] = credits[policy][on]
    habit = shoppers.owner * width + shoppers.item
    at = np.minimum(np.searchsorted(habit, every), max(len(habit) - 1, 0))
    known = habit[at] == every if len(habit) else np.zeros(len(every), bool)
    # What is no habit is bought as often as anything else that is new, whatever the time.
    chance = np.where(known, shoppers.chance[at], np.minimum(shoppers.novelty[user] * shoppers.popularity[item], 1.0))
    gap, since = np.where(known, shoppers.gap[at], np.inf), np.where(known, shoppers.since[at], np.inf)
    return Listed(user, chance, gap, since, attention, credit)


def simulate(shoppers: Shoppers, on: Listed, policy: Array, days: int, rng: np.random.Generator) -> tuple[F64, Bool]:
    """Run an experiment without a service: purchases from the lists, by shopper and day.

    Only what is on a list is followed; wishes for other items do not touch it.

    Parameters
    ----------
    policy
        (users,) int64, whose list each shopper is shown; or (users, days), by day.

    Returns
    -------
    bought
        (users, days) float64, purchases from the list, by their credit.
    came
        (users, days) bool.
    """
    users = len(shoppers.visits)
    by_day = np.broadcast_to(policy[:, None] if policy.ndim == 1 else policy, (users, days))
    came = rng.random((users, days)) < shoppers.visits[:, None]
    size = rng.gamma(shoppers.evenness, 1 / shoppers.evenness, (users, days))
    pointer = np.searchsorted(on.user, np.arange(users + 1))
    bought_on = -on.since
    fixed = np.isinf(on.gap)
    gap = np.where(fixed, 1.0, on.gap)
    bought = np.zeros((users, days))
    for day in range(days):
        who = np.flatnonzero(came[:, day])
        at = ranges(pointer[who], pointer[who + 1] - pointer[who])
        owner = on.user[at]
        since = np.where(fixed[at], 0.0, day - bought_on[at])
        factor = np.where(fixed[at], 1.0, shoppers.effect[step_of(since, gap[at])])
        chance = on.chance[at] * factor
        wanted = rng.random(len(at)) < chance * size[owner, day]
        looked = rng.random(len(at)) < on.attention[at, by_day[owner, day]]
        taken = looked & (wanted | (rng.random(len(at)) < shoppers.impulse * chance))
        bought[:, day] = np.bincount(owner[taken], on.credit[at, by_day[owner, day]][taken], users)
        bought_on[at[wanted | taken]] = day
    return bought, came
