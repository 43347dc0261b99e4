"""A short reason from facts: the user's own rhythm, this week's offers, what goes with what they buy, what others buy."""

from collections.abc import Iterator

import numpy as np

from cortex_rec.arrays import DAY, I32, I64
from cortex_rec.encoding import Encoded
from cortex_rec.histories import Histories
from cortex_rec.queries import Queries
from cortex_rec.retrieval.copurchase import Copurchase, history_weight
from cortex_rec.snapshot import Snapshot

#: Reasons an item, the most personal first.
MOST = 3
NOTHING = np.zeros(0, np.int32)


def reasons(i: int, items: I32, queries: Queries, snapshot: Snapshot, data: Encoded, basket: I32 = NOTHING) -> list[tuple[str, ...]]:
    """Why each item is recommended to query `i`: one to three sentences, each true of the data at the query's moment.

    Parameters
    ----------
    i
        Position of the query.
    items
        (n,) int32 item rows.
    basket
        (m,) int32 rows of what lies in the basket now: the last basket of the query's history, chosen but not yet bought.
    """
    facts = _Facts(i, queries, snapshot, data, basket)
    return [tuple(facts.of(int(item)))[:MOST] for item in items]


class _Facts:
    """What is known about one user, and how to say it of an item."""

    def __init__(self, i: int, queries: Queries, snapshot: Snapshot, data: Encoded, basket: I32) -> None:
        self.queries, self.snapshot, self.data = queries, snapshot, data
        self.basket = set(basket.tolist())
        own = slice(queries.items_pointer[i], queries.items_pointer[i + 1])
        pairs = queries.items
        self.bought = {int(item): entry for entry, item in enumerate(pairs.member[own], start=own.start)}
        self.items = pairs.member[own]
        self.weight = history_weight(queries)[own]
        self.store = int(queries.store[i])
        self.liked = _baskets_by_group(queries.histories, i, data.catalogue.codes["subcategory"], unbought=len(basket) > 0)
        offers = snapshot.promotions
        here = (offers.store == self.store) | (offers.store < 0)
        self.displayed = set(offers.item[here & (offers.display > 0)].tolist())
        self.mailed = set(offers.item[here & (offers.mailer > 0)].tolist())

    def of(self, item: int) -> Iterator[str]:
        yield from self._own(item)
        yield from self._offer(item)
        yield from self._companion(item)
        yield from self._group(item)
        yield self._others(item)

    def _own(self, item: int) -> Iterator[str]:
        entry = self.bought.get(item)
        if entry is None:
            return
        pairs = self.queries.items
        ago = _ago((self.queries.as_of - int(pairs.last[entry])) / DAY)
        baskets = int(pairs.baskets[entry])
        if baskets == 1:
            yield f"you bought it once, {ago}"
        else:
            gap = (int(pairs.last[entry]) - int(pairs.first[entry])) / DAY / (baskets - 1)
            yield f"you bought it {baskets} times, {_every(gap)}, last {ago}"

    def _offer(self, item: int) -> Iterator[str]:
        where = [name for name, offered in (("on display", self.displayed), ("in the mailer", self.mailed)) if item in offered]
        if where:
            yield f"{' and '.join(where)} in your store this week"

    def _companion(self, item: int) -> Iterator[str]:
        copurchase = self.snapshot.union.retrievers["copurchase"]
        if not isinstance(copurchase, Copurchase) or len(self.items) == 0:
            return
        pull = np.where(copurchase.neighbours[self.items] == item, copurchase.weights[self.items], 0).sum(axis=1) * self.weight
        companion = int(self.items[np.argmax(pull)])
        if pull.max() > 0 and companion != item and self.data.catalogue.titles[companion]:
            known_by = "which is in your basket" if companion in self.basket else "which you bought"
            yield f"goes with {self.data.catalogue.titles[companion]}, {known_by}"

    def _group(self, item: int) -> Iterator[str]:
        code = self.data.catalogue.codes["subcategory"][item]
        if code >= 0 and self.liked[code] >= 3 and item not in self.bought:
            name = self.data.catalogue.names["subcategory"][code]
            yield f"you bought {name.capitalize()} {int(self.liked[code])} times"

    def _others(self, item: int) -> str:
        sold = int(self.snapshot.statistics.lines[item, 1])
        if sold == 0:
            return "in the catalogue, not sold in the last four weeks"
        return f"sold {'once' if sold == 1 else f'{sold:,} times'} in the last four weeks"


def _baskets_by_group(histories: Histories, i: int, code: I32, *, unbought: bool) -> I64:
    """(n_groups,) int64 numbers of a user's baskets that hold something of each group; the last one is left out if `unbought`."""
    own = slice(histories.pointer[i], histories.pointer[i + 1])
    group, basket = code[histories.item[own]].astype(np.int64), histories.basket[own]
    counted = (group >= 0) & (basket < basket.max(initial=0) if unbought else basket >= 0)
    width = int(code.max(initial=-1)) + 1
    pairs = np.unique(basket[counted] * width + group[counted])
    return np.bincount(pairs % max(width, 1), minlength=width)


def _ago(days: float) -> str:
    """How long ago, as a person says it."""
    rounded = round(days)
    if rounded < 1:
        return "in the past day"
    return "a day ago" if rounded == 1 else f"{rounded} days ago"


def _every(days: float) -> str:
    """A rhythm, as a person says it."""
    rounded = round(days)
    if rounded < 1:
        return "more than once a day"
    return "about every day" if rounded == 1 else f"about every {rounded} days"
