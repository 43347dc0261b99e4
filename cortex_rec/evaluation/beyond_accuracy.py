"""What the recommendations are like, apart from being right: breadth, variety, surprise, and the pull of best sellers."""

from collections.abc import Mapping

import numpy as np

from cortex_rec.arrays import F32, F64, I32, I64, Bool, Ragged
from cortex_rec.histories import Histories

#: Groups of the catalogue from the best seller down, as shares of all items.
POPULARITY_GROUPS: Mapping[str, float] = {"top 1 %": 0.01, "next 4 %": 0.05, "next 15 %": 0.20, "the other 80 %": 1.0}


def describe(shown: Ragged, *, item_vectors: F32, popularity: I32, sold: Bool, history: Histories) -> dict[str, float | dict[str, float]]:
    """Figures of the lists that users would see.

    Parameters
    ----------
    shown
        The first K items of each user.
    item_vectors
        (n_items, d) float32, comparable by cosine; a zero vector is unlike everything.
    popularity
        (n_items,) order lines of each item in the weeks before.
    sold
        (n_items,) bool, whether anybody ever bought the item before.
    history
        The same users' earlier purchases.

    Returns
    -------
    dict
        `coverage` share of the catalogue that anyone is shown; `diversity` 1 - mean cosine of two items of a list;
        `novelty` mean -log2 of an item's share of sales (add-one smoothed); `head_share` share of places that go to
        the 1 % best sellers and `unsold_share` to items that nobody had bought; `gini` of the places over the catalogue
        (0: all alike, 1: one item takes all); `popularity` mean sales of a shown item and `popularity_ratio` that mean
        against the user's own purchases; `by_popularity` share of places by `POPULARITY_GROUPS`. NaN where there is
        nothing to count.
    """
    n_items = len(popularity)
    exposure = np.bincount(shown.item, minlength=n_items)
    places = exposure.sum()
    share = (popularity + 1) / (popularity.sum() + n_items)
    groups = _by_popularity(exposure, popularity)
    sales = popularity.astype(np.float64)
    of_shown, of_own = _mean_by_list(sales[shown.item], shown.pointer), _mean_by_list(sales[history.item], history.pointer)
    both = ~np.isnan(of_shown) & ~np.isnan(of_own)
    own = of_own[both].sum()
    return {
        "coverage": coverage(shown, n_items),
        "diversity": _mean(_diversity(shown, item_vectors)),
        "novelty": float(-np.log2(share[shown.item]).mean()) if places else np.nan,
        "head_share": next(iter(groups.values())),
        "unsold_share": float(exposure[~sold].sum() / places) if places else np.nan,
        "gini": gini(exposure),
        "popularity": _mean(of_shown),
        "popularity_ratio": float(of_shown[both].sum() / own) if own > 0 else np.nan,
        "by_popularity": groups,
    }


def coverage(shown: Ragged, n_items: int) -> float:
    """Share of a catalogue of `n_items` that anyone is shown."""
    return float(np.count_nonzero(np.bincount(shown.item, minlength=n_items)) / n_items)


def gini(counts: I64) -> float:
    """Gini coefficient of non-negative counts (n,): 0 when all are equal, near 1 when one has everything; NaN without any."""
    total, n = counts.sum(), len(counts)
    if total == 0:
        return float("nan")
    rank = np.arange(1, n + 1)
    return float(((2 * rank - n - 1) * np.sort(counts)).sum() / (n * total))


def _by_popularity(exposure: I64, popularity: I32) -> dict[str, float]:
    total = exposure.sum()
    ordered = np.cumsum(exposure[np.argsort(-popularity, kind="stable")])
    reached = [int(ordered[max(1, round(bound * len(ordered))) - 1]) for bound in POPULARITY_GROUPS.values()]
    return {
        name: float((upper - lower) / total) if total else np.nan
        for name, lower, upper in zip(POPULARITY_GROUPS, [0, *reached], reached, strict=False)
    }


def _diversity(shown: Ragged, item_vectors: F32) -> F64:
    """Per list, 1 - mean cosine of two different entries; NaN for lists of fewer than two."""
    length = np.linalg.norm(item_vectors, axis=1, keepdims=True)
    unit = item_vectors / np.where(length > 0, length, 1)
    counts = np.diff(shown.pointer)
    total = np.zeros((len(shown), item_vectors.shape[1]))
    itself = np.zeros(len(shown))
    # By place, not by list: memory stays at one vector a user however long the lists are.
    for place in range(int(counts.max(initial=0))):
        users = np.flatnonzero(counts > place)
        vectors = unit[shown.item[shown.pointer[users] + place]].astype(np.float64)
        total[users] += vectors
        itself[users] += (vectors**2).sum(axis=1)
    pairs = counts * (counts - 1)
    cosine = ((total**2).sum(axis=1) - itself) / np.where(pairs > 0, pairs, 1)
    return np.where(pairs > 0, 1 - cosine, np.nan)


def _mean_by_list(values: F64, pointer: I64) -> F64:
    """Mean of each list's values; NaN for empty lists."""
    counts = np.diff(pointer)
    sums = np.bincount(np.repeat(np.arange(len(counts)), counts), weights=values, minlength=len(counts))
    means: F64 = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return means


def _mean(values: F64) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
