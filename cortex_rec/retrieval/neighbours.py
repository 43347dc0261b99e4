"""What households with the same tastes bought lately."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F32, F64, I32, I64, distinct, extended, load_arrays, pointers, save_arrays, sums, vars_of
from cortex_rec.config import Neighbours as NeighboursConfig
from cortex_rec.features.groups import Groups, ages, decayed, group
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval.added import added
from cortex_rec.retrieval.protocol import Evidence, Scored, ScoresItems, best
from cortex_rec.splits import drawn


@dataclass(frozen=True)
class Neighbours(ScoresItems):
    """Two sides of every household: its lasting tastes, by which it is found, and its latest purchases, which it lends.

    Parameters
    ----------
    taste_pointer, holder, taste
        For each item the users who have a taste for it, ascending, and how much, float32.
    norm
        (n_users,) float32 length of each user's tastes; 0 of who cannot be a neighbour.
    recent_pointer, recent_item, recent
        For each user the items bought lately, ascending, and how much, float32.
    k
        (1,) int64, how many neighbours count.
    half_life_days
        (1,) float64, of a taste.
    """

    taste_pointer: I64
    holder: I32
    taste: F32
    norm: F32
    recent_pointer: I64
    recent_item: I32
    recent: F32
    k: I64
    half_life_days: F64

    def _each(self, queries: Queries) -> Iterator[Scored]:
        """Means of the neighbours' latest purchases, weighted by the square of their likeness."""
        tastes = np.minimum(queries.weights(float(self.half_life_days[0])), 1.0)
        for i in range(len(queries)):
            own = slice(queries.items_pointer[i], queries.items_pointer[i + 1])
            users, like = self._likeness(queries.items.member[own], tastes[own])
            like[users == queries.users[i]] = 0
            near = best(like, int(self.k[0]), users)
            weight = like[np.searchsorted(users, near)] ** 2
            share = weight / max(float(weight.sum()), 1e-12)
            start, end = self.recent_pointer[near], self.recent_pointer[near + 1]
            yield Scored(*added(len(self.taste_pointer) - 1, start, end, share, self.recent_item, self.recent))

    def _likeness(self, items: I32, tastes: F64) -> tuple[I32, F64]:
        """The users who have a taste for any of the items, ascending, and the cosine of tastes, up to the length of the asker's."""
        start, end = self.taste_pointer[items], self.taste_pointer[items + 1]
        users, shared = added(len(self.norm), start, end, tastes, self.holder, self.taste)
        return users, shared / np.maximum(self.norm[users], 1e-6)

    def widened(self, new: Newcomers) -> Self:
        return replace(self, taste_pointer=extended(self.taste_pointer, len(new), self.taste_pointer[-1]))

    def without(self, users: I32) -> Self:
        """The same, but that these users are nobody's neighbours: to judge answers to people who are not to find themselves."""
        norm = self.norm.copy()
        norm[users] = np.inf
        return replace(self, norm=norm)

    def save(self, folder: Path) -> None:
        save_arrays(folder / "neighbours.safetensors", vars_of(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(**load_arrays(folder / "neighbours.safetensors"))


def fit(evidence: Evidence, config: NeighboursConfig, *, start: object = None) -> Neighbours:
    """Decay everybody's purchases slowly for tastes and quickly for what they bought lately; one purchase counts one at most.

    Source
    ------
    Faggioli, Polato, Aiolli 2020, Recency aware collaborative filtering for next basket recommendation (UP-CF); theirs lends the
    neighbours' personal frequencies, ours their latest days.
    """
    past, n = evidence.histories, evidence.n_items
    lenders = _lenders(evidence, config)
    # All of a large shop would make an answer slower with each of them, and hardly better.
    chosen = drawn(lenders, config.users, seed=evidence.seed) if len(lenders) > config.users else np.arange(past.n_users, dtype=np.int32)
    histories = past.take(chosen)
    pairs, age = group(histories, histories.item, n), ages(histories, evidence.as_of)
    tastes, recent = (_once(pairs, age, days) for days in (config.taste_half_life_days, config.recent_half_life_days))
    owner, lately = chosen[pairs.owner], recent > config.least
    by_item = np.lexsort((owner, pairs.member))
    return Neighbours(
        pointers(np.bincount(pairs.member, minlength=n)),
        owner[by_item],
        tastes[by_item].astype(np.float32),
        np.sqrt(sums(owner, tastes**2, past.n_users)).astype(np.float32),
        pointers(np.bincount(owner[lately], minlength=past.n_users)),
        pairs.member[lately],
        recent[lately].astype(np.float32),
        np.array([config.k]),
        np.array([config.taste_half_life_days]),
    )


def _lenders(evidence: Evidence, config: NeighboursConfig) -> I32:
    """Users, ascending, who bought something lately enough to lend it."""
    found = [np.zeros(0, np.int64)]
    for first, block in evidence.histories.blocks():
        pairs = group(block, block.item, evidence.n_items)
        recent = _once(pairs, ages(block, evidence.as_of), config.recent_half_life_days)
        found.append(first + distinct(pairs.owner[recent > config.least]))
    return np.concatenate(found).astype(np.int32)


def _once(pairs: Groups, age: F64, half_life_days: float) -> F64:
    """Decayed purchases of each pair, one at most."""
    return np.minimum(pairs.total(decayed(age, half_life_days)), 1.0)
