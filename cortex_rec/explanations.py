"""A short reason from facts: the user's own rhythm, this week's offers, what goes with what they buy, what others buy.

Of what is true of an item, that is said which raised its score, what raised it most first.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from cortex_rec.arrays import DAY, F32, I32, I64, Bool
from cortex_rec.encoding import Encoded
from cortex_rec.features.kinds import KINDS, PRICE
from cortex_rec.histories import Histories
from cortex_rec.queries import Queries
from cortex_rec.retrieval.copurchase import Copurchase, history_weight
from cortex_rec.snapshot import Snapshot

#: Reasons an item.
MOST: Final = 3
#: Cosine from which two items are alike enough to say so.
ALIKE: Final = 0.8
#: Mean discount of the past week from which an item is said to be cheaper.
CHEAPER: Final = 0.05
NOTHING: Final = np.zeros(0, np.int32)
OWN, GOES, OFFER, LIKE, SHELF = "what you buy", "what goes with it", "offers", "what is like it", "your shelves"
NEAR, SALES = "shoppers like you", "how it sells"


def reasons(
    i: int,
    items: I32,
    queries: Queries,
    snapshot: Snapshot,
    data: Encoded,
    basket: I32 = NOTHING,
    near: Bool | None = None,
    added: F32 | None = None,
) -> list[tuple[str, ...]]:
    """Why each item is recommended to query `i`: one to three sentences, each true of the data at the query's moment.

    Parameters
    ----------
    i
        Position of the query.
    items
        (n,) int32 item rows.
    basket
        (m,) int32 rows of what lies in the basket now: the last basket of the query's history, chosen but not yet bought.
    near
        (n,) bool, which of the items the retriever `neighbours` found; none when absent.
    added
        (n, len(KINDS)) float32 what features of each kind add to the item's score; without, the most personal reasons come first.
    """
    facts = _Facts(i, queries, snapshot, data, basket, items, near)
    return [_chosen(facts.of(item), None if added is None else added[place]) for place, item in enumerate(items.tolist())]


def _chosen(told: Iterator[tuple[str, str]], added: F32 | None) -> tuple[str, ...]:
    """The sentences about what raised a score, what raised it most first; how the item sells comes last, since everybody sees the same."""
    facts = list(told)
    if added is not None:
        raised = {kind: float(added[KINDS.index(kind)]) for kind, _ in facts}
        facts = [(kind, sentence) for kind, sentence in facts if raised[kind] > 0 or kind == SALES]
        facts.sort(key=lambda fact: np.inf if fact[0] == SALES else -raised[fact[0]])
    return tuple(sentence for _, sentence in facts[:MOST])


class _Facts:
    """What is known about one user, and how to say it of an item."""

    def __init__(self, i: int, queries: Queries, snapshot: Snapshot, data: Encoded, basket: I32, items: I32, near: Bool | None) -> None:
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
        self.companions = self._companions(items)
        self.alike = self._alike(items)
        self.near = set() if near is None else set(items[near].tolist())
        self.days = min(28, round(snapshot.statistics.days))

    def of(self, item: int) -> Iterator[tuple[str, str]]:
        """The kind of feature that each sentence is about, and the sentence; the most personal first."""
        for kind, told in (
            (OWN, self._own(item)),
            (OFFER, self._offer(item)),
            (GOES, self._companion(item)),
            (LIKE, self._like(item)),
            (SHELF, self._group(item)),
            (NEAR, self._near(item)),
            (SALES, self._others(item)),
            (PRICE, self._cheaper(item)),
        ):
            for sentence in told:
                yield kind, sentence

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

    def _companions(self, items: I32) -> dict[int, int]:
        """For each item the one of the user's that pulls it along most, of those that are often in one basket with it."""
        copurchase = self.snapshot.union.retrievers["copurchase"]
        if not isinstance(copurchase, Copurchase) or len(self.items) == 0:
            return {}
        wanted, neighbours = np.zeros(self.queries.n_items + 1, bool), copurchase.neighbours[self.items]
        wanted[items] = True
        # A missing neighbour is row -1, which is the one more and never wanted.
        hit = np.flatnonzero(wanted[neighbours.ravel()])
        owner, item = hit // neighbours.shape[1], neighbours.ravel()[hit]
        pull = copurchase.weights[self.items].ravel()[hit] * self.weight[owner]
        # The strongest is written last; of equal ones the first row, as everywhere.
        order = np.lexsort((-owner, pull))
        order = order[pull[order] > 0]
        return dict(zip(item[order].tolist(), self.items[owner[order]].tolist(), strict=True))

    def _alike(self, items: I32) -> dict[int, int]:
        """For each item that the user never bought the one of theirs that says and shows the same most, where it is alike enough."""
        if len(self.items) == 0:
            return {}
        vectors = self.snapshot.content
        cosines = vectors[items] @ vectors[self.items].T
        nearest = cosines.argmax(axis=1)
        alike = cosines[np.arange(len(items)), nearest] >= ALIKE
        pairs = zip(items[alike].tolist(), self.items[nearest[alike]].tolist(), strict=True)
        return {item: own for item, own in pairs if item not in self.bought}

    def _companion(self, item: int) -> Iterator[str]:
        companion = self.companions.get(item, item)
        title = self.data.catalogue.titles[companion]
        # Another size or colour of the same goes by the same name.
        if title and title != self.data.catalogue.titles[item]:
            yield f"goes with {title}, {self._known_by(companion)}"

    def _like(self, item: int) -> Iterator[str]:
        other = self.alike.get(item, item)
        title = self.data.catalogue.titles[other]
        if other != item and title:
            same = title == self.data.catalogue.titles[item]
            yield f"{'another' if same else 'like'} {title}, {self._known_by(other)}"

    def _known_by(self, item: int) -> str:
        return "which is in your basket" if item in self.basket else "which you bought"

    def _group(self, item: int) -> Iterator[str]:
        code = self.data.catalogue.codes["subcategory"][item]
        if code >= 0 and self.liked[code] >= 3 and item not in self.bought:
            name = self.data.catalogue.names["subcategory"][code]
            yield f"you bought {name.capitalize()} {int(self.liked[code])} times"

    def _near(self, item: int) -> Iterator[str]:
        if item in self.near:
            yield "shoppers like you bought it lately"

    def _cheaper(self, item: int) -> Iterator[str]:
        discount = float(self.snapshot.statistics.recent_discount[item])
        if discount >= CHEAPER:
            yield f"{round(100 * discount)} % off in the past week"

    def _others(self, item: int) -> Iterator[str]:
        sold = int(self.snapshot.statistics.lines[item, 1])
        lately = "last four weeks" if self.days == 28 else f"last {self.days} days"
        if sold == 0:
            yield f"in the catalogue, not sold in the {lately}"
        else:
            yield f"sold {'once' if sold == 1 else f'{sold:,} times'} in the {lately}"


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
