"""What was bought on a day, beside what was known before: columns, items, people, stores."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import DAY, F32, I32, I64, NO_ROW, Array, distinct, find
from cortex_rec.encoding import Encoded
from cortex_rec.ids import IdMap
from cortex_rec.monitoring.known import Known
from cortex_rec.monitoring.raw import HOURS, NEW, Named, Raw, mean_vector
from cortex_rec.monitoring.signals import Rule

#: Baskets by store: not compared as a distribution, but store by store (`stores.judge`).
SILENCE: Final = "store_baskets"
#: Begins the name of the share of lines whose group or attribute has a value that the release does not know.
NEW_GROUP: Final = "new_value_of_"
RULE: Final = Rule(
    memory=8,
    by_weekday=True,
    untested=(SILENCE,),
    scales={
        "lines": "count", "baskets": "count", "buyers": "count", "busiest_buyer_lines": "count", "longest_silence_baskets": "count",
        "new_buyers": "share", "unlisted_items": "share", "unsold_items": "share", "best_seller_lines": "share",
        "items_a_line": "share", NEW_GROUP: "share",
    },
)  # fmt: skip
#: Items that make the most lines of the week before are its best sellers, so many of them.
_BEST: Final = 100


@dataclass(frozen=True)
class Lines:
    """Purchases, one a row, by the rows of a release's id maps; `NEW` is an id that it lacks, `NO_ROW` none at all.

    Parameters
    ----------
    user, item, store
        (n,) rows.
    who, basket
        (n,) equal for the lines of one buyer, whether or not known, and for those of one basket.
    time
        (n,) int64 seconds.
    quantity, price, discount
        (n,) float32, NaN where unknown.
    groups
        (n,) code of each group and attribute of the item in the release's catalogue.
    """

    user: I64
    item: I64
    store: I64
    who: I64
    basket: I64
    time: I64
    quantity: F32
    price: F32
    discount: F32
    groups: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.user)

    def between(self, start: int, end: int) -> "Lines":
        """Only those in [start, end)."""
        kept = (self.time >= start) & (self.time < end)
        arrays: Any = {field.name: getattr(self, field.name)[kept] for field in fields(self)[:-1]}
        return replace(self, **arrays, groups={name: codes[kept] for name, codes in self.groups.items()})

    def pairs(self, n_items: int) -> I64:
        """Ascending, distinct `user * n_items + item` of the lines whose user and item the release knows."""
        listed = (self.user >= 0) & (self.item >= 0)
        return distinct(self.user[listed] * n_items + self.item[listed])


def of_histories(data: Encoded, start: int, end: int) -> Lines:
    """The purchases in [start, end) that a release's data hold."""
    own = data.histories.between(start, end)
    groups = {name: codes[own.item] for name, codes in data.catalogue.codes.items()}
    basket = own.owner * (int(own.basket.max(initial=0)) + 1) + own.basket
    store = own.store.astype(np.int64)
    return Lines(own.owner, own.item.astype(np.int64), store, own.owner, basket, own.time, own.quantity, own.price, own.discount, groups)


def of_table(bought: pl.DataFrame, items: pl.DataFrame | None, data: Encoded) -> Lines:
    """Purchases as the shop's source or its events tell them.

    Parameters
    ----------
    bought
        Columns of `columns.INTERACTIONS`; a column that is not there is unknown in every line.
    items
        The shop's items as they are now; the release's own groups where absent.
    data
        The release, whose rows are given.
    """
    n, item = bought.height, _rows(bought[columns.ITEM], data.items)
    store = _rows(bought[columns.STORE], data.stores) if columns.STORE in bought.columns else np.full(n, NO_ROW, np.int64)
    basket = pl.struct(columns.USER, *([columns.BASKET] if columns.BASKET in bought.columns else [columns.TIMESTAMP]))

    def floats(name: str) -> F32:
        return bought[name].fill_null(np.nan).to_numpy().astype(np.float32) if name in bought.columns else np.full(n, np.nan, np.float32)

    return Lines(
        _rows(bought[columns.USER], data.users),
        item,
        store,
        bought[columns.USER].rank("dense").to_numpy().astype(np.int64),
        bought.select(basket.rank("dense")).to_series().to_numpy().astype(np.int64) if n else np.zeros(0, np.int64),
        bought[columns.TIMESTAMP].dt.epoch("s").to_numpy(),
        floats(columns.QUANTITY),
        floats(columns.PRICE),
        floats(columns.DISCOUNT),
        _groups(bought[columns.ITEM], item, items, data),
    )


def raw(since: Lines, known: Known, data: Encoded, content: F32, day: int, truth: Known | None = None) -> Raw:
    """A day before it is counted.

    Parameters
    ----------
    since
        All purchases from the moment of `known` to the day's end.
    known
        What the release knew.
    content
        (n_items, d) vectors of what items say and show.
    day
        First second of the day.
    truth
        What the shop's own purchases say of the moment of `known`; without it nothing is said of what is stale.
    """
    own = since.between(day, day + DAY)
    values = _values(own, known)
    named = {"hour": Named(own.time % DAY // 3600, HOURS)}
    if len(data.stores):
        first = np.unique(own.basket, return_index=True)[1]
        named |= {"store": Named(own.store, data.stores.ids.to_list()), SILENCE: Named(own.store[first], data.stores.ids.to_list())}
    named |= {name: Named(codes, data.catalogue.names[name]) for name, codes in own.groups.items()}
    numbers = _numbers(own, since, known, day) | ({} if truth is None else known.skew(truth))
    return Raw(len(own), values, named, numbers, mean_vector("bought", own.item, content))


def _values(own: Lines, known: Known) -> dict[str, Array]:
    usual = known.of_item(known.price, own.item)
    with np.errstate(divide="ignore", invalid="ignore"):
        price_to_usual = np.log2(own.price / usual)
    pair = find(known.pair, np.where((own.user >= 0) & (own.item >= 0), own.user * len(known.lines) + own.item, NO_ROW))
    since_pair = (known.as_of - known.pair_last[pair]) / DAY if len(known.pair) else np.zeros(len(own))
    came = known.buyers(own.user)
    away = np.where(came, known.as_of - known.user_last[np.where(came, own.user, 0)], np.nan) / DAY
    return {
        "price": own.price,
        "price_to_usual": np.where(np.isfinite(price_to_usual), price_to_usual, np.nan),
        "quantity": own.quantity,
        "discount": own.discount,
        "lines_a_basket": np.unique(own.basket, return_counts=True)[1],
        "lines_a_buyer": np.unique(own.who, return_counts=True)[1],
        "days_since_the_buyer_came": away[np.unique(own.who, return_index=True)[1]],
        "days_since_bought_by_the_buyer": np.where(pair >= 0, since_pair, np.nan),
        "item_lines_7": known.of_item(known.lines, own.item),
        "item_days_idle": known.of_item(known.days_idle, own.item),
    }


def _numbers(own: Lines, since: Lines, known: Known, day: int) -> dict[str, float]:
    n, lines = len(own), known.of_item(known.lines, own.item)
    by_buyer = np.unique(own.who, return_counts=True)[1]
    baskets = len(np.unique(own.basket))
    best = np.argsort(-known.lines, kind="stable")[:_BEST]
    surprise = np.log2((known.lines.sum() + len(known.lines)) / (np.nan_to_num(lines) + 1))
    return {
        "lines": n,
        "baskets": baskets,
        "buyers": len(by_buyer),
        "busiest_buyer_lines": float(by_buyer.max(initial=0)),
        "new_buyers": _share(~known.buyers(own.user)),
        "unlisted_items": _share(own.item == NEW),
        "unsold_items": _share((own.item >= 0) & np.isnan(known.of_item(known.days_idle, own.item))),
        "best_seller_lines": _share(np.isin(own.item, best)),
        "items_a_line": len(np.unique(own.item)) / max(n, 1),
        "surprise_bits": float(surprise.mean()) if n else np.nan,
        **{f"{NEW_GROUP}{name}": _share(codes == NEW) for name, codes in own.groups.items()},
        **_silence(since, known, baskets, day),
    }


def _silence(since: Lines, known: Known, baskets: int, day: int) -> dict[str, float]:
    """Baskets that a store should have had since its last line, the most of any store; and lines of new stores."""
    total = known.store_baskets.sum()
    if total == 0:
        return {}
    last, stored = known.store_last.copy(), since.store >= 0
    np.maximum.at(last, since.store[stored], since.time[stored])
    missed = known.store_baskets / total * baskets * (day + DAY - last) / DAY
    longest = float(missed[last < day].max(initial=0.0))
    return {"longest_silence_baskets": longest, "new_stores": _share(since.store[since.time >= day] == NEW)}


def _groups(names: pl.Series, item: I64, items: pl.DataFrame | None, data: Encoded) -> dict[str, Array]:
    """Codes of each line's groups, by the shop's items of now where they are given."""
    catalogue = data.catalogue
    found: dict[str, Array] = {}
    listed = item >= 0
    for name, codes in catalogue.codes.items():
        if items is None or name not in items.columns:
            of_release: I32 = np.where(listed, codes[np.where(listed, item, 0)], NO_ROW).astype(np.int32)
            found[name] = of_release
            continue
        now = names.to_frame(columns.ITEM).join(items.select(columns.ITEM, name), on=columns.ITEM, how="left", maintain_order="left")
        found[name] = _rows(now[name], IdMap(pl.Series(catalogue.names[name], dtype=pl.String)))
    return found


def _rows(names: pl.Series, ids: IdMap) -> I64:
    """Rows of an id map; `NEW` for a name that it lacks, `NO_ROW` for none."""
    rows = ids.rows(names).astype(np.int64)
    return np.where((rows == NO_ROW) & names.is_not_null().to_numpy(), NEW, rows)


def _share(mask: Array) -> float:
    return float(np.mean(mask)) if len(mask) else np.nan
