"""How this item sells, everywhere, in the user's store and on offer; and when it is asked."""

from datetime import UTC, datetime

import numpy as np

from cortex_rec.arrays import F32, I32, Array, Ragged
from cortex_rec.catalogue import Promotions
from cortex_rec.features.statistics import Statistics
from cortex_rec.queries import Queries


def features(lists: Ragged, statistics: Statistics) -> dict[str, F32]:
    """Popularity in several windows and its trend, who tried it lately, habit of buying again, price against its usual and its group's."""
    item = lists.item
    week, month, quarter = statistics.lines[item].T
    price, recent_price = statistics.price[item], statistics.recent_price[item]
    columns: dict[str, Array] = {
        "item_lines_7": week,
        "item_lines_28": month,
        "item_lines_91": quarter,
        "item_buyers_7": statistics.buyers[item, 0],
        "item_buyers_28": statistics.buyers[item, 1],
        "item_buyers_91": statistics.buyers[item, 2],
        "item_trials_7": statistics.trials[item, 0],
        "item_trials_28": statistics.trials[item, 1],
        "item_trend_short": (4 * week + 1) / (month + 1),
        "item_trend_long": (3.25 * month + 1) / (quarter + 1),
        "item_days_listed": statistics.days_listed[item],
        "item_days_idle": statistics.days_idle[item],
        "item_repeat_share": statistics.repeat_share[item],
        "item_gap": statistics.gap_days[item],
        "item_price": price,
        "item_price_change": recent_price / np.maximum(price, 0.01),
        "item_price_in_group": price / np.maximum(statistics.group_price[item], 0.01),
        "item_discount": statistics.discount[item],
        "item_recent_discount": statistics.recent_discount[item],
        "item_share_of_group": month / np.maximum(statistics.group_lines[item], 1),
    }
    return {name: values.astype(np.float32) for name, values in columns.items()}


def in_store(queries: Queries, lists: Ragged, statistics: Statistics) -> dict[str, F32]:
    """What the user's store sells of it, lately too, and whether that is more than elsewhere."""
    if len(statistics.store_total) == 0:
        return {}
    store = queries.store[lists.owner]
    lines, lately = statistics.in_store(store, lists.item)
    local = lines / np.maximum(statistics.store_total[store], 1)
    everywhere = statistics.lines[lists.item, 1] / np.maximum(statistics.store_total.sum(), 1)
    return {
        "store_lines": lines,
        "store_lines_7": lately,
        "store_share": local.astype(np.float32),
        "store_lift": ((local + 1e-6) / (everywhere + 1e-6)).astype(np.float32),
    }


def on_offer(queries: Queries, lists: Ragged, promotions: Promotions, n_stores: int) -> dict[str, F32]:
    """Display and mailer of the week in the user's store, and in what share of the stores it is on offer; absent without promotions."""
    if promotions.empty:
        return {}
    places = promotions.places
    here = places.find(queries.store[lists.owner], lists.item)
    return {
        "offer_display": np.where(here >= 0, promotions.display[here], 0).astype(np.float32),
        "offer_mailer": np.where(here >= 0, promotions.mailer[here], 0).astype(np.float32),
        "offer_here": (here >= 0).astype(np.float32),
        "offer_stores": _share(places.stores, lists.item, n_stores),
        "offer_mailed_stores": _share(places.mailed, lists.item, n_stores),
    }


def calendar(queries: Queries, lists: Ragged) -> dict[str, F32]:
    """Where in the month the moment lies: pay days and the end of the month."""
    day = datetime.fromtimestamp(queries.as_of, UTC).day
    return {"day_of_month": np.full(len(lists.item), day, np.float32)}


def _share(stores: F32, item: I32, n_stores: int) -> F32:
    """(n,) float32 share of the stores that the offers of an item hold in, 0 for an item that no offer names."""
    named = np.where(item < len(stores), stores[np.minimum(item, len(stores) - 1)], np.float32(0))
    share: F32 = np.minimum(named / np.float32(max(n_stores, 1)), np.float32(1))
    return share
