"""A year of some households: when they shop, how much, and what they buy once, again, or no more."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.arrays import DAY, F64, I64, Array, Bool, pointers, ranges
from cortex_rec.synthesis.catalogue import SPELL, TASTES, TURN, Catalogue
from cortex_rec.synthesis.shape import Shape

#: What a block of households writes down: one row a basket, and one a line of it.
BASKET: Final = np.dtype([("user", "<i4"), ("second", "<i4"), ("store", "<i4"), ("lines", "<i4")])
LINE: Final = np.dtype([("item", "<i4"), ("quantity", "u1")])
#: Concentration of a household's mixture of tastes: it has about six of them.
_MIXTURE: Final = 0.3
# The constants below cannot be read off the data one by one: they are chosen so that figures of `make bench NAME=synth` come near.
#: Share of a household's items that come from a group of which it has one already; less where the group has few items, such as these.
_STICKS: Final = 0.45
_FEW: Final = 5
#: How much more often a pair that begins within the year is of a rare item, since those from before are not.
_RARELY: Final = 1.2
#: Lines that a pair of a household of `_BUSY` lines is taken to have within the year when it is decided how many pairs are made.
_LINES_A_PAIR: Final = 1.7
#: Exponent of the numbers of purchases of a pair: P(more than k) falls with k to the power of minus this.
_TAIL: Final = 1.8
#: What gaps and further purchases that were measured within one year have to be made larger by.
_GAP: Final = 3.6
_AGAIN: Final = 1.3
#: Lines in the year of a household for which `again` holds as it is; who buys more buys more often again, by this power.
_BUSY: Final = 1000
_BUSY_AGAIN: Final = 0.5
#: The power of the number of purchases of a pair by which its gap is shorter.
_OFTEN: Final = 0.45
#: How many years before the year's first day a habit may have begun.
_BEFORE: Final = 1.0
#: Spread of log gaps: of pairs of one group, and of one pair's own.
_GAPS_OF_PAIRS: Final = 0.8
_GAPS_OF_ONE: Final = 0.5
#: Share of baskets of another store than the usual one that go to the household's second.
_SECOND: Final = 0.7
#: Purchases of a pair at most.
_MOST: Final = 200
#: By how much more is drawn than is needed.
_SPARE: Final = 1.05


@dataclass(frozen=True)
class Plans:
    """How active each household is.

    Parameters
    ----------
    trips, size
        (users,) float64, baskets in the year and mean lines of one.
    first, last
        (users,) float64, the days between which they lie.
    """

    trips: F64
    size: F64
    first: F64
    last: F64

    def take(self, chosen: slice) -> "Plans":
        return Plans(self.trips[chosen], self.size[chosen], self.first[chosen], self.last[chosen])

    def __len__(self) -> int:
        return len(self.trips)


def plan(shape: Shape, n_users: int, n_events: int, rng: np.random.Generator) -> Plans:
    """Households as active as the real ones, with so many lines in all: who has more of them has more baskets, not larger ones."""
    rank = rng.random(n_users)
    trips = _quantile(shape.trips, rank)
    size = np.empty(n_users)
    of_class = (rank * len(shape.basket)).astype(np.int64)
    for number, basket in enumerate(shape.basket):
        own = np.flatnonzero(of_class == number)
        size[own] = _quantile(basket, rng.random(len(own)))
    first, last = _quantile(shape.first, rng.random(n_users)), _quantile(shape.last, rng.random(n_users))
    last = np.maximum(last, np.minimum(first + 14, len(shape.day)))
    trips *= n_events / (trips * size).sum()
    return Plans(trips, size, first, last)


def _quantile(quantiles: F64, rank: F64) -> F64:
    """The values at some ranks, from 0 to 1."""
    return np.interp(rank, np.linspace(0, 1, len(quantiles)), quantiles)


def shop(
    shape: Shape, catalogue: Catalogue, plans: Plans, first_user: int, n_lines: int, part: tuple[int, int], seed: int
) -> tuple[Array, Array]:
    """All that a block of households buys in the year.

    Parameters
    ----------
    plans
        Of this block's households, the first of which has the number `first_user`.
    n_lines
        Lines in all.
    part
        The number of this block and how many there are.
    seed
        Of the whole.

    Returns
    -------
    (baskets, lines)
        Arrays of `BASKET` and `LINE`, in the order of time and of baskets; all baskets have a line.
    """
    rng = np.random.default_rng((seed, 2, part[0]))
    baskets = _baskets(shape, plans, rng)
    mixture = np.cumsum(rng.standard_gamma(_MIXTURE, (len(plans), TASTES)) + 1e-9, axis=1)
    mixture /= mixture[:, -1:]
    key, asked = np.zeros(0, np.int64), 0.0
    while len(key) < n_lines:
        more = _SPARE * ((n_lines - len(key)) / n_lines if asked == 0 else (n_lines / len(key) - 1) * asked)
        key = _distinct(np.concatenate([key, _purchases(shape, catalogue, plans, baskets, mixture, part, more, rng)]))
        asked += more
    keep = np.ones(len(key), np.bool_)
    keep[rng.choice(len(key), len(key) - n_lines, replace=False)] = False
    basket, item = np.divmod(key[keep], len(catalogue.group))
    counts = np.bincount(basket, minlength=len(baskets.user))
    order = np.argsort(baskets.second, kind="stable")
    order = order[counts[order] > 0]
    table = np.empty(len(order), BASKET)
    table["user"], table["second"], table["lines"] = baskets.user[order] + first_user, baskets.second[order], counts[order]
    table["store"] = _stores(shape, baskets.user, len(plans), rng)[order]
    lines = np.empty(n_lines, LINE)
    lines["item"] = item[ranges(pointers(counts)[:-1][order], counts[order])]
    lines["quantity"] = np.searchsorted(np.cumsum(shape.quantity[:-1]), rng.random(n_lines), side="right") + 1
    return table, lines


def _distinct(key: I64) -> I64:
    key = np.sort(key)
    return key[np.diff(key, prepend=-1) > 0]


@dataclass(frozen=True)
class _Baskets:
    """Baskets by household and time; those of household `u` are `pointer[u]:pointer[u + 1]`, and `room` is how much each is to hold.

    `key` is the household's number times the seconds of a year, and `second`.
    """

    user: I64
    second: I64
    key: I64
    pointer: I64
    room: F64


def _baskets(shape: Shape, plans: Plans, rng: np.random.Generator) -> _Baskets:
    # Some baskets stay empty, as chance has it: so many more are needed.
    empty = (1 + plans.size / shape.evenness) ** -shape.evenness
    counts = np.maximum(np.floor(plans.trips / (1 - empty) + rng.random(len(plans))), 1).astype(np.int64)
    user = np.repeat(np.arange(len(plans)), counts)
    calendar = np.concatenate([[0], np.cumsum(shape.day)])
    low, high = np.interp(plans.first, np.arange(len(calendar)), calendar), np.interp(plans.last, np.arange(len(calendar)), calendar)
    moment = low[user] + rng.random(len(user)) * (high - low)[user]
    day = np.clip(np.searchsorted(calendar, moment, side="right") - 1, 0, len(shape.day) - 1)
    hours = np.cumsum(shape.hour / shape.hour.sum(axis=1, keepdims=True), axis=1) + np.arange(7)[:, None]
    weekday = (day + _FIRST_WEEKDAY) % 7
    hour = np.minimum(np.searchsorted(hours.ravel(), weekday + rng.random(len(user)), side="right") - 24 * weekday, 23)
    second = day * DAY + hour * 3600 + rng.integers(0, 3600, len(user))
    at = np.sort(user * (len(shape.day) * DAY) + second)
    room = rng.standard_gamma(shape.evenness, len(user)) + 1e-6
    return _Baskets(user, at % (len(shape.day) * DAY), at, pointers(counts), room)


#: January 1st, 2017 was a Sunday.
_FIRST_WEEKDAY: Final = 6


def _purchases(
    shape: Shape,
    catalogue: Catalogue,
    plans: Plans,
    baskets: _Baskets,
    mixture: F64,
    part: tuple[int, int],
    share: float,
    rng: np.random.Generator,
) -> I64:
    """Keys `basket * items + item` of about so large a share of the households' lines; the same line may be there twice.

    A household's year is an axis from 0 to 1, on which each basket has as much room as it is to hold lines. Each pair of a household and an
    item begins somewhere on it or before, and goes on in steps of its gap for as many purchases as it has.
    """
    groups = shape.groups
    lines = plans.trips * plans.size
    busy = (np.maximum(lines, 1) / _BUSY) ** _BUSY_AGAIN
    pairs = lines * share * (1 + _BEFORE) / (1 + (_LINES_A_PAIR - 1) * busy)
    user = np.repeat(np.arange(len(plans)), rng.poisson(pairs))
    birth = rng.uniform(-_BEFORE, 1, len(user))
    item = _items(catalogue, user, mixture, birth >= 0, part, rng)
    group = catalogue.group[item]
    times = 1 + catalogue.again[item] * _AGAIN * busy[user] * (rng.random(len(item)) ** (-1 / _TAIL) - 1)
    count = np.minimum(times, _MOST).astype(np.int64)
    days = groups.gap[group] * _GAP * count**-_OFTEN * np.exp(_GAPS_OF_PAIRS * rng.standard_normal(len(item)))
    step = days / (plans.last - plans.first)[user]
    edges = np.concatenate([[0.0], np.cumsum(baskets.room)])
    low, high = edges[baskets.pointer[user]], edges[baskets.pointer[user + 1]]
    moved = np.flatnonzero((birth >= 0) & (rng.random(len(item)) < catalogue.drawn[item]))
    day = catalogue.spell[item[moved]] + SPELL * rng.random(len(moved)) + TURN * rng.integers(0, -(-len(shape.day) // TURN), len(moved))
    at = np.searchsorted(baskets.key, (user[moved] * len(shape.day) + day) * DAY)
    late = (day >= len(shape.day)) | (at >= baskets.pointer[user[moved] + 1])
    at = np.minimum(at, len(baskets.user) - 1)
    birth[moved] = np.where(late, 2.0, (edges[at] + rng.random(len(at)) * baskets.room[at] - low[moved]) / (high - low)[moved])
    pair = np.repeat(np.arange(len(item)), count)
    steps = step[pair] * np.exp(_GAPS_OF_ONE * rng.standard_normal(len(pair)))
    start = pointers(count)[:-1]
    steps[start] = 0
    walked = np.cumsum(steps)
    place = birth[pair] + walked - walked[start][pair]
    inside = (place >= 0) & (place < 1)
    pair, place = pair[inside], place[inside]
    user, item = user[pair], item[pair]
    basket = np.searchsorted(edges, low[pair] + place * (high - low)[pair], side="right") - 1
    basket = np.clip(basket, baskets.pointer[user], baskets.pointer[user + 1] - 1)
    day = baskets.second[basket] / DAY
    sold = (day >= catalogue.released[item]) & (day < catalogue.ended[item])
    key: I64 = basket[sold] * len(catalogue.group) + item[sold]
    return key


def _items(catalogue: Catalogue, user: I64, mixture: F64, begins: Bool, part: tuple[int, int], rng: np.random.Generator) -> I64:
    """An item for each pair: from the whole catalogue by one of the household's tastes, or from the group of an earlier pair."""
    taste = (
        np.searchsorted((mixture + np.arange(len(mixture))[:, None]).ravel(), user + rng.random(len(user)), side="right") - user * TASTES
    )
    taste = np.clip(taste, 0, TASTES - 1)
    first = np.searchsorted(user, user)
    earlier = np.arange(len(user)) - first
    sticks = (rng.random(len(user)) < _STICKS) & (earlier > 0)
    root = np.where(sticks, first + (rng.random(len(user)) * earlier).astype(np.int64), np.arange(len(user)))
    while (root[root] != root).any():
        root = root[root]
    none, all_items = np.zeros(len(user), np.int64), np.full(len(user), len(catalogue.group))
    fresh = np.flatnonzero(root == np.arange(len(user)))
    item = np.empty(len(user), np.int64)
    item[fresh] = catalogue.draw(taste[fresh], none[fresh], all_items[fresh], rng.random(len(fresh)))
    stuck = np.flatnonzero(root != np.arange(len(user)))
    group = catalogue.group[item[root[stuck]]]
    # A group of few items has no others to offer.
    small = rng.random(len(stuck)) * (np.diff(catalogue.pointer)[group] + _FEW) < _FEW
    own = stuck[small]
    item[own] = catalogue.draw(taste[own], none[own], all_items[own], rng.random(len(own)))
    stuck, group = stuck[~small], group[~small]
    item[stuck] = catalogue.draw(taste[root[stuck]], catalogue.pointer[group], catalogue.pointer[group + 1], rng.random(len(stuck)))
    rare = np.flatnonzero(begins & (rng.random(len(item)) < _RARELY * catalogue.rarely[catalogue.group[item]]))
    # Each rare item of a group in turn: by chance some would have several buyers and many none.
    group = catalogue.group[item[rare]]
    order = np.argsort(group, kind="stable")
    turn = np.empty(len(rare), np.int64)
    turn[order] = np.arange(len(rare)) - np.searchsorted(group[order], group[order])
    item[rare] = catalogue.pointer[group] + (turn * part[1] + part[0]) % catalogue.rare[group]
    return item


def _stores(shape: Shape, user: I64, n_users: int, rng: np.random.Generator) -> I64:
    """A store for each basket: mostly the household's own."""
    popular = np.cumsum(shape.store / shape.store.sum())[:-1]
    home, second = np.searchsorted(popular, rng.random(n_users)), np.searchsorted(popular, rng.random(n_users))
    somewhere = np.searchsorted(popular, rng.random(len(user)))
    chance = rng.random(len(user))
    away = np.where(chance < shape.home + (1 - shape.home) * _SECOND, second[user], somewhere)
    return np.where(chance < shape.home, home[user], away) + 1
