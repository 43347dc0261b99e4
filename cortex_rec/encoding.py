"""A `Dataset` with dense rows in place of external ids: what everything after the gates works on."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import ArraysFile, consecutive, load_arrays, pointers, save_arrays, vars_of
from cortex_rec.catalogue import Catalogue, Promotions
from cortex_rec.coupons import Coupons
from cortex_rec.dataset import BLOCK, Dataset, Stream
from cortex_rec.errors import DataError, EmptyTrainingSetError
from cortex_rec.histories import EVENT, Histories, from_interactions
from cortex_rec.ids import IdMap
from cortex_rec.people import People
from cortex_rec.splits import day_of

HISTORIES: Final = "histories.safetensors"


@dataclass(frozen=True)
class Encoded:
    """Id maps, purchase histories, catalogue, offers, coupons and people.

    Parameters
    ----------
    users, items, stores
        Frozen id maps; rows are in ascending order of the external ids, but for items that were added later.
    histories
        All purchases, by user.
    catalogue, promotions
        By item row.
    coupons, people
        By user row.
    """

    users: IdMap
    items: IdMap
    stores: IdMap
    histories: Histories
    catalogue: Catalogue
    promotions: Promotions
    coupons: Coupons
    people: People

    def with_items(self, items: pl.DataFrame) -> "Encoded":
        """Further items after all others, which nobody has bought yet.

        Parameters
        ----------
        items
            `columns.ITEM` and what `Catalogue.with_items` takes.

        Raises
        ------
        DataError
            If an id is missing, twice there or known already, or a column is unknown.
        """
        check_new(items, self.items)
        return replace(
            self,
            items=self.items.extended(items[columns.ITEM]),
            catalogue=self.catalogue.with_items(items),
            coupons=self.coupons.widened(len(self.items), items.height),
        )

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        save_arrays(folder / HISTORIES, vars_of(self.histories))
        self._save_others(folder)

    def _save_others(self, folder: Path) -> None:
        """Write everything but the histories."""
        for name in ("users", "items", "stores"):
            getattr(self, name).save(folder / f"{name}.parquet")
        self.catalogue.save(folder / "catalogue.parquet")
        self.promotions.save(folder / "promotions.safetensors")
        self.coupons.save(folder / "coupons.safetensors")
        self.people.save(folder / "people.safetensors")

    @classmethod
    def load(cls, folder: Path, *, mapped: bool = False) -> "Encoded":
        """Read what `save` wrote; with `mapped` purchases stay in their file until they are looked at (see `load_arrays`)."""
        return cls(
            IdMap.load(folder / "users.parquet"),
            IdMap.load(folder / "items.parquet"),
            IdMap.load(folder / "stores.parquet"),
            Histories(**load_arrays(folder / HISTORIES, mapped=mapped)),
            Catalogue.load(folder / "catalogue.parquet"),
            Promotions.load(folder / "promotions.safetensors"),
            Coupons.load(folder / "coupons.safetensors"),
            People.load(folder / "people.safetensors"),
        )


def check_new(items: pl.DataFrame, known: IdMap) -> None:
    """Raise a `DataError` unless every row of `items` has an id of its own that is not known yet."""
    if columns.ITEM not in items.columns:
        raise DataError(f"items: there is no column {columns.ITEM!r}. Every new item needs an id.", table="items")
    ids = items[columns.ITEM]
    faults = (
        (ids.is_null() | (ids == ""), "has no id. Give it one", False),
        (ids.is_duplicated(), "is there twice. Give each item one row", True),
        (ids.is_in(known.ids.implode()), "is in the catalogue already. Leave it out, or give the new item another id", True),
    )
    for fault, said, named in faults:
        rows = fault.fill_null(True).arg_true().to_list()
        if rows:
            what = f"item {ids[rows[0]]!r}" if named else f"row {rows[0]}"
            raise DataError(f"items: {what} {said}.", table="items", rows=rows)


def encode(dataset: Dataset) -> Encoded:
    """Replace external ids by dense rows.

    Raises
    ------
    EmptyTrainingSetError
        If the dataset has no interaction.
    """
    if dataset.interactions.is_empty():
        raise _nothing_left()
    users, items, stores = _id_maps(dataset.items, _ids([dataset.interactions])[0])
    return _encoded(dataset, users, items, stores, from_interactions(dataset.interactions, users, items, stores))


def encode_stream(dataset: Stream, folder: Path) -> None:
    """Write what `encode` gives into an existing folder, from purchases that come block by block and need not fit into memory.

    The lines are laid aside by ranges of users first; then those of one range after the other are put in order.

    Raises
    ------
    EmptyTrainingSetError
        If the dataset has no interaction.
    """
    ids, n = _ids(dataset.blocks())
    users, items, stores = _id_maps(dataset.rest.items, ids)
    if n == 0:
        raise _nothing_left()
    parts = (from_interactions(lines, users, items, stores) for lines in _by_users(dataset, users, n, folder))
    _write(folder, dataset.rest, (users, items, stores), n, ((0, part) for part in parts))


def _by_users(dataset: Stream, users: IdMap, n: int, folder: Path) -> Iterator[pl.DataFrame]:
    """All lines of one range of users after the other, each in the order in which they came; meanwhile they lie in `folder`."""
    ranges = -(-n // BLOCK)
    if ranges == 1:
        yield pl.concat(dataset.blocks())
        return
    with TemporaryDirectory(dir=folder) as aside:
        for number, block in enumerate(dataset.blocks()):
            place = users.rows(block[columns.USER]).astype(np.int64) * ranges // len(users)
            order = np.argsort(place, kind="stable")
            ends = np.cumsum(np.bincount(place, minlength=ranges))
            ordered = block[order]
            for i, (start, end) in enumerate(pairwise([0, *ends.tolist()])):
                ordered.slice(start, end - start).write_parquet(Path(aside) / f"{i}-{number:05}", compression="lz4", statistics=False)
        for i in range(ranges):
            files = sorted(Path(aside).glob(f"{i}-*"))
            lines = pl.concat(map(pl.read_parquet, files))
            for file in files:
                file.unlink()
            yield lines


def _nothing_left() -> EmptyTrainingSetError:
    return EmptyTrainingSetError(
        "interactions: no row is left after the gates. Check the source and its quarantine file.", table="interactions"
    )


def follow(known: Encoded, as_of: int, later: Dataset, folder: Path, *, without: Collection[str] = ()) -> None:
    """Write what was known at a moment and what was bought since: what `encode` gives of all, from the new purchases alone.

    Parameters
    ----------
    known
        Earlier data; its purchases at or after `as_of`, seconds since 1970, are left out. Mapped purchases are never whole in memory.
    later
        Purchases at or after `as_of`, and the other tables whole, as they are now. A basket with lines on both sides is two baskets.
    folder
        An existing one, to write into.
    without
        External ids of users whose purchases are left out.

    Raises
    ------
    DataError
        If one of the later purchases was before `as_of`.
    EmptyTrainingSetError
        If there is no later purchase.
    """
    interactions = later.interactions.filter(~pl.col(columns.USER).is_in(list(without)))
    if interactions.is_empty():
        raise EmptyTrainingSetError(
            f"interactions: there is no purchase since {day_of(as_of)}, up to which all is known. Check that the newest files have come.",
            table="interactions",
        )
    early = (interactions[columns.TIMESTAMP].dt.epoch("s") < as_of).arg_true().to_list()
    if early:
        raise DataError(
            f"interactions: row {early[0]} was before {day_of(as_of)}, up to which all is known.", table="interactions", rows=early
        )
    users, items, stores = _id_maps(later.items, _ids([interactions])[0], known)
    if without:
        users = IdMap(users.ids.filter(~users.ids.is_in(list(without))))
    theirs, to_items, to_stores = known.users.rows(users.ids), items.rows(known.items.ids), stores.rows(known.stores.ids)
    new, former = from_interactions(interactions, users, items, stores), known.histories.numbers_before(as_of)
    counts = np.where(theirs >= 0, former[theirs], 0) + np.diff(new.pointer)

    def parts() -> Iterator[tuple[int, Histories]]:
        for first, last in consecutive(pointers(counts), BLOCK):
            then = known.histories.mapped(theirs[first:last], to_items, to_stores).before(as_of)
            yield first, then.followed_by(new.take(np.arange(first, last, dtype=np.int32)))

    _write(folder, replace(later, interactions=interactions.clear()), (users, items, stores), int(counts.sum()), parts())


def _write(folder: Path, rest: Dataset, ids: tuple[IdMap, IdMap, IdMap], n: int, parts: Iterable[tuple[int, Histories]]) -> None:
    """Write `Encoded` from its purchases in parts, the first user of each part beside it, in the order of the users.

    Parameters
    ----------
    rest
        The other tables.
    ids
        Users, items and stores.
    n
        How many purchases there are in all.
    """
    users, items, stores = ids
    file = ArraysFile(folder / HISTORIES, {"pointer": (np.int64, len(users) + 1)} | {name: (dtype, n) for name, dtype in EVENT.items()})
    counts, at = np.zeros(len(users), np.int64), 0
    for first, part in parts:
        for name in EVENT:
            file.write(name, at, getattr(part, name))
        counts[first : first + part.n_users] += np.diff(part.pointer)
        at += len(part.item)
    file.write("pointer", 0, pointers(counts))
    _encoded(rest, users, items, stores, from_interactions(rest.interactions, users, items, stores))._save_others(folder)


def _ids(blocks: Iterable[pl.DataFrame]) -> tuple[dict[str, pl.Series], int]:
    """The distinct ids of users, items and stores in the lines, of stores none where no line has one; and how many lines there are."""
    found, n = {name: pl.Series([], dtype=pl.String) for name in (columns.USER, columns.ITEM, columns.STORE)}, 0
    for block in blocks:
        n += block.height
        found = {name: pl.concat([ids, block[name]]).unique() if name in block.columns else ids for name, ids in found.items()}
    return found, n


def _id_maps(listed: pl.DataFrame, bought: Mapping[str, pl.Series], known: Encoded | None = None) -> tuple[IdMap, IdMap, IdMap]:
    """Users, items and stores of the lines, of the table of items and of what was known before, in ascending order."""
    none = pl.Series([], dtype=pl.String)
    users, items, stores = (none, none, none) if known is None else (known.users.ids, known.items.ids, known.stores.ids)
    return (
        IdMap.of(users, bought[columns.USER]),
        IdMap.of(items, bought[columns.ITEM], listed[columns.ITEM]),
        IdMap.of(stores, bought[columns.STORE]),
    )


def _encoded(dataset: Dataset, users: IdMap, items: IdMap, stores: IdMap, histories: Histories) -> Encoded:
    listed = items.ids.to_frame(columns.ITEM).join(dataset.items, on=columns.ITEM, how="left", maintain_order="left")
    catalogue = Catalogue.of(listed)
    return Encoded(
        users,
        items,
        stores,
        histories,
        catalogue,
        Promotions.of(dataset.promotions, items, stores),
        Coupons.of(dataset.campaigns, dataset.coupons, users, items, catalogue.codes[columns.SUBCATEGORY]),
        People.of(dataset.users, users),
    )
