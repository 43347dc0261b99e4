"""How many items of which kind an answer needs, so that retrieval knows when it has looked far enough."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from cortex_rec.answered import Asked
from cortex_rec.arrays import I32, I64
from cortex_rec.catalogue import Catalogue
from cortex_rec.features.statistics import Statistics
from cortex_rec.filters import group_codes
from cortex_rec.reranking.caps import room
from cortex_rec.reranking.shares import due

#: From (k,) int32 item rows to how many of them count.
Count = Callable[[I32], int]


@dataclass(frozen=True)
class Needs:
    """`goal` is (m,) int64, how many items each of the m `counts` has to find."""

    goal: I64
    counts: tuple[Count, ...]

    def met(self, items: I32) -> bool:
        """Whether these items suffice."""
        return bool(np.all(self._supply(items) >= self.goal))

    def as_far_as(self, possible: I32) -> Self:
        """No more than what all items that may be shown can give."""
        return replace(self, goal=np.minimum(self.goal, self._supply(possible)))

    def _supply(self, items: I32) -> I64:
        return np.array([count(items) for count in self.counts], np.int64)


def needs(asked: Asked, i: int, statistics: Statistics, catalogue: Catalogue) -> Needs:
    """What request `i` needs: `n` items, as many that fit under its caps, and those of its shares.

    Raises
    ------
    InvalidRequest
        If a cap names a group that the catalogue does not have.
    """
    n, rules = asked.requests[i].n, asked.requests[i].rules
    wanted: list[tuple[int, Count]] = [(n, len)]
    if rules.caps:
        caps = [(group_codes(group, catalogue, "rules.caps"), most) for group, most in rules.caps.items()]
        wanted.append((n, lambda items: room([(codes[items], most) for codes, most in caps], n)))
    if rules.new_share > 0:
        bought, _ = asked.bought(i)
        wanted.append((due(rules.new_share, n), lambda items: int(np.count_nonzero(~np.isin(items, bought)))))
    if rules.tail_share > 0:
        wanted.append((due(rules.tail_share, n), lambda items: int(np.count_nonzero(statistics.tail[items]))))
    return Needs(np.array([goal for goal, _ in wanted], np.int64), tuple(count for _, count in wanted))
