"""What is asked beside recommendations: your own candidates in order, what is like an item, what sells, what sells more than before."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from cortex_rec.answered import Ranked
from cortex_rec.arrays import F64, I32, Array
from cortex_rec.features.assemble import assemble
from cortex_rec.filters import item_rows
from cortex_rec.finding import without
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Recommendation, Request, Slate
from cortex_rec.watch import NEVER_LATE

#: Sales a week that are added to both sides of a growth, so that two sales in place of one are no trend.
STEADY: Final = 10.0


def rank_items(recommender: Recommender, request: Request, items: Sequence[str]) -> Slate:
    """Candidates of the caller's own, each scored as in a recommendation, best first.

    Parameters
    ----------
    request
        Who asks, from where, with what in the basket; its filters and rules are not looked at.
    items
        External ids; one that is named twice is ranked once.

    Raises
    ------
    UnknownItem
        If the catalogue lacks one.
    """
    rows = np.unique(item_rows(items, recommender.data, "items"))
    asked, union = recommender.ask([request]), recommender.snapshot.union
    found = union.retrieve(asked.queries, NEVER_LATE)
    # What a retriever found keeps its rank there: a feature of the ranker.
    found = union.added(asked.queries, found, [np.setdiff1d(rows, found.lists.item)])
    chosen = found.rows(np.flatnonzero(np.isin(found.lists.item, rows)))
    matrix = assemble(asked.queries, chosen, recommender.snapshot, recommender.data.catalogue)
    slate = _slate(recommender, recommender.order(asked.queries, chosen, matrix))
    return replace(slate, fallback=recommender.fallback(asked, 0), degraded=asked.degraded[0] + without(found))


def similar(recommender: Recommender, item: str, n: int) -> Slate:
    """The items nearest to one by what they say and show; `score` is the cosine of their vectors.

    Raises
    ------
    UnknownItem
        If the catalogue lacks the item.
    """
    (row,) = item_rows([item], recommender.data, "item").tolist()
    vectors = recommender.snapshot.content
    cosines = vectors @ vectors[row]
    cosines[row] = -np.inf
    title = recommender.data.catalogue.titles[row] or item
    return _listed(recommender, _first(cosines, min(n, len(cosines) - 1)), cosines, f"like {title}, by what both say and show")


def popular(recommender: Recommender, n: int, store: str | None = None) -> Slate:
    """What sells best, in a store when one is given: what a stranger gets."""
    (slate,) = recommender.recommend([Request(store=store, n=n)])
    return replace(slate, fallback=None)


def trending(recommender: Recommender, n: int) -> Slate:
    """What sold more in the last week than in the three before: `score` is `(last + 10) / (weekly mean of the three + 10)`, above 1."""
    week, month = recommender.snapshot.statistics.lines[:, 0].astype(np.float64), recommender.snapshot.statistics.lines[:, 1]
    growth: F64 = (week + STEADY) / ((month - week) / 3 + STEADY)
    rows = _first(growth, n)
    rows = rows[growth[rows] > 1]
    before = (month - week)[rows] / 3
    reasons = [f"sold {last:,.0f} times in the last week, {mean:.1f} a week before" for last, mean in zip(week[rows], before, strict=True)]
    listed = _listed(recommender, rows, growth, "")
    return replace(listed, items=tuple(replace(each, reasons=(reason,)) for each, reason in zip(listed.items, reasons, strict=True)))


def _first(scores: Array, n: int) -> I32:
    return np.lexsort((np.arange(len(scores)), -scores))[:n].astype(np.int32)


def _listed(recommender: Recommender, rows: I32, scores: Array, reason: str) -> Slate:
    titles, external = recommender.data.catalogue.titles, recommender.data.items.external(rows)
    chosen = (Recommendation(name, titles[row], float(scores[row]), None, (reason,)) for name, row in zip(external, rows, strict=True))
    return Slate(tuple(chosen))


def _slate(recommender: Recommender, ranked: Ranked) -> Slate:
    items = ranked.lists.item
    titles, external = recommender.data.catalogue.titles, recommender.data.items.external(items)
    chances = [None if np.isnan(chance) else float(chance) for chance in ranked.probabilities]
    given = zip(external, items, ranked.scores, chances, strict=True)
    return Slate(tuple(Recommendation(name, titles[row], float(score), chance, ()) for name, row, score, chance in given))
