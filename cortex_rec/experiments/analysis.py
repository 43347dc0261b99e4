"""Who won, and what must be said with it: every metric at every day, guardrails, slices, and what makes all of it doubtful."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.special import ndtr

from cortex_rec.arrays import F64
from cortex_rec.experiments.config import Experiment
from cortex_rec.experiments.estimates import FEWEST, Estimates, Followed, alone, compare
from cortex_rec.experiments.outcomes import METRICS, Outcomes
from cortex_rec.experiments.past import SLICES
from cortex_rec.experiments.ratio_check import check
from cortex_rec.experiments.sequential import ALPHA, anytime, bounds

#: With fewer people than this in an arm, the interval that has no end has no beginning either: what is to come cannot be foreseen.
_FORESEEN: Final = 2 * FEWEST


def analyse(experiment: Experiment, found: Outcomes, before: F64, slices: Sequence[str]) -> dict[str, Any]:
    """Everything that the report tells.

    Parameters
    ----------
    before, slices
        `past.past_of` the people.

    Returns
    -------
    dict
        Plain JSON values; a figure that nothing tells is None.
    """
    metrics = [name for name in METRICS if name in found.by_day]
    others = [arm.name for arm in experiment.arms[1:]]
    alpha = ALPHA / max(1, len(others))
    result: dict[str, Any] = {
        "experiment": experiment.name,
        "kind": experiment.kind,
        "primary": experiment.primary,
        "control": experiment.arms[0].name,
        "start": found.start,
        "days": found.days.shape[1],
        "planned_days": experiment.days,
        "people": len(found.users),
        "warnings": list(found.warnings),
        "ratio": None,
        "comparisons": [],
    }
    if experiment.kind == "ab" and len(experiment.arms) > 1:
        ratio = check(np.bincount(found.arm, minlength=len(experiment.arms)).tolist(), [arm.share for arm in experiment.arms])
        result["ratio"] = {"people": ratio.people, "expected": ratio.expected, "p": ratio.p, "broken": ratio.broken}
        if ratio.broken:
            have, due = " and ".join(f"{n:,}" for n in ratio.people), " and ".join(f"{n:,.0f}" for n in ratio.expected)
            result["warnings"].append(
                f"The arms have {have} people where {due} were to be expected (p = {ratio.p:.1g}): people are lost or counted twice in one "
                "of them. No verdict until that is found."
            )
    for place, name in enumerate(others, start=1):
        rows = [_metric(experiment, found, before, place, metric, alpha) for metric in metrics]
        compared = {"arm": name, "metrics": rows, "slices": _slices(experiment, found, before, slices, place)}
        result["comparisons"].append(compared | _verdict(experiment, rows, result))
    return result


def _series(experiment: Experiment, found: Outcomes, before: F64, place: int, metric: str, keep: Any = slice(None)) -> Estimates:
    value = found.by_day[metric].cumsum(axis=1)[keep]
    days = found.days[keep]
    if experiment.kind == "interleaving":
        return alone(value, days)
    ours = np.isin(found.arm[keep], [0, place])
    return compare(Followed(value[ours], days[ours], found.arm[keep][ours] == place, before[keep][ours]))


def _metric(experiment: Experiment, found: Outcomes, before: F64, place: int, metric: str, alpha: float) -> dict[str, Any]:
    series = _series(experiment, found, before, place, metric)
    information, error = series.information, np.sqrt(series.variance)
    bound = bounds(information, experiment.days, alpha).bound
    known = np.isfinite(bound)
    width = np.full(len(bound), np.inf)
    width[known] = bound[known] * error[known]
    enough = np.flatnonzero((series.users.min(axis=1) >= _FORESEEN) & (information > 0))
    always = np.full(len(width), np.inf)
    if len(enough):
        planned = information[enough[0]] * experiment.days / (enough[0] + 1)
        always[enough[0] :] = anytime(information[enough[0] :], planned, alpha)
    crossed = np.flatnonzero(np.abs(np.nan_to_num(series.difference)) > width)
    # What has been decided stays so: after the planned end, and when a later interval is wider.
    last = int(crossed[0]) if len(crossed) else min(len(width), experiment.days) - 1
    better = METRICS[metric][1]
    return {
        "metric": metric,
        "told": METRICS[metric][0],
        "more_is_better": better,
        "allowed_loss": experiment.guardrails.get(metric),  # type: ignore[call-overload]
        "users": series.users[-1].tolist(),
        "control": _plain(series.control[-1]),
        "difference": _plain(series.difference[last]),
        "low": _plain(series.difference[last] - width[last]),
        "high": _plain(series.difference[last] + width[last]),
        "base": _plain(series.control[last]),
        "reduction": _plain(series.reduction[-1]),
        "decided_on": int(crossed[0]) + 1 if len(crossed) else None,
        "daily": {
            "difference": [_plain(each) for each in series.difference],
            "planned": [_plain(each) for each in width],
            "always": [_plain(each) for each in always],
        },
    }


def _verdict(experiment: Experiment, rows: Sequence[dict[str, Any]], result: dict[str, Any]) -> dict[str, Any]:
    primary = next(row for row in rows if row["metric"] == experiment.primary)
    if primary["difference"] is None:
        result["warnings"].append(f"Fewer than {FEWEST} people in an arm: nothing can be said yet.")
    guarded = {row["metric"]: _guarded(row) for row in rows if row["allowed_loss"] is not None and row["metric"] != experiment.primary}
    if primary["difference"] is None or (result["ratio"] is not None and result["ratio"]["broken"]):
        verdict = "none"
    elif primary["decided_on"] is not None:
        verdict = "better" if primary["difference"] > 0 else "worse"
    else:
        verdict = "running" if result["days"] < experiment.days else "no difference found"
    return {"verdict": verdict, "decided_on": primary["decided_on"], "guardrails": guarded}


def _guarded(row: dict[str, Any]) -> str:
    """Whether a metric is known to have lost less than is allowed (`holds`), more (`broken`), or neither (`open`)."""
    if row["low"] is None or row["high"] is None or not row["base"]:
        return "open"
    sign = 1 if row["more_is_better"] else -1
    worst, best = sorted((sign * row["low"] / row["base"], sign * row["high"] / row["base"]))
    return "holds" if worst > -row["allowed_loss"] else "broken" if best < -row["allowed_loss"] else "open"


def _slices(experiment: Experiment, found: Outcomes, before: F64, slices: Sequence[str], place: int) -> list[dict[str, Any]]:
    """The primary metric within each slice as of the last day, as if it were looked at once; p-values by Holm over the slices."""
    label, rows = np.array(slices), []
    for name in SLICES:
        series = _series(experiment, found, before, place, experiment.primary, label == name)
        if len(series.variance) == 0 or not series.variance[-1] > 0:
            continue
        difference, error = float(series.difference[-1]), float(np.sqrt(series.variance[-1]))
        p = float(2 * ndtr(-abs(difference) / error))
        row = {"slice": name, "users": series.users[-1].tolist(), "control": _plain(series.control[-1]), "difference": difference}
        rows.append(row | {"low": difference - 1.96 * error, "high": difference + 1.96 * error, "p": p})
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["holm"] = corrected
    return rows


def holm(p: Sequence[float]) -> list[float]:
    """P-values that may be compared with 0.05 however many there are.

    Source
    ------
    Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    order = np.argsort(p)
    stepped = np.asarray(p, np.float64)[order] * (len(p) - np.arange(len(p)))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(each) for each in corrected]


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
