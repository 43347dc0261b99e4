"""A `Dataset` with dense rows in place of external ids: what everything after the gates works on."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import load_arrays, save_arrays, vars_of
from cortex_rec.catalogue import Catalogue, Promotions
from cortex_rec.coupons import Coupons
from cortex_rec.dataset import Dataset
from cortex_rec.errors import DataError, EmptyTrainingSetError
from cortex_rec.histories import Histories, from_interactions
from cortex_rec.ids import IdMap
from cortex_rec.people import People
from cortex_rec.splits import day_of


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
        for name in ("users", "items", "stores"):
            getattr(self, name).save(folder / f"{name}.parquet")
        save_arrays(folder / "histories.safetensors", vars_of(self.histories))
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
            Histories(**load_arrays(folder / "histories.safetensors", mapped=mapped)),
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
    interactions = dataset.interactions
    if interactions.is_empty():
        raise EmptyTrainingSetError(
            "interactions: no row is left after the gates. Check the source and its quarantine file.", table="interactions"
        )
    users, items, stores = _id_maps(dataset)
    return _encoded(dataset, users, items, stores, from_interactions(interactions, users, items, stores))


def followed_by(known: Encoded, as_of: int, later: Dataset, *, without: Collection[str] = ()) -> Encoded:
    """What was known at a moment, and what was bought since: the same as `encode` of all, from the new purchases alone.

    Parameters
    ----------
    known
        Earlier data; its purchases at or after `as_of`, seconds since 1970, are left out.
    later
        Purchases at or after `as_of`, and the other tables whole, as they are now. A basket with lines on both sides is two baskets.
    without
        External ids of users whose purchases are left out.

    Raises
    ------
    DataError
        If one of the later purchases was before `as_of`.
    EmptyTrainingSetError
        If there is no later purchase.
    """
    interactions = later.interactions
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
    users, items, stores = _id_maps(later, known)
    if without:
        users = IdMap(users.ids.filter(~users.ids.is_in(list(without))))
    then = known.histories.before(as_of).mapped(known.users.rows(users.ids), items.rows(known.items.ids), stores.rows(known.stores.ids))
    return _encoded(later, users, items, stores, then.followed_by(from_interactions(interactions, users, items, stores)))


def _id_maps(dataset: Dataset, known: Encoded | None = None) -> tuple[IdMap, IdMap, IdMap]:
    """Users, items and stores of the dataset and of what was known before, in ascending order."""
    interactions, none = dataset.interactions, pl.Series([], dtype=pl.String)
    users, items, stores = (none, none, none) if known is None else (known.users.ids, known.items.ids, known.stores.ids)
    return (
        IdMap.of(users, interactions[columns.USER]),
        IdMap.of(items, interactions[columns.ITEM], dataset.items[columns.ITEM]),
        IdMap.of(stores, interactions[columns.STORE] if columns.STORE in interactions.columns else none),
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
