"""The items that are sold: their groups, how popular each is with people of each taste, when they come and go, and what they cost."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.arrays import F64, I32, I64, pointers
from cortex_rec.synthesis.shape import Shape

#: Tastes that people have in different mixtures, and how differently they like groups and items: shapes of gamma distributions of mean 1.
TASTES: Final = 24
_LIKES_GROUP: Final = 0.5
_LIKES_ITEM: Final = 0.5
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
    popularity = np.exp(shape.spread * rng.standard_normal(n_items))
    popularity *= (groups.pairs / np.maximum(np.bincount(group, popularity, len(ends)), 1e-12))[group]
    ladder = np.zeros((TASTES, n_items + 1))
    for taste, steps in enumerate(ladder):
        likes_group, likes_item = rng.gamma(_LIKES_GROUP, 1 / _LIKES_GROUP, len(ends)), rng.gamma(_LIKES_ITEM, 1 / _LIKES_ITEM, n_items)
        np.cumsum(popularity * (likes_group[group] * likes_item + 1e-6), out=steps[1:])
        steps *= 1 / steps[-1]
        steps += taste
    days = len(shape.day)
    return Catalogue(
        group,
        pointer,
        ladder.ravel(),
        np.where(rng.random(n_items) < shape.released, rng.uniform(0, days, n_items), -np.inf),
        np.where(rng.random(n_items) < shape.ended, rng.uniform(0, days, n_items), np.inf),
        groups.price[group] * np.exp(_PRICES * rng.standard_normal(n_items)),
        (rng.permutation(n_items) + 1).astype(np.int32),
    )
