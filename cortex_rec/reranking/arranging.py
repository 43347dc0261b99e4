"""From a request's rules, in the words of the shop, to the places of its answer."""

from typing import TYPE_CHECKING, Final

import numpy as np

from cortex_rec.answered import Arranged, Asked, Ranked
from cortex_rec.filters import group_codes, item_rows
from cortex_rec.requests import Rules
from cortex_rec.reranking.arrange import Ruled, arrange
from cortex_rec.reranking.boosts import log_odds, log_shares

if TYPE_CHECKING:
    from cortex_rec.recommender import Recommender

_NO_RULES: Final = Rules()


def arranged_for(asked: Asked, i: int, ranked: Ranked, recommender: "Recommender") -> Arranged:
    """The places of request `i`.

    Raises
    ------
    UnknownItem, InvalidRequest
        If a rule names an item or a group that the catalogue does not have.
    """
    request, items = asked.requests[i], ranked.lists[i]
    rules = request.rules
    if rules == _NO_RULES:
        return Arranged(np.arange(min(request.n, len(items))), {}, {})
    own, data, snapshot = slice(ranked.lists.pointer[i], ranked.lists.pointer[i + 1]), recommender.data, recommender.snapshot
    # Who has no history has no probabilities either, and scores that are shares of the sales.
    stranger = bool(np.isnan(ranked.probabilities[own]).any())
    scores = ranked.scores[own]
    appeal = log_shares(scores) if stranger else log_odds(scores, recommender.ranker.calibration)
    boosted = np.zeros(len(items), bool)
    if rules.boosted:
        rows = item_rows(list(rules.boosted), data, "rules.boosted")
        for row, factor in zip(rows.tolist(), rules.boosted.values(), strict=True):
            appeal[items == row] += np.log(factor)
            boosted |= items == row
    pinned = [np.flatnonzero(items == row) for row in item_rows(rules.pinned, data, "rules.pinned").tolist()]
    caps = {group: (group_codes(group, data.catalogue, "rules.caps")[items], most) for group, most in rules.caps.items()}
    kinds = {}
    if rules.new_share > 0:
        kinds["new_share"] = (~np.isin(items, asked.bought(i)[0]), rules.new_share)
    if rules.tail_share > 0:
        kinds["tail_share"] = (snapshot.statistics.tail[items], rules.tail_share)
    if recommender.exploration > 0:
        kinds["exploration"] = (snapshot.statistics.unsold[items], recommender.exploration)
    ruled = Ruled(np.concatenate([np.zeros(0, np.int64), *pinned]), appeal, boosted, rules.diversity, snapshot.content[items], caps, kinds)
    return arrange(request.n, ruled)
