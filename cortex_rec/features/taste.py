"""Which brands this user buys in the item's subcategory and category, and at what prices."""

from dataclasses import dataclass

import numpy as np

from cortex_rec.arrays import F32, F64, I64, NO_ROW, Array, Ragged, find, ratio, sums
from cortex_rec.catalogue import Catalogue
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
        group = _match(bought, asked)
        of_brand = _match(_key(bought, n_brands, of_pair), _key(asked, n_brands, of_item))
        share = ratio(of_brand.taken(of_brand.total(weight), 0.0), group.taken(group.total(weight)))
        columns[f"taste_brand_in_{name}"] = np.where(of_item >= 0, share, np.nan)
        if name == "subcategory":
            columns |= _prices(queries, weight, group, statistics.price[lists.item], statistics.recent_price[lists.item])
    return {name: values.astype(np.float32) for name, values in columns.items()}


@dataclass(frozen=True)
class _Match:
    """Groups of (user, item) pairs: `of` is each pair's, `at` each candidate's, -1 where the user has no pair in it; `n` how many."""

    of: I64
    at: I64
    n: int

    def total(self, weight: Array) -> F64:
        """(n,) float64 sums over the pairs of each group, in their order."""
        return sums(self.of, weight, self.n)

    def taken(self, values: F64, missing: float = np.nan) -> F64:
        """(n_candidates,) float64 of each candidate's group."""
        found: F64 = np.append(values, missing)[self.at]
        return found


def _match(bought: Array, asked: Array) -> _Match:
    keys, of = np.unique(bought, return_inverse=True)
    return _Match(of, np.where(asked >= 0, find(keys, asked), NO_ROW), len(keys))


def _prices(queries: Queries, weight: F64, group: _Match, price: F32, recent: F32) -> dict[str, Array]:
    """The item's price over the user's mean price in its subcategory; this week's over those of its cheapest and its dearest item."""
    paid = queries.paid
    known = np.isfinite(paid)
    mean = ratio(group.total(np.where(known, weight * paid, 0.0)), group.total(weight * known))
    cheapest, dearest = np.full(group.n, np.inf), np.full(group.n, -np.inf)
    np.minimum.at(cheapest, group.of[known], paid[known])
    np.maximum.at(dearest, group.of[known], paid[known])
    priced = np.isfinite(cheapest)
    cheapest, dearest = np.where(priced, cheapest, np.nan), np.where(priced, dearest, np.nan)
    return {
        "taste_price": price / np.maximum(group.taken(mean), 0.01),
        "taste_price_to_cheapest": recent / np.maximum(group.taken(cheapest), 0.01),
        "taste_price_to_dearest": recent / np.maximum(group.taken(dearest), 0.01),
    }


def _key(of: Array, width: int, member: Array) -> Array:
    """Number of a member within a group, -1 where either is unknown."""
    return np.where((of >= 0) & (member >= 0), of * width + member, NO_ROW)
