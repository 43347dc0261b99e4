"""What must not be in an answer, as tests of item rows. A new filter is one line in `sieve`, one in `CAUSES` and its test."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cortex_rec.answered import Asked
from cortex_rec.arrays import DAY, F32, I8, I32, NO_ROW, Bool
from cortex_rec.catalogue import Catalogue
from cortex_rec.encoding import Encoded
from cortex_rec.errors import InvalidRequest, UnknownItem
from cortex_rec.features.statistics import Statistics
from cortex_rec.requests import Filters
from cortex_rec.snapshot import Snapshot

#: Why an item is left out, in the order in which it is asked: an item that fails several has the first.
CAUSES: Final = ("basket", "hidden", "exclude", "bought_days", "groups", "price", "in_store")
#: The verdict on an item that fails none.
PASSES: Final = -1
_NO_FILTERS: Final = Filters()

#: From (k,) int32 item rows to (k,) bool: which of them must go.
Fails = Callable[[I32], Bool]


@dataclass(frozen=True)
class Sieve:
    """The filters of one query, by their names in `CAUSES`."""

    fails: Mapping[str, Fails]

    def verdicts(self, items: I32) -> I8:
        """(k,) int8 `PASSES`, or the position in `CAUSES` of the first filter that an item fails."""
        result = np.full(len(items), PASSES, np.int8)
        for cause, fails in self.fails.items():
            result[fails(items) & (result == PASSES)] = CAUSES.index(cause)
        return result


def sieve(asked: Asked, i: int, snapshot: Snapshot, data: Encoded) -> Sieve | None:
    """The filters of request `i`, None where there is nothing to filter.

    Raises
    ------
    UnknownItem
        If an excluded item is not in the catalogue.
    InvalidRequest
        If a group or a value of it is not in the catalogue.
    """
    filters, fails = asked.requests[i].filters, dict[str, Fails]()
    if len(asked.baskets[i]):
        fails["basket"] = _among(asked.baskets[i])
    if len(asked.hidden[i]):
        fails["hidden"] = _among(asked.hidden[i])
    if filters == _NO_FILTERS:
        return Sieve(fails) if fails else None
    if filters.exclude:
        fails["exclude"] = _among(item_rows(filters.exclude, data, "filters.exclude"))
    if filters.bought_days is not None:
        item, time = asked.bought(i)
        fails["bought_days"] = _among(item[time >= asked.queries.as_of - filters.bought_days * DAY])
    if filters.groups:
        fails["groups"] = _not_of(filters.groups, data.catalogue)
    if filters.price_from is not None or filters.price_to is not None:
        fails["price"] = _not_priced(filters.price_from, filters.price_to, snapshot.statistics)
    if filters.in_store:
        fails["in_store"] = _not_sold(int(asked.queries.store[i]), snapshot.statistics)
    return Sieve(fails)


def item_rows(items: Sequence[str], data: Encoded, field: str) -> I32:
    """Rows of external ids, in their order; `field` is where the request names them.

    Raises
    ------
    UnknownItem
        If the catalogue lacks one.
    """
    rows = data.items.rows(items)
    if np.any(rows == NO_ROW):
        unknown = items[int(np.argmax(rows == NO_ROW))]
        raise UnknownItem(
            f"{field}: item {unknown!r} is not in the catalogue of this release. Leave it out, or add it with `cortex-rec items add`."
        )
    return rows


def group_codes(group: str, catalogue: Catalogue, field: str) -> I32:
    """(n_items,) int32 codes of a group or attribute by its name.

    Raises
    ------
    InvalidRequest
        If the catalogue has no such group.
    """
    if group not in catalogue.codes:
        raise InvalidRequest(f"{field}: {group!r} is no group of this release. {_way_out(group, list(catalogue.codes))}")
    return catalogue.codes[group]


def _among(rows: I32) -> Fails:
    return lambda items: np.isin(items, rows)


def _not_of(groups: Mapping[str, Sequence[str]], catalogue: Catalogue) -> Fails:
    wanted = []
    for group, values in groups.items():
        codes, names = group_codes(group, catalogue, "filters.groups"), catalogue.names[group]
        unknown = [value for value in values if value not in names]
        if unknown:
            raise InvalidRequest(f"filters.groups: no item's {group} is {unknown[0]!r}. {_way_out(unknown[0], names)}")
        wanted.append((codes, np.array([names.index(value) for value in values], np.int32)))
    return lambda items: ~np.logical_and.reduce([np.isin(codes[items], chosen) for codes, chosen in wanted])


def _not_priced(least: float | None, most: float | None, statistics: Statistics) -> Fails:
    low, high = -np.inf if least is None else least, np.inf if most is None else most

    def fails(items: I32) -> Bool:
        price: F32 = np.where(np.isnan(statistics.recent_price[items]), statistics.price[items], statistics.recent_price[items])
        # A price that is not known compares as false.
        within: Bool = (price >= low) & (price <= high)
        return ~within

    return fails


def _not_sold(store: int, statistics: Statistics) -> Fails:
    """Not sold in the last four weeks in the store; where none is known, in any."""

    def fails(items: I32) -> Bool:
        if store == NO_ROW:
            unsold: Bool = statistics.lines[items, 1] == 0
            return unsold
        lines, _ = statistics.in_store(np.full(len(items), store, np.int32), items)
        sold: Bool = lines > 0
        return ~sold

    return fails


def _way_out(given: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"There are {', '.join(known[:8])}{' …' if len(known) > 8 else ''}."
