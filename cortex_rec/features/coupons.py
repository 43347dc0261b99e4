"""The coupons that a user was sent and may still use."""

import numpy as np

from cortex_rec.arrays import DAY, F32, Array, Ragged, ranges, sums
from cortex_rec.catalogue import Catalogue
from cortex_rec.coupons import Coupons, counts
from cortex_rec.queries import Queries


def features(queries: Queries, lists: Ragged, coupons: Coupons, catalogue: Catalogue) -> dict[str, F32]:
    """Coupons for the item, the days left to use one, coupons for its subcategory; absent in a shop without campaigns.

    Parameters
    ----------
    coupons
        Those of the campaigns that are valid at the moment.
    """
    if not coupons.recorded[0]:
        return {}
    first = np.searchsorted(coupons.user, queries.users)
    sent = np.searchsorted(coupons.user, queries.users, side="right") - first
    n = len(lists.item)
    # One entry a candidate and campaign of its user.
    candidate = np.repeat(np.arange(n), sent[lists.owner])
    at = ranges(first[lists.owner], sent[lists.owner])
    campaign, item = coupons.campaign[at], lists.item[candidate]
    group = catalogue.codes["subcategory"][item]
    for_item = counts(coupons.item_key, coupons.item_coupons, campaign, item, queries.n_items)
    for_group = counts(coupons.subcategory_key, coupons.subcategory_items, campaign, group, queries.n_items)
    left = np.full(n, np.inf)
    np.minimum.at(left, candidate[for_item > 0], (coupons.end[at[for_item > 0]] - queries.as_of) / DAY)
    columns: dict[str, Array] = {
        "coupon_count": sums(candidate, for_item, n),
        "coupon_days_left": np.where(np.isinf(left), np.nan, left),
        "coupon_subcategory_items": sums(candidate, for_group, n),
        "coupon_campaigns": sent[lists.owner],
    }
    return {name: values.astype(np.float32) for name, values in columns.items()}
