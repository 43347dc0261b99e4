"""(histories, statistics, context, candidates) -> matrix. The one code path of training, evaluation and serving."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from cortex_rec.arrays import F32, I64, Array, Ragged
from cortex_rec.catalogue import Catalogue
from cortex_rec.features import coupons, item, pair, person, taste, uplift, user
from cortex_rec.features.recent import Recent, recent
from cortex_rec.queries import Queries
from cortex_rec.retrieval.union import Candidates
from cortex_rec.snapshot import Snapshot

#: Rows of a block of `Matrix.blocks`.
ROWS: Final = 32


@dataclass(frozen=True)
class Matrix:
    """Feature values of candidates, and what a ranker may read beside them.

    Parameters
    ----------
    lists
        The candidates.
    names
        One a column.
    values
        (len(lists.item), len(names)) float32; NaN where a feature has nothing to say. The values of a feature lie together in memory.
    recent
        The latest items of each list's user.
    vectors
        (n_items, d) float32 vector of every item at that moment: its place in the graph beside that of its words.
    """

    lists: Ragged
    names: tuple[str, ...]
    values: F32
    recent: Recent
    vectors: F32

    def rows(self, chosen: Array | slice) -> "Matrix":
        """The same lists with only some of their rows, in their order."""
        lists = Ragged.from_owner(self.lists.owner[chosen], self.lists.item[chosen], len(self.lists))
        return replace(self, lists=lists, values=self.values[chosen])

    @cached_property
    def blocks(self) -> F32:
        """(ceil(n / ROWS), len(names) + 1, ROWS) float32, the values as machine code reads them, the last block filled up with zeros.

        After the features of a block comes a row of NaN, for those that are not there.
        """
        n, width = self.values.shape
        whole, rest = divmod(n, ROWS)
        blocks = np.zeros((whole + (rest > 0), width + 1, ROWS), np.float32)
        blocks[:whole, :width] = self.values[: whole * ROWS].T.reshape(width, whole, ROWS).swapaxes(0, 1)
        blocks[whole:, :width, :rest] = self.values[whole * ROWS :].T
        blocks[:, width] = np.nan
        return blocks

    def places(self, names: Sequence[str]) -> I64:
        """(len(names),) int64 where the named features lie in each of `blocks`."""
        place = {name: column for column, name in enumerate(self.names)}
        return np.array([place.get(name, len(self.names)) for name in names], np.int64)

    def columns(self, names: Sequence[str]) -> F32:
        """(n, len(names)) float32 values of the named features, NaN for one that is not there; those of a feature lie together."""
        place = {name: column for column, name in enumerate(self.names)}
        there = [name in place for name in names]
        found = np.full((len(names), len(self.values)), np.nan, np.float32)
        found[there] = self.values.T[[place[name] for name in names if name in place]]
        return found.T


def assemble(queries: Queries, candidates: Candidates, snapshot: Snapshot, catalogue: Catalogue) -> Matrix:
    """Compute every feature that the data can give; those whose inputs the shop does not record are absent.

    Parameters
    ----------
    queries, candidates
        Who is asked for, and what the union found.
    snapshot
        Everybody's purchases, summed up at the moment of the queries, and the retrievers.
    catalogue
        The items' groups.
    """
    lists, statistics = candidates.lists, snapshot.statistics
    retrievers = snapshot.union.names
    offers = item.on_offer(queries, lists, snapshot.promotions, len(statistics.store_total))
    columns = {
        **pair.item_features(queries, lists, statistics),
        **pair.group_features(queries, lists, catalogue),
        **taste.features(queries, lists, catalogue, statistics),
        **user.features(queries, lists, statistics),
        **person.features(queries, lists, snapshot.people),
        **item.features(lists, statistics),
        **item.in_store(queries, lists, statistics),
        **offers,
        **uplift.features(lists, snapshot.uplift, offers),
        **item.calendar(queries, lists),
        **coupons.features(queries, lists, snapshot.coupons, catalogue),
        **{f"{name}_score": candidates.scores[:, i] for i, name in enumerate(retrievers)},
        **{f"{name}_rank": candidates.ranks[:, i] for i, name in enumerate(retrievers)},
        "found_by": np.isfinite(candidates.ranks).sum(axis=1),
    }
    values = np.stack(list(columns.values()), dtype=np.float32, casting="same_kind")
    return Matrix(lists, tuple(columns), values.T, recent(queries), snapshot.item_vectors)
