"""(histories, statistics, context, candidates) -> matrix. The one code path of training, evaluation and serving."""

from dataclasses import dataclass

import numpy as np

from cortex_rec.arrays import F32, Ragged
from cortex_rec.catalogue import Catalogue
from cortex_rec.features import item, pair, user
from cortex_rec.queries import Queries
from cortex_rec.retrieval.union import Candidates
from cortex_rec.snapshot import Snapshot


@dataclass(frozen=True)
class Matrix:
    """Feature values of candidates.

    Parameters
    ----------
    lists
        The candidates.
    names
        One a column.
    values
        (len(lists.item), len(names)) float32; NaN where a feature has nothing to say.
    """

    lists: Ragged
    names: tuple[str, ...]
    values: F32


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
    columns = {
        **pair.item_features(queries, lists, statistics),
        **pair.group_features(queries, lists, catalogue),
        **user.features(queries, lists, statistics),
        **item.features(lists, statistics),
        **item.in_store(queries, lists, statistics),
        **item.on_offer(queries, lists, snapshot.promotions, len(statistics.store_total)),
        **item.calendar(queries, lists),
        **{f"{name}_score": candidates.scores[:, i] for i, name in enumerate(retrievers)},
        **{f"{name}_rank": candidates.ranks[:, i] for i, name in enumerate(retrievers)},
        "found_by": np.isfinite(candidates.ranks).sum(axis=1),
    }
    return Matrix(lists, tuple(columns), np.stack([values.astype(np.float32, copy=False) for values in columns.values()], axis=1))
