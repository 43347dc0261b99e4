"""What each stage of an answer did, as plain JSON values: for people who ask why, and for the picture on the explorer page."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cortex_rec.answered import Answered
from cortex_rec.arrays import F32, Array
from cortex_rec.features.kinds import KINDS
from cortex_rec.filters import CAUSES, PASSES, item_rows

if TYPE_CHECKING:
    from cortex_rec.recommender import Recommender

#: What each filter says to who asks why an item is not there.
_LEFT_OUT: Final = {
    "basket": "It is in the basket or the cart already.",
    "hidden": "The user hid it.",
    "exclude": "`filters.exclude` names it.",
    "bought_days": "The user bought it within the days of `filters.bought_days`.",
    "groups": "It is of another group than `filters.groups` asks for.",
    "price": "Its price is not known or not in the range that the filters ask for.",
    "in_store": "It was not sold in the user's store in the last four weeks, as `filters.in_store` asks.",
}


def trace(i: int, answered: Answered, recommender: "Recommender", milliseconds: Mapping[str, float]) -> dict[str, Any]:
    """How request `i` was answered.

    Returns
    -------
    dict
        `candidates` (`total`, `by_retriever`, `filtered` by cause, `widened`), the number `ranked`, `rules` (how many items each `moved`),
        `milliseconds` by stage (of all requests that were answered together), and by external id the `items` shown: `place`, `score`,
        `ranked_place`, `rules`, `retrievers` that found it (`rank`, `score`), `features` (null where one has nothing to say), and
        `contributions` of each kind of feature to the score, over the mean. With `Request.why_not` also `why_not`: see `_why_not`.

    Raises
    ------
    UnknownItem
        If `why_not` is not in the catalogue.
    """
    found, arranged, request = answered.found, answered.arranged[i], answered.asked.requests[i]
    own = slice(found.everything.lists.pointer[i], found.everything.lists.pointer[i + 1])
    names = recommender.snapshot.union.names
    verdicts = found.verdicts[own]
    moved = Counter(rule for rules in arranged.rules.values() for rule in rules)
    told: dict[str, Any] = {
        "candidates": {
            "total": len(verdicts),
            "by_retriever": dict(zip(names, np.isfinite(found.everything.ranks[own]).sum(axis=0).tolist(), strict=True)),
            "widened": int(found.widened[i]),
            "filtered": {cause: int(np.count_nonzero(verdicts == code)) for code, cause in enumerate(CAUSES)},
        },
        "ranked": len(answered.ranked.lists[i]),
        "rules": [{"rule": rule, "moved": many} for rule, many in sorted(moved.items())],
        "milliseconds": {stage: round(spent, 3) for stage, spent in milliseconds.items()},
        "items": _items(i, answered, recommender),
    }
    if request.why_not is not None:
        told["why_not"] = _why_not(i, request.why_not, answered, recommender)
    return told


def _items(i: int, answered: Answered, recommender: "Recommender") -> dict[str, Any]:
    ranked, arranged, shown = answered.ranked, answered.arranged[i], answered.shown(i)
    rows, candidates = ranked.rows[shown], answered.found.candidates
    matrix = answered.matrix.rows(rows)
    # Who has no history is not ranked by the ranker, so its features say nothing of the score.
    added = None if answered.stranger(i) else recommender.ranker.contributions_by_kind(matrix)
    external = recommender.data.items.external(ranked.lists.item[shown])
    return {
        item: {
            "place": place + 1,
            "score": float(ranked.scores[shown[place]]),
            "ranked_place": int(arranged.at[place]) + 1,
            "rules": list(arranged.rules.get(place, ())),
            "retrievers": _finders(candidates.ranks[rows[place]], candidates.scores[rows[place]], recommender.snapshot.union.names),
            "features": dict(zip(matrix.names, _numbers(matrix.values[place]), strict=True)),
            "contributions": {} if added is None else dict(zip(KINDS, _numbers(added[place]), strict=True)),
        }
        for place, item in enumerate(external)
    }


def _finders(ranks: F32, scores: F32, names: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    """The retrievers that returned an item, with its place and score there."""
    told = zip(names, ranks.tolist(), _numbers(scores), strict=True)
    return {name: {"rank": int(rank), "score": score} for name, rank, score in told if np.isfinite(rank)}


def _numbers(values: Array) -> list[float | None]:
    """As JSON knows them: null for what is not a number."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _why_not(i: int, item: str, answered: Answered, recommender: "Recommender") -> dict[str, str]:
    """The `stage` where an `item` fell out (`retrieve`, `filter`, `rank`, `rules`; `answered` where it did not), and why, as `text`."""
    stage, text = _fate(i, int(item_rows([item], recommender.data, "why_not")[0]), answered, recommender)
    return {"item": item, "stage": stage, "text": text}


def _fate(i: int, row: int, answered: Answered, recommender: "Recommender") -> tuple[str, str]:
    found, ranked, arranged, request = answered.found, answered.ranked, answered.arranged[i], answered.asked.requests[i]
    own = slice(found.everything.lists.pointer[i], found.everything.lists.pointer[i + 1])
    (seen,) = np.nonzero(found.everything.lists.item[own] == row)
    if len(seen) == 0:
        return "retrieve", f"None of the {len(recommender.snapshot.union.names)} retrievers has it among its best for this user."
    verdict = int(found.verdicts[own][seen[0]])
    if verdict != PASSES:
        return "filter", _LEFT_OUT[CAUSES[verdict]]
    at = int(np.flatnonzero(ranked.lists[i] == row)[0])
    (places,) = np.nonzero(arranged.at == at)
    if len(places):
        return "answered", f"It is in the answer, at place {places[0] + 1}."
    ranking = f"the ranker has it at place {at + 1:,} of {len(ranked.lists[i]):,}"
    if at in arranged.capped:
        group = arranged.capped[at]
        return "rules", f"It was found, and {ranking}; `rules.caps` lets in at most {request.rules.caps[group]} of its {group}."
    score, least = float(ranked.scores[ranked.lists.pointer[i] + at]), float(ranked.scores[answered.shown(i)].min())
    if arranged.rules and (at < len(arranged.at) or score > least):
        return "rules", f"It was found, and {ranking}; the rules put other items into the {len(arranged.at)} places."
    return "rank", f"It was found, but {ranking}: its score is {score:.2f}, the lowest of those shown is {least:.2f}."
