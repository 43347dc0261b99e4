"""What is known of every item and every offer, as arrays."""

import difflib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import F32, I32, I64, NO_ROW, Bool, find, load_arrays, save_arrays, vars_of
from cortex_rec.errors import DataError
from cortex_rec.ids import IdMap

#: Item attributes that group items, widest first.
GROUPS = (columns.DEPARTMENT, columns.CATEGORY, columns.SUBCATEGORY, columns.BRAND)


@dataclass(frozen=True)
class Catalogue:
    """Items by row.

    Parameters
    ----------
    titles, descriptions, images
        One text an item, "" where unknown; an image is the path of a picture.
    codes
        For each of `GROUPS`, then each further attribute in the order of their names: (n_items,) int32 code of the item's value,
        -1 where unknown.
    names
        For each of the same: the value by code.
    """

    titles: list[str]
    descriptions: list[str]
    images: list[str]
    codes: dict[str, I32]
    names: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.titles)

    def group_of(self, group: str, item: int) -> str | None:
        """The name of an item's department, category, subcategory or brand."""
        code = self.codes[group][item]
        return None if code == NO_ROW else self.names[group][code]

    def with_items(self, items: pl.DataFrame) -> "Catalogue":
        """Further items after all others; a value that none had before is unknown (-1).

        Parameters
        ----------
        items
            Text columns of `columns.ITEMS` and attributes of this catalogue, each of which may be absent.

        Raises
        ------
        DataError
            If a column is not one of these.
        """
        self._check_columns(items)
        codes = {name: np.append(own, self._codes_of(items, name)) for name, own in self.codes.items()}
        texts = (_texts(items, name) for name in (columns.TITLE, columns.DESCRIPTION, columns.IMAGE))
        titles, descriptions, images = (own + more for own, more in zip((self.titles, self.descriptions, self.images), texts, strict=True))
        return Catalogue(titles, descriptions, images, codes, self.names)

    def unseen(self, items: pl.DataFrame) -> dict[str, list[str]]:
        """For each attribute, the values of `items` that no item of this catalogue has."""
        self._check_columns(items)
        given = {name: items[name].drop_nulls().unique().sort() for name in self.codes if name in items.columns}
        found = {name: values.filter(~values.is_in(self.names[name])).to_list() for name, values in given.items()}
        return {name: values for name, values in found.items() if values}

    def _codes_of(self, items: pl.DataFrame, name: str) -> I32:
        known = IdMap(pl.Series(self.names[name], dtype=pl.String))
        return known.rows(items[name]) if name in items.columns else np.full(items.height, NO_ROW, np.int32)

    def _check_columns(self, items: pl.DataFrame) -> None:
        known = [*columns.ITEMS, *self.codes]
        unknown = [name for name in items.columns if name not in known]
        if unknown:
            near = difflib.get_close_matches(unknown[0], known, n=1)
            raise DataError(
                f"items: {unknown[0]!r} is no attribute of this release. "
                + (f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(self.codes)}."),
                table="items",
            )

    def save(self, path: Path) -> None:
        frame = {columns.TITLE: self.titles, columns.DESCRIPTION: self.descriptions, columns.IMAGE: self.images}
        for group in self.codes:
            frame[group] = (
                pl.Series([*self.names[group], None], dtype=pl.String).gather(self.codes[group] % (len(self.names[group]) + 1)).to_list()
            )
        pl.DataFrame(frame, schema=dict.fromkeys(frame, pl.String)).write_parquet(path, statistics=False)

    @classmethod
    def load(cls, path: Path) -> "Catalogue":
        return cls.of(pl.read_parquet(path))

    @classmethod
    def of(cls, items: pl.DataFrame) -> "Catalogue":
        """From a table with one row an item, in the order of the item id map."""
        codes, names = {}, {}
        for group in (*GROUPS, *sorted(set(items.columns) - set(columns.ITEMS))):
            column = items[group] if group in items.columns else pl.Series(group, [None] * items.height, dtype=pl.String)
            ids = IdMap.of(column)
            codes[group], names[group] = ids.rows(column), ids.ids.to_list()
        titles, descriptions, images = (_texts(items, name) for name in (columns.TITLE, columns.DESCRIPTION, columns.IMAGE))
        return cls(titles, descriptions, images, codes, names)


@dataclass(frozen=True)
class Places:
    """Where offers hold, looked up once for all requests.

    Parameters
    ----------
    width
        One more than the largest item row on offer.
    key, offer
        Ascending int64 `(store + 1) * width + item`, and the position of the offer; store -1 is every store.
    stores, mailed
        (width,) float32 in how many stores an item is on offer and in the mailer, infinite for every store.
    """

    width: int
    key: I64
    offer: I64
    stores: F32
    mailed: F32

    def find(self, store: I32, item: I32) -> I64:
        """(n,) int64 position of the offer of each item in each store, else of one that holds in every store, else -1."""
        known = item < self.width
        everywhere = find(self.key, np.where(known, item, NO_ROW))
        local = find(self.key, np.where(known, (store.astype(np.int64) + 1) * self.width + item, NO_ROW))
        at = np.where(local >= 0, local, everywhere)
        return np.where(at >= 0, self.offer[at], NO_ROW)


class Starts(NamedTuple):
    """Offers in the order of one number, which ascends by store, item and start.

    Parameters
    ----------
    width
        One more than the largest item row that has an offer.
    first, span
        Seconds of the first start, and more than there are from it to the last one.
    key, order
        `((store + 1) * width + item) * span + start - first + 1`, ascending, and the position of each one's offer.
    """

    width: int
    first: int
    span: int
    key: I64
    order: I64


@dataclass(frozen=True)
class Promotions:
    """Offers sorted by start: an item in a store (-1: every store) in [start, end), in a display or a mailer.

    `display` and `mailer` are int32 codes, 0 for none; their meaning is in `names`.
    """

    item: I32
    store: I32
    start: I64
    end: I64
    display: I32
    mailer: I32

    @cached_property
    def empty(self) -> bool:
        return len(self.item) == 0

    @cached_property
    def places(self) -> Places:
        """The offers by store and item, whenever they hold."""
        width = int(self.item.max(initial=NO_ROW)) + 1
        key = (self.store.astype(np.int64) + 1) * width + self.item
        order = np.argsort(key, kind="stable")
        stores, mailed = (self._stores(mask, width) for mask in (np.ones(len(self.item), bool), self.mailer > 0))
        return Places(width, key[order], order, stores, mailed)

    def active(self, as_of: int) -> "Promotions":
        """The offers that run at the moment `as_of`."""
        return self._keep((self.start <= as_of) & (as_of < self.end))

    def overlapping(self, start: int, end: int) -> "Promotions":
        """The offers that hold at some moment of [start, end)."""
        return self._keep((self.start < end) & (self.end > start))

    def translated(self, items: I32, stores: I32) -> "Promotions":
        """The same offers by the rows of other id maps.

        Parameters
        ----------
        items, stores
            (n,) int32 new row of each item and of each store; an offer of one that has none, -1, is left out.
        """
        everywhere = self.store < 0
        store = np.where(everywhere, NO_ROW, stores[self.store] if len(stores) else NO_ROW).astype(np.int32)
        known = (items[self.item] >= 0) & (everywhere | (store >= 0))
        return replace(self, item=items[self.item], store=store)._keep(known)

    @cached_property
    def _starts(self) -> Starts:
        """Sorted once for all blocks of purchases that `covering` is asked about."""
        width, first = int(self.item.max()) + 1, int(self.start.min())
        span = int(self.start.max()) - first + 2
        key = ((self.store.astype(np.int64) + 1) * width + self.item) * span + (self.start - first + 1)
        order = np.argsort(key, kind="stable")
        return Starts(width, first, span, key[order], order)

    def covering(self, store: I32, item: I32, time: I64) -> I64:
        """(n,) int64 the offer of each item in each store at each time, else one that holds in every store, else -1.

        Where several hold at once in one store, it is the one that started last.
        """
        if self.empty or len(item) == 0:
            return np.full(len(item), NO_ROW, np.int64)
        width, first, span, key, order = self._starts
        # What is before the first start comes before every offer, and after the last one all have started.
        moment = np.clip(time - first + 1, 0, span - 1)

        def latest(of_store: I64) -> I64:
            wanted = (of_store * width + item) * span
            at = np.searchsorted(key, wanted + moment, side="right") - 1
            while True:
                started = (at >= 0) & (key[at] >= wanted)
                over = started & (time >= self.end[order[at]])
                if not over.any():
                    return np.where(started, order[at], NO_ROW)
                # A shorter offer that is over may hide a longer one that started before it.
                at = at - over

        local, everywhere = latest(store.astype(np.int64) + 1), latest(np.zeros(len(item), np.int64))
        return np.where(item < width, np.where((local >= 0) & (store >= 0), local, everywhere), NO_ROW)

    def _stores(self, mask: Bool, width: int) -> F32:
        item, store = self.item[mask], self.store[mask]
        count = np.bincount(item[store >= 0], minlength=width).astype(np.float32)
        count[item[store < 0]] = np.inf
        return count

    def _keep(self, mask: Bool) -> "Promotions":
        return Promotions(**{name: array[mask] for name, array in vars_of(self).items()})

    def save(self, path: Path) -> None:
        save_arrays(path, vars_of(self))

    @classmethod
    def load(cls, path: Path) -> "Promotions":
        return cls(**load_arrays(path))

    @classmethod
    def of(cls, promotions: pl.DataFrame, items: IdMap, stores: IdMap) -> "Promotions":
        """Encode `columns.PROMOTIONS`; offers of unknown items and stores are left out, "0" and null mean none.

        An offer without a store holds in every store.
        """
        table = promotions.sort(columns.START, columns.ITEM, *([columns.STORE] if columns.STORE in promotions.columns else []))
        item = items.rows(table[columns.ITEM])
        everywhere, store = np.ones(len(item), bool), np.full(len(item), NO_ROW, np.int32)
        if columns.STORE in table.columns:
            everywhere, store = table[columns.STORE].is_null().to_numpy(), stores.rows(table[columns.STORE])
        known = (item != NO_ROW) & (everywhere | (store != NO_ROW))
        return cls(
            item[known],
            store[known],
            table[columns.START].dt.epoch("s").to_numpy()[known],
            table[columns.END].dt.epoch("s").to_numpy()[known],
            _codes(table, columns.DISPLAY)[known],
            _codes(table, columns.MAILER)[known],
        )


def _texts(items: pl.DataFrame, column: str) -> list[str]:
    return items[column].fill_null("").to_list() if column in items.columns else [""] * items.height


def _codes(table: pl.DataFrame, column: str) -> I32:
    """1-based codes of a text column in alphabetical order, 0 where null or "0"."""
    if column not in table.columns:
        return np.zeros(table.height, np.int32)
    text = table[column].replace("0", None)
    return (IdMap.of(text).rows(text) + 1).astype(np.int32)
