"""The tables that every source becomes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final, Self

import polars as pl

from cortex_rec import columns
from cortex_rec.errors import DataError

#: Purchases that are in memory at once, some 0.4 GB of them as tables.
BLOCK: Final = 2_000_000
_LINES: Final = "interactions"


@dataclass(frozen=True)
class Dataset:
    """Interactions, items, users, promotions, campaigns and coupons, as `columns.py` describes them.

    Parameters
    ----------
    interactions
        One row a purchase; at least user, item and time.
    items
        One row an item that was ever listed or bought.
    users
        One row a user with attributes; may have no rows.
    promotions
        One row an offer; may have no rows.
    campaigns, coupons
        Whom a campaign was sent to, and which items its coupons are for; may have no rows.

    Raises
    ------
    DataError
        If a column is missing or of another type.
    """

    interactions: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame
    promotions: pl.DataFrame
    campaigns: pl.DataFrame = field(default_factory=lambda: empty(columns.CAMPAIGNS))
    coupons: pl.DataFrame = field(default_factory=lambda: empty(columns.COUPONS))

    def __post_init__(self) -> None:
        _check("interactions", self.interactions, columns.INTERACTIONS, columns.INTERACTIONS_REQUIRED)
        _check("items", self.items, columns.ITEMS, columns.ITEMS_REQUIRED)
        _check("users", self.users, {columns.USER: pl.String}, columns.USERS_REQUIRED)
        _check("promotions", self.promotions, columns.PROMOTIONS, columns.PROMOTIONS_REQUIRED)
        _check("campaigns", self.campaigns, columns.CAMPAIGNS, columns.CAMPAIGNS_REQUIRED)
        _check("coupons", self.coupons, columns.COUPONS, columns.COUPONS_REQUIRED)

    def save(self, folder: Path) -> None:
        """Write into an existing folder: one Parquet file a table, of the purchases one a block."""
        self.stream().save(folder)

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        """Read what `save` wrote."""
        return Stream.load(folder).whole()

    def stream(self) -> "Stream":
        """The same, its purchases a block at a time."""
        return Stream(replace(self, interactions=self.interactions.clear()), lambda: self.interactions.iter_slices(BLOCK))

    def tables(self) -> dict[str, pl.DataFrame]:
        return {table.name: getattr(self, table.name) for table in fields(self)}


@dataclass(frozen=True)
class Stream:
    """A dataset whose purchases come a block at a time, in their order: memory holds no more of them, however many there are.

    Parameters
    ----------
    rest
        All other tables; `interactions` has the columns and no row.
    blocks
        Gives the purchases, from the first on each time that it is asked; all blocks have the columns of `rest.interactions`.
    """

    rest: Dataset
    blocks: Callable[[], Iterable[pl.DataFrame]]

    def whole(self) -> Dataset:
        """All of it in memory."""
        return replace(self.rest, interactions=pl.concat([self.rest.interactions, *self.blocks()]))

    def each(self, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Self:
        """The same with every block changed, row by row; the columns stay."""
        return replace(self, blocks=lambda: map(change, self.blocks()))

    def save(self, folder: Path) -> None:
        """Write into an existing folder: one Parquet file a table, of the purchases one a block."""
        for name, table in self.rest.tables().items():
            if name != _LINES:
                _write(table, folder / f"{name}.parquet")
        (folder / _LINES).mkdir()
        for number, block in enumerate(_even(self.rest.interactions, self.blocks())):
            _write(block, folder / _LINES / f"{number:05}.parquet")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote; the purchases are read from there whenever they are asked for."""
        files = sorted((folder / _LINES).glob("*.parquet"))
        tables = {table.name: pl.read_parquet(folder / f"{table.name}.parquet") for table in fields(Dataset) if table.name != _LINES}
        none = pl.scan_parquet(files[0]).head(0).collect()
        return cls(Dataset(interactions=none, **tables), lambda: map(pl.read_parquet, files))


def _even(none: pl.DataFrame, blocks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows, `BLOCK` of them at a time, whatever the sizes that they come in; one block without a row where there is none."""
    held = none
    given = False
    for block in blocks:
        held = pl.concat([held, block])
        while held.height >= BLOCK:
            yield held.head(BLOCK).rechunk()
            held, given = held.slice(BLOCK), True
    if held.height or not given:
        yield held.rechunk()


def _write(table: pl.DataFrame, path: Path) -> None:
    table.write_parquet(path, compression="zstd", statistics=False)


def empty(schema: dict[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    """A table without rows."""
    return pl.DataFrame(schema=schema)


def _check(name: str, table: pl.DataFrame, schema: dict[str, pl.DataType | type[pl.DataType]], required: tuple[str, ...]) -> None:
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise DataError(
            f"{name}: column {missing[0]!r} is missing. It has {table.columns}; map yours in `source.{name}.columns`.", table=name
        )
    for column, dtype in table.schema.items():
        wanted = schema.get(column)
        if wanted is not None and dtype != wanted:
            raise DataError(f"{name}: column {column!r} is {dtype}, expected {wanted}.", table=name)
