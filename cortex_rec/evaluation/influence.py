"""What moves the scores: how much each feature adds to those of the items shown first (SHAP), and in which direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from cortex_rec.arrays import F32, F64

#: Features whose direction is told, and into how many bands of equal mass their values are parted for it.
DIRECTIONS: Final = 20
BANDS: Final = 10
#: What a feature that only counts or scores what retrievers found belongs to; the others belong to the first word of their name.
RETRIEVERS: Final = "retrievers"
#: What moves scores without being any feature's: the neural part of a blend.
REST: Final = "rest"


@dataclass(frozen=True)
class Influence:
    """What each feature adds to the scores of some candidates.

    Parameters
    ----------
    users
        How many lists the candidates are from.
    names
        The features.
    retrievers
        Names of the retrievers.
    values
        (n, n_features) float32, NaN = nothing to say.
    contributions
        (n, n_features) float32 SHAP values, in the score's unit.
    rest
        (n,) float32 what is left of each score: the same number for all, unless a part of the ranker cannot say what a feature adds.
    gains
        (feature, share of what the model gained by it when it learned), in any order; may lack features.
    """

    users: int
    names: tuple[str, ...]
    retrievers: tuple[str, ...]
    values: F32
    contributions: F32
    rest: F32
    gains: Sequence[tuple[str, float]]


def describe(influence: Influence) -> dict[str, Any]:
    """Sum up for the report.

    Returns
    -------
    dict
        The keys that `docs/evaluation.md` lists under `influence`; features by their mean absolute SHAP value, largest first.
    """
    size = np.abs(influence.contributions).mean(axis=0, dtype=np.float64) if len(influence.values) else np.zeros(len(influence.names))
    gains = dict(influence.gains)
    gained = sum(gains.values())
    features = []
    for place, column in enumerate(sorted(range(len(size)), key=lambda column: (-size[column], influence.names[column]))):
        name = influence.names[column]
        figures: dict[str, Any] = {
            "name": name,
            "group": group_of(name, influence.retrievers),
            "size": float(size[column]),
            "gain": gains[name] / gained if gained and name in gains else None,
        }
        if place < DIRECTIONS:
            figures |= direction(influence.values[:, column], influence.contributions[:, column])
        features.append(figures)
    groups: dict[str, float] = {}
    for figures in features:
        groups[figures["group"]] = groups.get(figures["group"], 0.0) + figures["size"]
    rest = np.abs(influence.rest - np.median(influence.rest)).mean(dtype=np.float64) if len(influence.rest) else 0.0
    if rest > 0:
        groups[REST] = float(rest)
    return {
        "users": influence.users,
        "candidates": len(influence.values),
        "groups": dict(sorted(groups.items(), key=lambda entry: -entry[1])),
        "features": features,
    }


def group_of(name: str, retrievers: Sequence[str]) -> str:
    """What a feature is about: the first word of its name, or the retrievers."""
    found = {"found_by", *(f"{retriever}_{kind}" for retriever in retrievers for kind in ("score", "rank"))}
    return RETRIEVERS if name in found else name.split("_")[0]


def direction(values: F32, contributions: F32) -> dict[str, Any]:
    """Whether small and large values push up or down.

    Parameters
    ----------
    values, contributions
        (n,) one feature's values and SHAP values.

    Returns
    -------
    dict
        `bands`: mean SHAP value of each band of the values, the smallest first, None where there is no value at all. Bands are
        parted at the values' quantiles, bounds included, so a value that fills several bands is in all of them. `missing`: the
        mean where the feature had nothing to say, None where it always had.
    """
    known = ~np.isnan(values)
    missing = float(contributions[~known].mean(dtype=np.float64)) if not known.all() else None
    if not known.any():
        return {"bands": [None] * BANDS, "missing": missing}
    seen, added = values[known], contributions[known].astype(np.float64)
    bounds: F64 = np.quantile(seen, np.linspace(0, 1, BANDS + 1), method="nearest")
    bands = [added[(low <= seen) & (seen <= high)] for low, high in pairwise(bounds)]
    return {"bands": [float(band.mean()) for band in bands], "missing": missing}
