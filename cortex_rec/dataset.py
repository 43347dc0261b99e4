"""The tables that every source becomes."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import polars as pl

from cortex_rec import columns
from cortex_rec.errors import DataError


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
        """Write one Parquet file a table into an existing folder."""
        for name, table in self.tables().items():
            table.write_parquet(folder / f"{name}.parquet", compression="zstd", statistics=False)

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        """Read what `save` wrote."""
        return cls(**{table.name: pl.read_parquet(folder / f"{table.name}.parquet") for table in fields(cls)})

    def tables(self) -> dict[str, pl.DataFrame]:
        return {table.name: getattr(self, table.name) for table in fields(self)}


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
