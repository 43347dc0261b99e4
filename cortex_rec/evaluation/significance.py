"""How far a mean over users may lie from the truth: the bootstrap over users, paired where two systems are compared."""

from collections.abc import Mapping

import numpy as np

from cortex_rec.arrays import F64

#: numbers drawn at once, to bound memory
_BLOCK = 4_000_000


def intervals(values: Mapping[str, F64], *, samples: int, seed: int, level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of means over users.

    Parameters
    ----------
    values
        Per-user values (n_users,) by name; NaN users are left out of their mean. All names are drawn with the same
        users, so that the interval of a difference of two systems' values is a paired one.
    samples
        Number of resamples.
    seed
        Decides the resamples.
    level
        Share of the resampled means between the two bounds.

    Returns
    -------
    dict
        (low, high) by name; NaN where no user has a value.
    """
    means = resampled_means(np.column_stack(list(values.values())), samples=samples, seed=seed)
    return {name: bounds(means[:, column], level) for column, name in enumerate(values)}


def lift(system: F64, baseline: F64, *, samples: int, seed: int, level: float = 0.95) -> tuple[float, float, float]:
    """Relative gain of one mean over another, `mean(system) / mean(baseline) - 1`, with its paired interval.

    Parameters
    ----------
    system, baseline
        (n_users,) values of the same users.
    samples, seed, level
        As for `intervals`.

    Returns
    -------
    tuple
        Value, low, high; NaN where the baseline's mean is 0.
    """
    pair = np.column_stack([system, baseline])
    known = ~np.isnan(pair).any(axis=1)
    if not known.any() or pair[known, 1].sum() == 0:
        return np.nan, np.nan, np.nan
    means = resampled_means(pair[known], samples=samples, seed=seed)
    drawn = means[means[:, 1] > 0]
    value = float(pair[known, 0].sum() / pair[known, 1].sum() - 1)
    return value, *bounds(drawn[:, 0] / drawn[:, 1] - 1, level)


def resampled_means(values: F64, *, samples: int, seed: int) -> F64:
    """Means (samples, n_columns) of the columns of `values` (n_users, n_columns), each over as many users drawn with replacement."""
    generator = np.random.default_rng(seed)
    n_users = len(values)
    if n_users == 0:
        return np.full((samples, values.shape[1]), np.nan)
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    means = np.empty((samples, values.shape[1]))
    block = max(1, _BLOCK // n_users)
    for start in range(0, samples, block):
        count = min(block, samples - start)
        drawn = generator.integers(0, n_users, (count, n_users)) + np.arange(count)[:, None] * n_users
        times = np.bincount(drawn.ravel(), minlength=count * n_users).reshape(count, n_users).astype(np.float64)
        total, users = times @ filled, times @ known
        means[start : start + count] = np.divide(total, users, out=np.full_like(total, np.nan), where=users > 0)
    return means


def bounds(means: F64, level: float = 0.95) -> tuple[float, float]:
    """(low, high) that hold this share of the resampled figures between them; NaN ones are left out."""
    usable = means[~np.isnan(means)]
    if len(usable) == 0:
        return np.nan, np.nan
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
