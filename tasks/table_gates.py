"""The tables of a dataset through their gates."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import I64, find
from cortex_rec.dataset import Stream
from tasks.gates import GateResult, check_blocks, check_table

#: Of fewer items each may well have a value of its own.
_FEWEST: Final = 100
#: Of the hashes by which repeated lines are found; the result is the same by any.
_SEED: Final = 0


def check_dataset(
    dataset: Stream, *, now: datetime, allowance: float, quarantine: Path, whole: bool = True, data_docs: Path | None = None
) -> tuple[Stream, list[dict[str, Any]]]:
    """Set bad rows of every table aside.

    Parameters
    ----------
    dataset
        What a source gave; its purchases are read twice here, and once more with what is returned.
    now
        No purchase can have happened after this moment; `sources.known_by.known_by` tells it for a source.
    allowance
        Share of a table's rows that may be set aside.
    quarantine, data_docs
        Folders, see `check_table`.
    whole
        Whether these are all purchases: of a part of them it is not asked whether the catalogue's items are bought at all.

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

    rest, given = dataset.rest, pl.all_horizontal(pl.col(columns.INTERACTIONS_REQUIRED).is_not_null())
    bought, repeated = _looked_over(dataset)
    was_bought = pl.col(columns.ITEM).is_in(bought.implode()) if whole else pl.lit(True)
    items = gate("items", rest.items.with_columns(is_first_row=pl.col(columns.ITEM).is_first_distinct(), was_bought=was_bought))
    users = gate("users", rest.users.with_columns(is_first_row=pl.col(columns.USER).is_first_distinct()))
    promotions = gate("promotions", rest.promotions.with_columns(end_is_after_start=pl.col(columns.END) > pl.col(columns.START)))
    of_campaign = rest.campaigns.with_columns(
        end_is_after_start=pl.col(columns.END) > pl.col(columns.START),
        is_first_row=pl.struct(columns.CAMPAIGN, columns.USER).is_first_distinct(),
    )
    campaigns, coupons = gate("campaigns", of_campaign), gate("coupons", rest.coupons)

    def as_judged(block: pl.DataFrame, again: pl.Series) -> pl.DataFrame:
        # A null is a fault of its own; it is not said again as a repeated line or an unlisted item.
        return block.with_columns(
            is_first_line=~again | ~given,
            item_is_listed=pl.col(columns.ITEM).is_in(items.passed[columns.ITEM].implode()) | pl.col(columns.ITEM).is_null(),
        )

    lines, bad = check_blocks(
        (as_judged(block, again) for block, again in _marked(dataset, repeated)),
        as_judged(rest.interactions, pl.Series([], dtype=pl.Boolean)),
        "interactions",
        allowance=allowance,
        quarantine=quarantine,
        parameters={"now": now},
        data_docs=data_docs,
    )
    results = {"items": items, "users": users, "promotions": promotions, "campaigns": campaigns, "coupons": coupons}
    clean = replace(
        dataset, rest=replace(rest, **{name: kept.passed.select(rest.tables()[name].columns) for name, kept in results.items()})
    )
    if not bad.is_empty():
        clean = replace(clean, blocks=lambda: (block.filter(~aside) for block, aside in _marked(dataset, bad.to_numpy())))
    rules = [*lines, *(rule for result in results.values() for rule in result.rules)]
    names = sorted(set(clean.rest.items.columns) - set(columns.ITEMS))
    if names:
        of_items = attributes(clean.rest.items, names)
        rules += check_table(of_items, "attributes", allowance=0.0, quarantine=quarantine, data_docs=data_docs).rules
    return clean, rules


def _looked_over(dataset: Stream) -> tuple[pl.Series, I64]:
    """The distinct items of all purchases, and the rows, ascending, of lines that were there before.

    Of each line eight bytes are kept; those that more than one line has are compared by what the lines say.
    """
    key = [name for name in (columns.BASKET, columns.USER, columns.ITEM, columns.TIMESTAMP) if name in dataset.rest.interactions.columns]
    bought, hashes = dataset.rest.interactions[columns.ITEM], [np.zeros(0, np.uint64)]
    for block in dataset.blocks():
        bought = pl.concat([bought, block[columns.ITEM]]).unique(maintain_order=True)
        hashes.append(block.select(key).hash_rows(seed=_SEED).to_numpy())
    ordered = np.concatenate(hashes)
    ordered.sort()
    shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if len(shared) == 0:
        return bought, np.zeros(0, np.int64)
    alike, at = [dataset.rest.interactions.select(pl.lit(0, pl.Int64).alias("row"), *key)], 0
    for block, own in zip(dataset.blocks(), hashes[1:], strict=True):
        rows = np.flatnonzero(find(shared, own) >= 0)
        alike.append(block[rows].select(pl.Series("row", at + rows), *key))
        at += block.height
    lines = pl.concat(alike)
    return bought, lines.filter(~pl.struct(key).is_first_distinct())["row"].to_numpy()


def _marked(dataset: Stream, rows: I64) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
    """Each block, and whether its rows are among those of the whole table, given ascending."""
    at = 0
    for block in dataset.blocks():
        own = rows[np.searchsorted(rows, at) : np.searchsorted(rows, at + block.height)] - at
        among = np.zeros(block.height, bool)
        among[own] = True
        yield block, pl.Series(among)
        at += block.height


def attributes(items: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """One row an attribute: its name, of how many items it is `known`, and `distinct_share`, its values over those, 0 of few items."""
    known = [items[name].count() for name in names]
    distinct = [items[name].drop_nulls().n_unique() for name in names]
    shares = [values / of if of >= _FEWEST else 0.0 for values, of in zip(distinct, known, strict=True)]
    schema = {"attribute": pl.String, "known": pl.Int64, "distinct_share": pl.Float64}
    return pl.DataFrame({"attribute": names, "known": known, "distinct_share": shares}, schema=schema)
