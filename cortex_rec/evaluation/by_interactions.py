"""How good the answers are to people of whom little is known: the same users, with more and more of their purchases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cortex_rec.arrays import F64, I64, Ragged
from cortex_rec.evaluation import metrics, significance

#: How many of a user's latest purchases are known: 0 is a stranger.
LENGTHS: Final = (0, 1, 2, 3, 5, 10)
CUTOFFS: Final = (10, 20)
#: The metrics that are told, the first beside its difference to popularity.
TOLD: Final = ("ndcg@10", "recall@20")


@dataclass(frozen=True)
class Shortened:
    """What test users would be shown if only their latest purchases were known.

    Parameters
    ----------
    users
        (n,) int64 positions among the test users that are judged, ascending.
    lists
        By number of purchases known: one list a user, best first.
    """

    users: I64
    lists: Mapping[int, Ragged]


def describe(shortened: Shortened, whole: Ragged, popularity: Ragged, truth: Ragged, *, samples: int, seed: int) -> dict[str, Any]:
    """Judge every length by what the users bought.

    Parameters
    ----------
    shortened
        The lists.
    whole, popularity, truth
        Of all test users: the lists when they are known with all that they bought, the baseline's lists, and what they bought.
    samples, seed
        Of the bootstrap over users, who are drawn alike for everything here.

    Returns
    -------
    dict
        The keys that `docs/evaluation.md` lists under `by_interactions`. NaN where there is nobody to judge.
    """
    bought = truth.take(shortened.users)

    def judged(ranked: Ragged) -> dict[str, F64]:
        return metrics.per_user(ranked, bought, CUTOFFS)

    baseline = judged(popularity.take(shortened.users))

    def figures(found: Mapping[str, F64]) -> dict[str, Any]:
        gain = found[TOLD[0]] - baseline[TOLD[0]]
        spread = significance.intervals({**{name: found[name] for name in TOLD}, "gain": gain}, samples=samples, seed=seed)
        low, high = spread.pop("gain")
        return {
            **{name: _mean(found[name]) for name in TOLD},
            "intervals": {name: {"low": low, "high": high} for name, (low, high) in spread.items()},
            "difference": {TOLD[0]: {"value": _mean(gain), "low": low, "high": high}},
        }

    return {
        "users": len(shortened.users),
        "lengths": [{"interactions": length, **figures(judged(ranked))} for length, ranked in shortened.lists.items()],
        "whole": figures(judged(whole.take(shortened.users))),
        "popularity": {name: value for name, value in figures(baseline).items() if name != "difference"},
    }


def _mean(values: F64) -> float:
    return float(values.mean()) if len(values) else np.nan
