"""One test window judged: every figure of the report as a plain mapping that JSON can hold."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex_rec.arrays import F32, F64, I32, Bool, Ragged, is_in
from cortex_rec.config import Evaluation
from cortex_rec.evaluation import beyond_accuracy, by_interactions, calibration, candidates, metrics, new_products, significance, slices
from cortex_rec.evaluation.by_interactions import Shortened
from cortex_rec.evaluation.influence import Influence, describe
from cortex_rec.histories import Histories

#: The list length of the headline figures, and the metric that a release is judged by first.
MAIN_K = 10
MAIN = f"ndcg@{MAIN_K}"
#: Figures that are reported whatever cut-offs a configuration asks for.
_ALWAYS = (10, 20)


@dataclass(frozen=True)
class Judged:
    """What was recommended in a test window, what was bought, and what is needed to judge the one by the other.

    Parameters
    ----------
    window
        First moment of the test window and the first after it, as ISO 8601 text.
    test_week
        Name of the window, as the report prints it.
    users
        (n,) int32 rows of the test users: a purchase in the window and one before.
    ranked
        All candidates of each user, best first.
    scores
        (ranked.pointer[-1],) float32, aligned with `ranked.item`.
    probabilities
        (ranked.pointer[-1],) float32 calibrated probability that the user buys the item in the window; NaN where there is none.
    truth
        Distinct items that each user bought in the window; -1 for an item that the catalogue lacks.
    bought_before
        Distinct items that each user ever bought before the window.
    history
        Purchases of these users before the window, one history a user.
    found_by
        By retriever: which entries of `ranked.item` it proposed.
    baselines
        Lists of the same users by baseline, long enough to stay full when items bought before are taken out.
    item_vectors
        (n_items, d) float32, for the variety of a list.
    department
        (n_items,) int32 rows of `department_names`, -1 where unknown.
    department_names
        Names of the departments.
    n_items
        Size of the catalogue.
    popularity
        (n_items,) int32 order lines in the four weeks before the window.
    sold
        (n_items,) bool, whether anybody had bought the item before the window.
    """

    window: tuple[str, str]
    test_week: str
    users: I32
    ranked: Ragged
    scores: F32
    probabilities: F32
    truth: Ragged
    bought_before: Ragged
    history: Histories
    found_by: Mapping[str, Bool]
    baselines: Mapping[str, Ragged]
    item_vectors: F32
    department: I32
    department_names: list[str]
    n_items: int
    popularity: I32
    sold: Bool


def evaluate(
    judged: Judged, config: Evaluation, *, seed: int, influence: Influence | None = None, shortened: Shortened | None = None
) -> dict[str, Any]:
    """Compute every figure of the report.

    Parameters
    ----------
    judged
        Recommendations and purchases of one window.
    config
        Cut-offs and bootstrap samples; 10 and 20 are always among the cut-offs.
    seed
        Decides the bootstrap's draws.
    influence
        What `judge.explain` found, if it was asked.
    shortened
        What `judge.shorten` found, if it was asked.

    Returns
    -------
    dict
        `docs/evaluation.md` names every key. Figures are rounded to six decimals, NaN is None.
    """
    cutoffs, drawn = _cutoffs(config), {"samples": config.bootstrap_samples, "seed": seed}
    per_user = metrics.per_user(judged.ranked, judged.truth, cutoffs)
    relevant = is_in(judged.ranked, judged.truth)
    per_user["auc"] = metrics.auc_per_user(judged.ranked.pointer, judged.scores, relevant)
    found = candidates.describe(judged.ranked, judged.truth, judged.found_by)
    parts = slices.by_novelty(judged.ranked, judged.truth, judged.bought_before)
    parts |= slices.by_sale(judged.ranked, judged.truth, judged.sold)
    parts |= slices.by_activity(judged.ranked, judged.truth, np.diff(judged.history.pointer))
    departments = slices.by_department(judged.ranked, judged.truth, judged.department, judged.department_names)
    lists = {"system": judged.ranked, **judged.baselines}
    result = {
        "test_week": judged.test_week,
        "window": list(judged.window),
        "users": len(judged.users),
        "metrics": _means(per_user),
        "intervals": _intervals(per_user, config, seed),
        "calibration": calibration.describe(judged.ranked.pointer, judged.probabilities, relevant, shown=MAIN_K, **drawn),
        "candidate_recall": found["recall"],
        "candidates": found,
        "stages": candidates.stages(judged.ranked, judged.truth, judged.bought_before, judged.n_items, MAIN_K),
        "slices": {name: _slice(part, cutoffs, config, seed) for name, part in parts.items()}
        | {"departments": {name: _slice(part, _ALWAYS, config, seed) for name, part in departments.items()}},
        "baselines": {name: _baseline(ranked, judged, per_user, config, seed) for name, ranked in judged.baselines.items()},
        "beyond_accuracy": {name: _describe(ranked, judged) for name, ranked in lists.items()}
        | {"bought": _describe(metrics.where(judged.truth, judged.truth.item >= 0), judged, judged.n_items)},
        "new_products": new_products.describe(judged.ranked, judged.truth, judged.sold, **drawn),
        "by_interactions": by_interactions.describe(shortened, judged.ranked, judged.baselines["popularity"], judged.truth, **drawn)
        if shortened
        else None,
        "influence": describe(influence) if influence else None,
    }
    plain: dict[str, Any] = plain_values(result)
    return plain


def judge_lists(ranked: Ragged, truth: Ragged, bought_before: Ragged, config: Evaluation, *, seed: int) -> dict[str, Any]:
    """The figures of a method that gives lists and nothing else, as `evaluate` has them under `baselines`.

    Parameters
    ----------
    ranked
        One list a user, best first.
    truth, bought_before
        Distinct items that each of them bought in the window, and ever before it.
    config, seed
        As for `evaluate`.

    Returns
    -------
    dict
        The metrics' means, `intervals` of the headline metric, and `slices` by novelty.
    """
    cutoffs = _cutoffs(config)
    per_user = metrics.per_user(ranked, truth, cutoffs)
    parts = slices.by_novelty(ranked, truth, bought_before)
    figures: dict[str, Any] = plain_values(
        {
            **_means(per_user),
            "intervals": _intervals({MAIN: per_user[MAIN]}, config, seed),
            "slices": {name: _slice(part, cutoffs, config, seed) for name, part in parts.items()},
        }
    )
    return figures


def _cutoffs(config: Evaluation) -> list[int]:
    return sorted({*config.cutoffs, *_ALWAYS})


def _slice(part: slices.Part, cutoffs: tuple[int, ...] | list[int], config: Evaluation, seed: int) -> dict[str, Any]:
    ranked, truth = part
    per_user = metrics.per_user(ranked, truth, cutoffs)
    return {
        "users": int(np.count_nonzero(np.diff(truth.pointer))),
        "purchases": len(truth.item),
        **_means(per_user),
        "intervals": _intervals({MAIN: per_user[MAIN]}, config, seed),
    }


def _baseline(ranked: Ragged, judged: Judged, system: Mapping[str, F64], config: Evaluation, seed: int) -> dict[str, Any]:
    """A baseline's metrics, overall and by novelty, and the system's lead over it."""
    own = metrics.per_user(ranked, judged.truth, (MAIN_K,))[MAIN]
    difference = system[MAIN] - own
    low, high = significance.intervals({MAIN: difference}, samples=config.bootstrap_samples, seed=seed)[MAIN]
    gain = significance.lift(system[MAIN], own, samples=config.bootstrap_samples, seed=seed)
    figures = judge_lists(ranked, judged.truth, judged.bought_before, config, seed=seed)
    figures["slices"] |= {
        name: _slice(part, _ALWAYS, config, seed) for name, part in slices.by_sale(ranked, judged.truth, judged.sold).items()
    }
    return {
        **figures,
        "difference": {MAIN: {"value": mean(difference), "low": low, "high": high}},
        "lift": {MAIN: dict(zip(("value", "low", "high"), gain, strict=True))},
    }


def _describe(ranked: Ragged, judged: Judged, k: int = MAIN_K) -> dict[str, Any]:
    shown = metrics.top(ranked, k)
    return dict(
        beyond_accuracy.describe(
            shown, item_vectors=judged.item_vectors, popularity=judged.popularity, sold=judged.sold, history=judged.history
        )
    )


def _means(per_user: Mapping[str, F64]) -> dict[str, float]:
    return {name: mean(values) for name, values in per_user.items()}


def mean(values: F64) -> float:
    """Mean over those who have a value; NaN where nobody has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _intervals(per_user: Mapping[str, F64], config: Evaluation, seed: int) -> dict[str, dict[str, float]]:
    bounds = significance.intervals(per_user, samples=config.bootstrap_samples, seed=seed)
    return {name: {"low": low, "high": high} for name, (low, high) in bounds.items()}


def plain_values(value: Any) -> Any:
    """Rounded numbers, None for NaN: what JSON can hold, and no noise of the last binary digit in a release's digest."""
    if isinstance(value, Mapping):
        return {key: plain_values(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain_values(inner) for inner in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value
