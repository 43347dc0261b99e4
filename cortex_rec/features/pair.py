"""What this user did with this item, and with the groups that it belongs to."""

import numpy as np

from cortex_rec.arrays import DAY, F32, F64, I64, Array, Ragged, sums
from cortex_rec.catalogue import GROUPS, Catalogue
from cortex_rec.features.groups import group, mean_of
from cortex_rec.features.statistics import Statistics
from cortex_rec.features.timing import decay, gap_spread, recent, timing
from cortex_rec.queries import Queries


def item_features(queries: Queries, lists: Ragged, statistics: Statistics) -> dict[str, F32]:
    """Repeat timing, quantities and prices of the (user, item) pair; NaN for items that the user never bought."""
    pairs = queries.items
    entry = pairs.find(lists.owner, lists.item)
    when = timing(pairs, queries)
    baskets = queries.histories.baskets
    since = baskets[pairs.owner] - 1 - pairs.last_basket
    before_first = _first_basket(queries)
    usual_gap = statistics.gap_days[pairs.member]
    latest = queries.histories.time == pairs.last[pairs.of_event]
    columns: dict[str, Array] = {
        "pair_baskets": pairs.baskets,
        "pair_since_last": when.since_last,
        "pair_since_first": when.since_first,
        "pair_gap": when.gap,
        "pair_due": when.due,
        "pair_due_by_item": when.since_last / usual_gap,
        "pair_gap_spread": gap_spread(pairs, queries),
        "pair_lines_7": recent(pairs, queries, 7),
        "pair_lines_28": recent(pairs, queries, 28),
        "pair_lines_91": recent(pairs, queries, 91),
        "pair_decay_14": decay(pairs, queries, 14),
        "pair_decay_45": decay(pairs, queries, 45),
        "pair_decay_150": decay(pairs, queries, 150),
        "pair_baskets_since": since,
        "pair_basket_share": pairs.baskets / np.maximum(baskets[pairs.owner] - before_first, 1),
        "pair_basket_due": since * pairs.baskets / np.maximum(baskets[pairs.owner] - before_first, 1),
        "pair_quantity": mean_of(queries.histories.quantity, pairs),
        "pair_last_quantity": mean_of(np.where(latest, queries.histories.quantity, np.float32(np.nan)).astype(np.float32), pairs),
        "pair_discount": mean_of(queries.histories.discount, pairs),
        "pair_price_ratio": statistics.recent_price[pairs.member] / np.maximum(queries.paid, 0.01),
    }
    return _gather(columns, entry)


def group_features(queries: Queries, lists: Ragged, catalogue: Catalogue) -> dict[str, F32]:
    """The same for the item's department, category, subcategory and brand, and the item's share of the user's subcategory."""
    result: dict[str, F32] = {}
    owner = lists.owner
    total = np.bincount(queries.histories.owner, np.exp2(-queries.age / 60), len(queries))
    pairs = queries.items
    own = np.append(decay(pairs, queries, 60).astype(np.float32), np.float32(0))[pairs.find(owner, lists.item)]
    tried = (queries.as_of - pairs.first <= 28 * DAY).astype(np.float64)
    for name in GROUPS:
        code = catalogue.codes[name]
        groups = group(queries.histories, code[queries.histories.item], len(catalogue.names[name]))
        entry = groups.find(owner, code[lists.item])
        when = timing(groups, queries)
        weight = decay(groups, queries, 60)
        of_pair = groups.find(pairs.owner, code[pairs.member])
        grouped = of_pair >= 0
        found = _gather(
            {
                "share": weight / np.maximum(total[groups.owner], 1e-9),
                "since_last": when.since_last,
                "gap": when.gap,
                "due": when.due,
                "lines_28": recent(groups, queries, 28),
                "items": np.bincount(of_pair[grouped], minlength=len(groups)),
                "trials_28": sums(of_pair[grouped], tried[grouped], len(groups)),
                "own_share": weight,
            },
            entry,
        )
        found["own_share"] = (own / np.maximum(found["own_share"], 1e-9)).astype(np.float32)
        result |= {f"{name}_{feature}": values for feature, values in found.items()}
    return result


def _gather(columns: dict[str, Array], entry: I64) -> dict[str, F32]:
    """The columns' values of entries, NaN where there is none."""
    values = np.stack(list(columns.values()), dtype=np.float32, casting="same_kind")
    missing = np.full((len(values), 1), np.nan, np.float32)
    return dict(zip(columns, np.concatenate([values, missing], axis=1)[:, entry], strict=True))


def _first_basket(queries: Queries) -> F64:
    """(n_entries,) float64 number of the basket in which each item was first bought."""
    first = np.full(len(queries.items), np.inf)
    np.minimum.at(first, queries.items.of_event, queries.histories.basket.astype(np.float64))
    return first
