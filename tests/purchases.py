"""Purchases written down as rows, for tests that are checked by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import DAY
from cortex_rec.histories import Histories, from_interactions
from cortex_rec.ids import IdMap
from cortex_rec.queries import Queries, ask

START = datetime(2024, 1, 1)
#: Day 0 in seconds since 1970.
ORIGIN = int(START.replace(tzinfo=UTC).timestamp())


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    """Interactions from rows with `user`, `item`, `day` and, where wanted, `basket`, `store`, `quantity`, `price`, `discount`."""
    names = {columns.USER: "user", columns.ITEM: "item", columns.BASKET: "basket", columns.STORE: "store"}
    names |= {columns.QUANTITY: "quantity", columns.PRICE: "price", columns.DISCOUNT: "discount"}
    data: dict[str, list[Any]] = {ours: [row.get(theirs) for row in rows] for ours, theirs in names.items()}
    data[columns.TIMESTAMP] = [START + timedelta(days=row["day"]) for row in rows]
    return pl.DataFrame(data, schema=columns.INTERACTIONS)


def bought(user: str, item: str, day: float, basket: str | None = None, **more: Any) -> dict[str, Any]:
    """One line; each day is its own basket unless said otherwise."""
    return {"user": user, "item": item, "day": day, "basket": basket or f"{user}-{day}", **more}


def histories(*rows: dict[str, Any], users: Sequence[str] = ("u0", "u1"), items: Sequence[str] = ("a", "b", "c", "d")) -> Histories:
    """Encoded purchases of users u0 and u1 and items a to d; stores are s0 and s1."""
    return from_interactions(table(*rows), ids(*users), ids(*items), ids("s0", "s1"))


def queries(*rows: dict[str, Any], day: float, users: Sequence[int] = (0, 1), n_items: int = 4) -> Queries:
    """Users asked for on a day."""
    return ask(histories(*rows), np.array(users, np.int32), moment(day), n_items)


def ids(*names: str) -> IdMap:
    return IdMap(pl.Series(names, dtype=pl.String))


def moment(day: float) -> int:
    return ORIGIN + round(day * DAY)


def days(time: np.ndarray) -> list[float]:
    """Times as days after day 0."""
    return ((time - ORIGIN) / DAY).tolist()
