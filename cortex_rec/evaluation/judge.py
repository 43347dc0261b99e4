"""From a recommender and a test window to what `evaluate` judges: the same request path as the service's."""

from datetime import UTC, datetime

import numpy as np

from cortex_rec.arrays import F32, Ragged, pointers
from cortex_rec.evaluation import baselines
from cortex_rec.evaluation.evaluate import Judged
from cortex_rec.queries import ask
from cortex_rec.recommender import Recommender
from cortex_rec.retrieval.vector import Vector
from cortex_rec.splits import Window, distinct, truth

#: Users ranked at once.
BLOCK = 250


def judge(recommender: Recommender, window: Window) -> Judged:
    """Rank for everybody who bought in the window, on what was known before it.

    Parameters
    ----------
    recommender
        Its snapshot is fitted as of `window.start`.
    """
    data, start = recommender.data, window.start
    n_items = len(data.items)
    users, bought = truth(data.histories, window)
    before = data.histories.before(start)
    history = before.take(users)
    parts = [recommender.rank(ask(before, users[at : at + BLOCK], start, n_items)) for at in range(0, len(users), BLOCK)]
    ranked = Ragged(
        pointers(np.concatenate([np.diff(part.lists.pointer) for part in parts])), np.concatenate([part.lists.item for part in parts])
    )
    owned = distinct(history)
    names = recommender.snapshot.union.names
    found_by = np.concatenate([part.found_by for part in parts])
    return Judged(
        window=(_iso(start), _iso(window.end)),
        test_week=window.label,
        users=users,
        ranked=ranked,
        scores=np.concatenate([part.scores for part in parts]),
        truth=bought,
        bought_before=owned,
        history=history,
        found_by={name: found_by[:, column] for column, name in enumerate(names)},
        baselines={
            "popularity": baselines.everyone(baselines.popularity(before, as_of=start, n_items=n_items), owned, 50),
            "personal_decay": baselines.personal_decay(before, users, as_of=start, n=200),
        },
        item_vectors=_vectors(recommender),
        department=data.catalogue.codes["department"],
        department_names=data.catalogue.names["department"],
        n_items=n_items,
        popularity=baselines.sold(before, as_of=start, n_items=n_items),
    )


def _vectors(recommender: Recommender) -> F32:
    retriever = recommender.snapshot.union.retrievers["vector"]
    assert isinstance(retriever, Vector)
    return retriever.items


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")
