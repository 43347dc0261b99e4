"""Whether the probabilities that come with the ranking are true: of a hundred candidates at 5 %, five should be bought."""

from typing import Any, Final

import numpy as np

from cortex_rec.arrays import F32, F64, I64, Array, Bool, owners, pointers, ratio, sums
from cortex_rec.evaluation import significance
from cortex_rec.evaluation.metrics import auc_per_user

#: Bins of as many candidates each that the expected calibration error is taken over: of all, and of the few that are shown first.
BINS: Final = 20
BINS_SHOWN: Final = 10
#: Where one step of the reliability curve ends and the next begins: most probabilities are small, so the steps grow with them.
STEPS: Final = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
#: The log loss of a probability of exactly 0 or 1 that proves wrong would be infinite: it counts as this far from it.
LEAST: Final = 1e-6


def describe(pointer: I64, probabilities: F32, relevant: Bool, *, shown: int, samples: int, seed: int) -> dict[str, Any]:
    """How far calibrated probabilities can be trusted, every candidate counting once.

    Parameters
    ----------
    pointer
        (n_users + 1,) int64; the candidates of user `u`, best first, are `pointer[u]:pointer[u + 1]`.
    probabilities
        (n_candidates,) float32; a candidate with NaN is left out.
    relevant
        (n_candidates,) bool, whether the user bought it.
    shown
        How many candidates of a list are judged apart, as those that a person would see.
    samples, seed
        Of the bootstrap over users.

    Returns
    -------
    dict
        The keys that `docs/evaluation.md` lists under `calibration`. NaN where there is nothing to count.
    """
    known, owner, n_users = ~np.isnan(probabilities), owners(pointer), len(pointer) - 1
    first = (np.arange(len(owner)) - pointer[owner] < shown)[known]
    owner, likely, bought = owner[known], probabilities[known].astype(np.float64), relevant[known].astype(np.float64)
    counts = np.bincount(owner, minlength=n_users)
    users = int(np.count_nonzero(counts))

    # Every figure is a ratio of sums over users: resampling the users' sums gives the intervals of all of them.
    of_all = [sums(owner, weight, n_users) for weight in (np.ones(len(owner)), bought, log_loss(likely, bought), (likely - bought) ** 2)]
    of_first = [sums(owner, weight * first, n_users) for weight in (likely, bought)]
    of_steps = _by_step(owner, likely, bought, n_users)
    columns = np.column_stack([*of_all, *of_first, of_steps])
    total = columns.sum(axis=0)
    drawn = significance.resampled_means(columns, samples=samples, seed=seed)

    auc = auc_per_user(pointers(counts), likely.astype(np.float32), bought > 0)
    figures = {"auc": float(np.nanmean(auc)) if np.isfinite(auc).any() else np.nan}
    figures |= {name: float(value) for name, value in _ratios(total).items()}
    intervals = {"auc": significance.intervals({"": auc}, samples=samples, seed=seed)[""]}
    intervals |= {name: significance.bounds(values) for name, values in _ratios(drawn).items()}
    base = figures["base_rate"]
    per_user = {"expected": total[4] / users, "bought": total[5] / users} if users else {"expected": np.nan, "bought": np.nan}
    return {
        "users": users,
        "candidates": len(likely),
        **{name: figures[name] for name in ("base_rate", "auc", "log_loss", "brier")},
        "intervals": {name: _range(intervals[name]) for name in ("base_rate", "auc", "log_loss", "brier")},
        "constant": {"log_loss": float(log_loss(np.array(base), np.array(base))), "brier": base * (1 - base)},
        **expected_error(likely, bought, BINS),
        f"top_{shown}": {
            **{name: float(value) for name, value in per_user.items()},
            "ratio": figures["ratio"],
            "intervals": {"ratio": _range(intervals["ratio"])},
            **expected_error(likely[first], bought[first], BINS_SHOWN),
        },
        "curve": _curve(total[6:], drawn[:, 6:]),
    }


def expected_error(likely: F64, bought: F64, bins: int) -> dict[str, float]:
    """The expected calibration error over bins of equal mass, and what chance would make of it.

    Parameters
    ----------
    likely, bought
        (n,) probabilities, and 1 where bought, else 0.

    Returns
    -------
    dict
        `ece`; `ece_by_chance`, what it would be on average if every probability were true and purchases independent; `bins`.

    Source
    ------
    Nixon et al. 2019, Measuring calibration in deep learning; Bröcker and Smith 2007, Increasing the reliability of reliability diagrams.
    """
    bin_of = equal_mass(likely, bins)
    distance = np.abs(sums(bin_of, likely - bought, bins))
    # The mean distance of a normal variable from its mean is its deviation times this root.
    deviation = np.sqrt(2 / np.pi * sums(bin_of, likely * (1 - likely), bins))
    n = len(likely)
    return {"ece": float(distance.sum() / n) if n else np.nan, "ece_by_chance": float(deviation.sum() / n) if n else np.nan, "bins": bins}


def equal_mass(values: F64, bins: int) -> I64:
    """Bins of about as many values each, 0 the smallest; equal values share the bin of the middle one of them.

    Returns
    -------
    I64
        (n,) in [0, bins).
    """
    _, run, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count + 1) / 2
    bin_of: I64 = (middle * bins / max(len(values), 1)).astype(np.int64)[run]
    return bin_of


def log_loss(likely: F64, bought: F64) -> F64:
    """-log of the probability that was given to what happened."""
    safe = np.clip(likely, LEAST, 1 - LEAST)
    loss: F64 = -(bought * np.log(safe) + (1 - bought) * np.log1p(-safe))
    return loss


def _ratios(columns: F64) -> dict[str, F64]:
    """Figures from sums over users, along the last axis."""
    number, bought, log, brier, expected_first, bought_first = (columns[..., place] for place in range(6))
    return {
        "base_rate": _divide(bought, number),
        "log_loss": _divide(log, number),
        "brier": _divide(brier, number),
        "ratio": _divide(expected_first, bought_first),
    }


def _by_step(owner: I64, likely: F64, bought: F64, n_users: int) -> F64:
    """(n_users, 3 n_steps) candidates of each step of the curve, their probabilities and their purchases, summed."""
    n = len(STEPS) - 1
    place = owner * n + np.searchsorted(STEPS[1:-1], likely, side="right")
    return np.concatenate(
        [sums(place, weight, n_users * n).reshape(n_users, n) for weight in (np.ones(len(owner)), likely, bought)], axis=1
    )


def _curve(total: F64, drawn: F64) -> list[dict[str, Any]]:
    number, expected, bought = np.split(total, 3)
    drawn_number, _, drawn_bought = np.split(drawn, 3, axis=1)
    shares = _divide(drawn_bought, drawn_number)
    return [
        {
            "from": STEPS[step],
            "to": STEPS[step + 1],
            "candidates": int(number[step]),
            "predicted": float(expected[step] / number[step]),
            "bought": float(bought[step] / number[step]),
            **_range(significance.bounds(shares[:, step])),
        }
        for step in np.flatnonzero(number)
    ]


def _divide(top: Array, bottom: Array) -> F64:
    return ratio(np.ravel(top), np.ravel(bottom)).reshape(np.shape(top))


def _range(bounds: tuple[float, float]) -> dict[str, float]:
    return dict(zip(("low", "high"), bounds, strict=True))
