"""What a release would answer to the buyers of a day: its features, candidates, scores and promises, and what of them came true."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from cortex_rec.answered import Ranked
from cortex_rec.arrays import I32, I64, Bool, find
from cortex_rec.features.assemble import assemble
from cortex_rec.monitoring import frozen
from cortex_rec.monitoring.purchases import Lines
from cortex_rec.monitoring.raw import Named, Raw
from cortex_rec.monitoring.signals import Rule
from cortex_rec.queries import ask
from cortex_rec.recommender import Recommender

#: The ranker has learned from all windows but the last one, and its promises look better there: the next day is compared with the last.
RULE: Final = Rule(
    memory=1,
    by_weekday=False,
    untested=(frozen.MODE,),
    scales={"candidates": "count", "candidate_recall": "share", "hits": "share", "items_shown": "share", "best_sellers_shown": "share"},
)
#: Items of an answer that count as shown.
SHOWN: Final = 10
#: Beginnings of features that change by plan from one day to the next: the calendar, campaigns, offers.
PLANNED: Final = ("day_of_month", "coupon_", "offer_")
#: What stands for a promise of nothing, and of no purchase: half a purchase.
_HALF: Final = 0.5


def raw(recommender: Recommender, bought: Lines, *, day: int, users: int, seed: int) -> Raw | None:
    """Answer a sample of the day's known buyers as the release would have, and look at what they bought.

    Parameters
    ----------
    recommender
        Its snapshot is of the moment up to which purchases are known.
    bought
        The day's purchases.
    users
        How many buyers at most.
    seed
        Decides, with the day, which ones.

    Returns
    -------
    Raw
        None when no buyer was known.
    """
    data, snapshot = recommender.data, recommender.snapshot
    buyers = np.unique(bought.user[bought.user >= 0]).astype(np.int32)
    known = buyers[data.histories.came_before(buyers, snapshot.as_of)]
    chosen: I32 = np.sort(np.random.default_rng([seed, day]).permutation(known)[:users]).astype(np.int32)
    if not len(chosen):
        return None
    queries = ask(data.histories, chosen, snapshot.as_of, len(data.items))
    candidates = snapshot.union.retrieve(queries)
    matrix = assemble(queries, candidates, snapshot, data.catalogue)
    ranked = recommender.order(queries, candidates, matrix)
    hit, all_bought = _came_true(ranked, chosen, bought, len(data.items))
    owner = ranked.lists.owner
    shown = np.arange(len(owner)) - ranked.lists.pointer[owner] < SHOWN
    values = {f"feature_{name}": column for name, column in zip(matrix.names, matrix.values.T, strict=True) if not name.startswith(PLANNED)}
    modes = {f"{frozen.MODE}{name}": frozen.mode(column) for name, column in values.items()}
    values |= {"score": ranked.scores, "score_shown": ranked.scores[shown], "probability_shown": ranked.probabilities[shown]}
    numbers = _numbers(recommender, ranked, shown, hit, all_bought) | modes
    named = {"retrievers": _shares(ranked.found_by, snapshot.union.names)}
    named |= {"retrievers_shown": _shares(ranked.found_by[shown], snapshot.union.names)}
    return Raw(
        len(chosen),
        values,
        named,
        numbers,
        {"shown": snapshot.content[ranked.lists.item[shown]].mean(axis=0, dtype=np.float64)},
    )


def _came_true(ranked: Ranked, users: I32, bought: Lines, n_items: int) -> tuple[Bool, int]:
    """Whether each candidate was bought on the day, and how many pairs of user and item were bought in all."""
    row = find(users, bought.user)
    listed = (row >= 0) & (bought.item >= 0)
    pairs: I64 = np.unique(row[listed] * n_items + bought.item[listed])
    hit: Bool = np.isin(ranked.lists.owner * n_items + ranked.lists.item, pairs)
    return hit, len(pairs)


def _numbers(recommender: Recommender, ranked: Ranked, shown: Bool, hit: Bool, bought: int) -> dict[str, float]:
    items = ranked.lists.item[shown]
    best = np.argsort(-recommender.snapshot.statistics.lines[:, 0], kind="stable")[:100]
    promised = float(np.nansum(ranked.probabilities[shown]))
    return {
        "candidates": len(ranked.lists.item) / len(ranked.lists),
        "candidate_recall": float(hit.sum() / bought) if bought else np.nan,
        "hits": float(hit[shown].mean()),
        "items_shown": len(np.unique(items)) / len(items),
        "best_sellers_shown": float(np.isin(items, best).mean()),
        "log_bought_of_promised": float(np.log((hit[shown].sum() + _HALF) / (promised + _HALF))),
    }


def _shares(found_by: Bool, names: Sequence[str]) -> Named:
    """Each retriever as often as it found something."""
    codes: I64 = np.nonzero(found_by)[1]
    return Named(codes, list(names))
