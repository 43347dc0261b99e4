"""The items that are sold: their groups, how popular each is with people of each taste, when they come and go, and what they cost."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.arrays import F64, I32, I64, pointers
from cortex_rec.synthesis.shape import MEANS, POPULARITY, Shape

#: Tastes that people have in different mixtures, and how differently they like groups and items: shapes of gamma distributions of mean 1.
TASTES: Final = 24
_LIKES_GROUP: Final = 0.5
_LIKES_ITEM: Final = 0.5
#: What is added to these shapes for each pair that a household has of it on average, and the least that a taste likes anything.
_COMMON: Final = 20.0
_FAINT: Final = 1e-3
#: Days of a spell in which an item is in season or on show, and days from one to the next.
SPELL: Final = 14
TURN: Final = 120
#: Share of items that have the spells of their group.
_SHARED: Final = 0.5
#: The share of an item's new buyers who come in its spells: at most, and the power that makes it small for most items.
_SPELLBOUND: Final = 0.9
_FEW: Final = 1.5
#: Spread of log prices within a group.
_PRICES: Final = 0.5


@dataclass(frozen=True)
class Catalogue:
    """Items in the order of their groups.

    Parameters
    ----------
    group
        (items,) int64, ascending.
    pointer
        (groups + 1,) int64; the items of group `g` are `pointer[g]:pointer[g + 1]`.
    ladder
        (TASTES * (items + 1),) float64, ascending: at `taste * (items + 1) + i` is `taste` plus the share of this taste's choices that
        fall on items before `i`.
    rare, rarely
        (groups,) how many items at the start of a group find few buyers, as many for each, and the share of the group's purchases that
        falls on them.
    again
        (items,) float64, further purchases of who bought it.
    spell, drawn
        (items,) the first day of a spell, of which there is one each `TURN` days, and the share of new buyers that the spells draw.
    released, ended
        (items,) float64, first day and the day after the last on which the item is sold.
    price
        (items,) float64, before discounts.
    id
        (items,) int32, 1 to items in random order.
    """

    group: I64
    pointer: I64
    ladder: F64
    rare: I64
    rarely: F64
    again: F64
    spell: F64
    drawn: F64
    released: F64
    ended: F64
    price: F64
    id: I32

    def draw(self, taste: I64, low: I64, high: I64, chance: F64) -> I64:
        """For each taste the item among `low:high` at which its choices reach the share `chance`, from 0 to 1."""
        first = taste * (len(self.group) + 1)
        start, end = self.ladder[first + low], self.ladder[first + high]
        wanted = start + chance * (end - start)
        order = np.argsort(wanted)  # in ascending order the search finds most of what it reads in the processor's cache
        place = np.empty(len(order), np.int64)
        place[order] = np.searchsorted(self.ladder, wanted[order], side="right") - 1
        chosen: I64 = np.clip(place - first, low, high - 1)
        return chosen


def make(shape: Shape, n_items: int, rng: np.random.Generator) -> Catalogue:
    """A catalogue of so many items, shared among the groups as the real one is."""
    groups = shape.groups
    ends = np.floor(np.cumsum(groups.items) / groups.items.sum() * n_items + 0.5)
    pointer = pointers(np.diff(ends, prepend=0).astype(np.int64))
    group = np.repeat(np.arange(len(ends)), np.diff(pointer))
    popularity, rare = np.zeros(n_items), np.zeros(n_items, np.bool_)
    of_class = np.searchsorted(MEANS, groups.pairs / groups.items, side="right")[group]
    step = np.log(POPULARITY[1] / POPULARITY[0])
    values = np.append(POPULARITY, [0.0, 0.0])
    for number, shares in enumerate(shape.popularity):
        own = np.flatnonzero(of_class == number)
        drawn = rng.choice(len(values), len(own), p=shares / shares.sum())
        popularity[own] = values[drawn] * np.exp(step * rng.uniform(-0.5, 0.5, len(own)))
        rare[own] = drawn == len(POPULARITY)
    order = np.lexsort((popularity, ~rare, group))
    popularity, n_rare = popularity[order], np.bincount(group, rare, len(ends)).astype(np.int64)
    none = np.bincount(group, popularity, len(ends)) == 0
    popularity[none[group]], n_rare[none] = 1.0, 0
    popularity *= (groups.pairs / np.maximum(np.bincount(group, popularity, len(ends)), 1e-12))[group]
    again = np.maximum(popularity, 1e-6) ** shape.favour
    again *= (groups.again * groups.pairs / np.maximum(np.bincount(group, popularity * again, len(ends)), 1e-12))[group]
    ladder = np.zeros((TASTES, n_items + 1))
    # What nearly everybody buys is a matter of taste to few.
    likes = _likes(_LIKES_GROUP + _COMMON * groups.pairs / shape.users, rng)[:, group]
    ladder[:, 1:] = likes * _likes(_LIKES_ITEM + _COMMON * popularity / shape.users, rng)
    del likes
    ladder[:, 1:] *= popularity / ladder[:, 1:].mean(axis=0)
    np.cumsum(ladder, axis=1, out=ladder)
    ladder *= 1 / ladder[:, -1:]
    ladder += np.arange(TASTES)[:, None]
    days = len(shape.day)
    return Catalogue(
        group,
        pointer,
        ladder.ravel(),
        n_rare,
        np.minimum(n_rare * (shape.items / n_items) / groups.pairs, 1.0),
        again,
        np.where(rng.random(n_items) < _SHARED, rng.uniform(0, TURN, len(ends))[group], rng.uniform(0, TURN, n_items)),
        _SPELLBOUND * rng.random(n_items) ** _FEW,
        np.where(rng.random(n_items) < shape.released, rng.uniform(0, days, n_items), -np.inf),
        np.where(rng.random(n_items) < shape.ended, rng.uniform(0, days, n_items), np.inf),
        groups.price[group] * np.exp(_PRICES * rng.standard_normal(n_items)),
        (rng.permutation(n_items) + 1).astype(np.int32),
    )


def _likes(shape: F64, rng: np.random.Generator) -> F64:
    """(TASTES, len(shape)) how much each taste likes something, 1 in the mean of all."""
    likes: F64 = rng.standard_gamma(shape, (TASTES, len(shape))) + _FAINT
    likes /= likes.mean(axis=0)
    return likes
