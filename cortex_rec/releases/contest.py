"""Two releases asked the same: what they recommend for the newest window, and how long an answer takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.arrays import F64, I32, I64, NO_ROW, Ragged
from cortex_rec.encoding import Encoded
from cortex_rec.evaluation import metrics, slices
from cortex_rec.evaluation.evaluate import MAIN, MAIN_K
from cortex_rec.evaluation.judge import answers
from cortex_rec.histories import Past
from cortex_rec.ids import IdMap
from cortex_rec.recommender import Recommender
from cortex_rec.releases.promotion import Performance
from cortex_rec.requests import Request
from cortex_rec.splits import Window, distinct, drawn

#: Users whose answers are timed, and how often each: what else a machine does falls on one of them, seldom on both.
TIMED: Final = 100
TIMES: Final = 2


@dataclass(frozen=True)
class Questions:
    """Whom both are asked for, and what these users bought.

    Parameters
    ----------
    users
        External ids of those who bought in the window, and before it as far as the champion knows.
    items
        All items that either of the two knows; the lists below hold rows of it.
    bought
        Distinct items that each user bought in the window.
    bought_before
        Distinct items that each user bought before it, as either knows.
    purchases
        (n_users,) int64 order lines before the window, as the champion knows.
    """

    users: list[str]
    items: IdMap
    bought: Ragged
    bought_before: Ragged
    purchases: I64

    def __len__(self) -> int:
        return len(self.users)


def questions(champion: Recommender, tonight: Encoded, window: Window, *, most: int | None = None, seed: int = 0) -> Questions:
    """What to ask. Whether a user is asked for is decided by the window and the champion's memory, not by what tonight's data kept.

    Parameters
    ----------
    champion
        As it would have answered when the window began.
    tonight
        The newest data: its window is the truth.
    most, seed
        How many users at the most, and what decides the draw; everybody when absent.
    """
    inside = tonight.histories.between(window.start, window.end)
    rows = np.flatnonzero(np.diff(inside.pointer) > 0).astype(np.int32)
    ids = np.array(tonight.users.external(rows), object)
    past, theirs = Past(champion.data.histories, champion.snapshot.as_of), champion.data.users.rows(list(ids))
    asked = drawn(np.flatnonzero(past.histories.came_before(theirs, past.as_of)).astype(np.int32), most, seed=[seed, window.start])
    known = past.take(theirs[asked])
    own = champion.data.items.ids
    items = tonight.items.extended(own.filter(tonight.items.rows(own) == NO_ROW))
    then = _in_rows(distinct(known), items.rows(own))
    before = _either(then, distinct(tonight.histories.take(rows[asked]).before(window.start)), len(items))
    return Questions(list(ids[asked]), items, distinct(inside.take(rows[asked])), before, np.diff(known.pointer))


def performance(recommender: Recommender, asked: Questions, milliseconds: F64, size: int) -> Performance:
    """What one of the two recommends, judged by what was bought.

    Parameters
    ----------
    recommender
        As it would have answered when the window began.
    milliseconds, size
        See `Performance`.
    """
    ranked = _in_rows(_lists(recommender, asked.users), asked.items.rows(recommender.data.items.ids))
    new = slices.by_novelty(ranked, asked.bought, asked.bought_before)["new_items"]
    ndcg, of_new = (metrics.per_user(*part, (MAIN_K,))[MAIN] for part in ((ranked, asked.bought), new))
    light = np.where(slices.activity(asked.purchases) == slices.ACTIVITY.index("light_users"), ndcg, np.nan)
    return Performance(ndcg, of_new, light, metrics.top(ranked, MAIN_K), len(asked.items), milliseconds, size)


def unjudged(recommender: Recommender, users: Sequence[str], n_items: int, milliseconds: F64, size: int) -> Performance:
    """What one recommends at its own moment, where no purchase can tell yet how good that is.

    Parameters
    ----------
    users
        External ids of those who are asked for.
    n_items, milliseconds, size
        See `Performance`.
    """
    unknown = np.full(len(users), np.nan)
    return Performance(unknown, unknown, unknown, metrics.top(_lists(recommender, users), MAIN_K), n_items, milliseconds, size)


def _lists(recommender: Recommender, users: Sequence[str]) -> Ragged:
    """All candidates of each user at the recommender's moment, best first, in its own rows."""
    parts = answers(recommender, recommender.data.users.rows(users), recommender.snapshot.as_of)
    return Ragged.joined([part.lists for part in parts]) if parts else Ragged.of([])


def milliseconds(recommenders: Sequence[Recommender], users: Sequence[str], *, clock: Callable[[], float]) -> list[F64]:
    """How long each takes for the same answers, one after the other in one process, so that whatever slows the machine slows all.

    Parameters
    ----------
    users
        External ids; the first `TIMED` of them are asked for.
    clock
        Gives seconds, for example `time.perf_counter`.

    Returns
    -------
    list
        (n,) float64 of each recommender: the quicker of its `TIMES` answers for each user.
    """
    chosen = users[:TIMED]
    took = np.full((len(recommenders), len(chosen), TIMES), np.nan)
    # What is computed by the first answer and then kept is not what an answer takes.
    for recommender in recommenders:
        recommender.recommend([Request(user) for user in chosen[:1]])
    for i, user in enumerate(chosen):
        for time in range(TIMES):
            # Each goes first as often as the others: the second finds the processor's caches as the first left them.
            first = (i + time) % len(recommenders)
            for at in (*range(first, len(recommenders)), *range(first)):
                start = clock()
                recommenders[at].recommend([Request(user)])
                took[at, i, time] = 1_000 * (clock() - start)
    return list(took.min(axis=2)) if len(chosen) else [np.zeros(0)] * len(recommenders)


def _in_rows(lists: Ragged, rows: I32) -> Ragged:
    return Ragged(lists.pointer, rows[lists.item])


def _either(first: Ragged, second: Ragged, n_items: int) -> Ragged:
    """Each user's distinct items of both, ascending."""
    keys = np.union1d(first.owner * n_items + first.item, second.owner * n_items + second.item)
    return Ragged.from_owner(keys // n_items, (keys % n_items).astype(np.int32), len(first))
