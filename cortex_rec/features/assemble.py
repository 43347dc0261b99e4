"""(histories, statistics, context, candidates) -> matrix. The one code path of training, evaluation and serving."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cortex_rec.arrays import F32, Array, Ragged
from cortex_rec.catalogue import Catalogue
from cortex_rec.features import coupons, item, pair, person, taste, uplift, user
from cortex_rec.features.recent import Recent, recent
from cortex_rec.queries import Queries
from cortex_rec.retrieval.union import Candidates
from cortex_rec.snapshot import Snapshot


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
        (len(lists.item), len(names)) float32; NaN where a feature has nothing to say.
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

    def columns(self, names: Sequence[str]) -> F32:
        """(n, len(names)) float32 values of the named features, NaN for one that is not there."""
        place = {name: column for column, name in enumerate(self.names)}
        if all(name in place for name in names):
            found: F32 = self.values[:, [place[name] for name in names]]
            return found
        missing = np.full(len(self.values), np.nan, np.float32)
        return np.stack([self.values[:, place[name]] if name in place else missing for name in names], axis=1)


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
    values = np.stack([each.astype(np.float32, copy=False) for each in columns.values()], axis=1)
    return Matrix(lists, tuple(columns), values, recent(queries), snapshot.item_vectors)
