"""Which brands this user buys in the item's subcategory and category, and at what prices."""

import numpy as np

from cortex_rec.arrays import F32, F64, NO_ROW, Array, Ragged, find, ratio, sums
from cortex_rec.catalogue import Catalogue
from cortex_rec.features.groups import mean_of
from cortex_rec.features.statistics import Statistics
from cortex_rec.queries import Queries

HALF_LIFE_DAYS = 90.0


def features(queries: Queries, lists: Ragged, catalogue: Catalogue, statistics: Statistics) -> dict[str, F32]:
    """The share of the item's brand in what the user buys there, and the item's price over what the user pays there.

    NaN where the user bought nothing, or the item has no such group, brand or price.
    """
    pairs, weight = queries.items, queries.weights(HALF_LIFE_DAYS)
    owner, brand, n_brands = lists.owner, catalogue.codes["brand"], len(catalogue.names["brand"])
    of_pair, of_item = brand[pairs.member], brand[lists.item]
    columns: dict[str, Array] = {}
    for name in ("subcategory", "category"):
        code, width = catalogue.codes[name], len(catalogue.names[name])
        bought, asked = _key(pairs.owner, width, code[pairs.member]), _key(owner, width, code[lists.item])
        whole = _at(bought, weight, asked, np.nan)
        own = _at(_key(bought, n_brands, of_pair), weight, _key(asked, n_brands, of_item), 0.0)
        columns[f"taste_brand_in_{name}"] = np.where(of_item >= 0, ratio(own, whole), np.nan)
        if name == "subcategory":
            columns |= _prices(queries, weight, bought, asked, statistics.price[lists.item], statistics.recent_price[lists.item])
    return {name: values.astype(np.float32) for name, values in columns.items()}


def _prices(queries: Queries, weight: F64, bought: Array, asked: Array, price: F32, recent: F32) -> dict[str, Array]:
    """The item's price over the user's mean price in its subcategory; this week's over those of its cheapest and its dearest item."""
    paid = mean_of(queries.histories.price, queries.items)
    known = np.isfinite(paid)
    paid, weight = paid[known], weight[known]
    keys, of = np.unique(bought[known], return_inverse=True)
    at = np.where(asked >= 0, find(keys, asked), NO_ROW)
    mean, cheapest, dearest = (np.full(len(keys) + 1, start) for start in (0.0, np.inf, -np.inf))
    mean[:-1] = ratio(sums(of, weight * paid, len(keys)), sums(of, weight, len(keys)))
    np.minimum.at(cheapest, of, paid)
    np.maximum.at(dearest, of, paid)
    # What is not there is found at the end.
    mean[-1] = cheapest[-1] = dearest[-1] = np.nan
    return {
        "taste_price": price / np.maximum(mean[at], 0.01),
        "taste_price_to_cheapest": recent / np.maximum(cheapest[at], 0.01),
        "taste_price_to_dearest": recent / np.maximum(dearest[at], 0.01),
    }


def _key(of: Array, width: int, member: Array) -> Array:
    """Number of a member within a group, NO_ROW where either is unknown."""
    return np.where((of >= 0) & (member >= 0), of * width + member, NO_ROW)


def _at(keys: Array, weight: F64, wanted: Array, missing: float) -> F64:
    """(len(wanted),) float64 sum of the weights of each key, in their order; `missing` where the key does not occur."""
    distinct, of = np.unique(keys, return_inverse=True)
    total = sums(of, weight, len(distinct))
    at = find(distinct, wanted)
    found: F64 = np.where((at >= 0) & (wanted >= 0), total[at] if len(total) else missing, missing)
    return found
