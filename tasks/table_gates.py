"""The tables of a dataset through their gates."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from cortex_rec import columns
from cortex_rec.dataset import Dataset
from tasks.gates import GateResult, check_table

#: Of fewer items each may well have a value of its own.
_FEWEST: Final = 100


def check_dataset(
    dataset: Dataset, *, now: datetime, allowance: float, quarantine: Path, data_docs: Path | None = None
) -> tuple[Dataset, list[dict[str, Any]]]:
    """Set bad rows of every table aside.

    Parameters
    ----------
    dataset
        What a source gave.
    now
        No purchase can have happened after this moment; `sources.known_by.known_by` tells it for a source.
    allowance
        Share of a table's rows that may be set aside.
    quarantine, data_docs
        Folders, see `check_table`.

    Returns
    -------
    clean
        The dataset without the rows set aside. Items come first: a purchase of an item that was set aside is one of an
        unlisted item.
    rules
        See `GateResult.rules`, of all tables.

    Raises
    ------
    GateFailed
        If a table has more bad rows than allowed, or an attribute of the items is no category.
    """

    def gate(name: str, frame: pl.DataFrame, **parameters: Any) -> GateResult:
        return check_table(frame, name, allowance=allowance, quarantine=quarantine, parameters=parameters, data_docs=data_docs)

    bought = dataset.interactions[columns.ITEM].unique().implode()
    first = {"is_first_row": pl.col(columns.ITEM).is_first_distinct(), "was_bought": pl.col(columns.ITEM).is_in(bought)}
    items = gate("items", dataset.items.with_columns(**first))
    users = gate("users", dataset.users.with_columns(is_first_row=pl.col(columns.USER).is_first_distinct()))
    promotions = gate("promotions", dataset.promotions.with_columns(end_is_after_start=pl.col(columns.END) > pl.col(columns.START)))
    of_campaign = dataset.campaigns.with_columns(
        end_is_after_start=pl.col(columns.END) > pl.col(columns.START),
        is_first_row=pl.struct(columns.CAMPAIGN, columns.USER).is_first_distinct(),
    )
    campaigns, coupons = gate("campaigns", of_campaign), gate("coupons", dataset.coupons)

    lines = dataset.interactions
    key = [name for name in (columns.BASKET, columns.USER, columns.ITEM, columns.TIMESTAMP) if name in lines.columns]
    given = pl.all_horizontal(pl.col(columns.INTERACTIONS_REQUIRED).is_not_null())
    interactions = gate(
        "interactions",
        # A null is a fault of its own; it is not said again as a repeated line or an unlisted item.
        lines.with_columns(
            is_first_line=pl.struct(key).is_first_distinct() | ~given,
            item_is_listed=pl.col(columns.ITEM).is_in(items.passed[columns.ITEM].implode()) | pl.col(columns.ITEM).is_null(),
        ),
        now=now,
    )
    results = {"interactions": interactions, "items": items, "users": users, "promotions": promotions}
    results |= {"campaigns": campaigns, "coupons": coupons}
    clean = Dataset(**{name: result.passed.select(dataset.tables()[name].columns) for name, result in results.items()})
    rules = [rule for result in results.values() for rule in result.rules]
    names = sorted(set(clean.items.columns) - set(columns.ITEMS))
    if names:
        rules += check_table(attributes(clean.items, names), "attributes", allowance=0.0, quarantine=quarantine, data_docs=data_docs).rules
    return clean, rules


def attributes(items: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """One row an attribute: its name, of how many items it is `known`, and `distinct_share`, its values over those, 0 of few items."""
    known = [items[name].count() for name in names]
    distinct = [items[name].drop_nulls().n_unique() for name in names]
    shares = [values / of if of >= _FEWEST else 0.0 for values, of in zip(distinct, known, strict=True)]
    schema = {"attribute": pl.String, "known": pl.Int64, "distinct_share": pl.Float64}
    return pl.DataFrame({"attribute": names, "known": known, "distinct_share": shares}, schema=schema)
