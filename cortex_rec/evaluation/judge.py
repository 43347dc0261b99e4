"""From a recommender and a test window to what `evaluate` judges: the same request path as the service's."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from cortex_rec.answered import Ranked
from cortex_rec.arrays import I32, NO_ROW, Ragged
from cortex_rec.evaluation import baselines
from cortex_rec.evaluation.by_interactions import LENGTHS, Shortened
from cortex_rec.evaluation.evaluate import MAIN_K, Judged
from cortex_rec.evaluation.influence import Influence
from cortex_rec.features.assemble import assemble
from cortex_rec.queries import Queries, ask, usual_store
from cortex_rec.recommender import Recommender
from cortex_rec.retrieval.neighbours import Neighbours
from cortex_rec.splits import Window, distinct, truth

#: Users ranked at once.
BLOCK = 250
#: Test users whose first items are explained: 300 named the same 20 features first, each share within .001, and took half as long again.
EXPLAINED: Final = 200
#: Test users whose history is cut short: six lists for each.
SHORTENED: Final = 150


def judge(recommender: Recommender, window: Window, *, most: int | None = None, seed: int = 0) -> Judged:
    """Rank for those who bought in the window, on what was known before it.

    Parameters
    ----------
    recommender
        Its snapshot is fitted as of `window.start`.
    most, seed
        How many of them at the most, and what decides the draw; everybody when absent.
    """
    data, start = recommender.data, window.start
    n_items = len(data.items)
    users, bought = truth(data.histories, window, most=most, seed=seed)
    history = data.histories.take(users).before(start)
    parts = answers(recommender, users, start)
    owned = distinct(history)
    names = recommender.snapshot.union.names
    found_by = np.concatenate([part.found_by for part in parts])
    return Judged(
        window=(_iso(start), _iso(window.end)),
        test_week=window.label,
        users=users,
        ranked=Ragged.joined([part.lists for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        truth=bought,
        bought_before=owned,
        history=history,
        found_by={name: found_by[:, column] for column, name in enumerate(names)},
        baselines={
            "popularity": baselines.everyone(baselines.popularity(data.histories, as_of=start, n_items=n_items), owned, 50),
            "personal_decay": baselines.personal_decay(data.histories, users, as_of=start, n=200),
        },
        item_vectors=recommender.snapshot.content,
        department=data.catalogue.codes["department"],
        department_names=data.catalogue.names["department"],
        n_items=n_items,
        popularity=baselines.sold(data.histories, as_of=start, n_items=n_items),
        sold=~recommender.snapshot.statistics.unsold,
    )


def answers(recommender: Recommender, users: I32, as_of: int) -> list[Ranked]:
    """Everything that users would be answered at a moment, best first, block after block.

    Parameters
    ----------
    users
        (n,) int32 rows of the user id map.
    as_of
        Seconds since 1970; the snapshot should be of that moment.
    """
    data = recommender.data
    blocks = (users[at : at + BLOCK] for at in range(0, len(users), BLOCK))
    return [recommender.rank(ask(data.histories, block, as_of, len(data.items))) for block in blocks]


def explain(
    recommender: Recommender, window: Window, *, seed: int, users: int = EXPLAINED, shown: int = MAIN_K, most: int | None = None
) -> Influence | None:
    """What each feature adds to the scores of the candidates that a sample of the test users would be shown.

    Parameters
    ----------
    recommender
        Its snapshot is fitted as of `window.start`.
    seed
        Decides the sample.
    users, shown
        How many lists, and how many candidates of each.
    most
        As for `judge`.

    Returns
    -------
    Influence
        None when the ranker cannot say what a feature adds.
    """
    data, snapshot, ranker = recommender.data, recommender.snapshot, recommender.ranker
    everyone, _ = truth(data.histories, window, most=most, seed=seed)
    chosen = np.sort(np.random.default_rng([seed, window.start]).permutation(everyone)[:users])
    queries = ask(data.histories, chosen, window.start, len(data.items))
    matrix = assemble(queries, snapshot.union.retrieve(queries), snapshot, data.catalogue)
    lists = matrix.lists
    order = np.lexsort((lists.item, -ranker.score(matrix), lists.owner))
    best = np.sort(order[np.arange(len(order)) - lists.pointer[lists.owner] < shown])
    matrix = matrix.rows(best)
    contributions = ranker.contributions(matrix)
    if contributions is None:
        return None
    values, retrievers = matrix.columns(ranker.features), tuple(snapshot.union.names)
    return Influence(len(chosen), ranker.features, retrievers, values, contributions[:, :-1], contributions[:, -1], ranker.importances())


def shorten(recommender: Recommender, window: Window, *, seed: int, users: int = SHORTENED, most: int | None = None) -> Shortened:
    """Answer a sample of the test users as if only their latest purchases were known, so many of them as `LENGTHS` says.

    They are asked for as strangers, whom the graph has no vector of and the users table no line, and are nobody's neighbours. What is
    learned of items, for example what is bought together, has seen their purchases like everybody's.

    Parameters
    ----------
    recommender
        Its snapshot is fitted as of `window.start`.
    seed
        Decides the sample.
    users
        How many at most. All have as many order lines as the longest of the lengths; where nobody has, as many as anybody, and longer
        lengths are left out.
    most
        As for `judge`, whose users these are some of.
    """
    data, start = recommender.data, window.start
    everyone, _ = truth(data.histories, window, most=most, seed=seed)
    before = data.histories.take(everyone).before(start)
    lines = np.diff(before.pointer)
    enough = min(LENGTHS[-1], int(lines.max(initial=0)))
    chosen = np.sort(np.random.default_rng([seed, start]).permutation(np.flatnonzero(lines >= enough))[:users])
    known, apart = before.take(chosen.astype(np.int32)), _without(recommender, everyone[chosen])
    nobody = np.full(len(chosen), NO_ROW, np.int32)

    def answers(length: int) -> Ragged:
        own = known.latest(length)
        whole = Queries(own, nobody, start, usual_store(own, start), len(data.items))
        return apart.rank(whole).lists

    return Shortened(chosen, {length: answers(length) for length in LENGTHS if length <= enough})


def _without(recommender: Recommender, users: I32) -> Recommender:
    """The recommender for which these users are no neighbours."""
    snapshot = recommender.snapshot
    retrievers = snapshot.union.retrievers
    neighbours = retrievers["neighbours"]
    assert isinstance(neighbours, Neighbours)
    union = replace(snapshot.union, retrievers={**retrievers, "neighbours": neighbours.without(users)})
    return replace(recommender, snapshot=replace(snapshot, union=union))


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")
