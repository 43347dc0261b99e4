"""A small made-up shop whose people have habits: data for tests that want a whole `Dataset` in milliseconds."""

from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.dataset import Dataset

#: The shop opens on a Monday at midnight; week `w` (0-based) starts `w` weeks later.
OPENING: Final = datetime(2024, 1, 1)
#: department -> subcategory -> what is sold there
SHELVES: Final = {
    "PRODUCE": {"APPLES": "apples", "SALAD": "green salad", "TROPICAL FRUIT": "bananas"},
    "DAIRY": {"MILK": "milk", "YOGURT": "yogurt", "CHEESE": "cheese"},
    "BAKERY": {"BREAD": "bread", "ROLLS": "rolls"},
    "GROCERY": {"COFFEE": "coffee", "PASTA": "pasta"},
}
BRANDS: Final = ("Own", "Hill", "Lake", "Field")
_CATALOGUE: Final = {name: kind for name, kind in columns.ITEMS.items() if name not in (columns.DESCRIPTION, columns.IMAGE)}


def small_shop(seed: int = 0, users: int = 60, items: int = 80, weeks: int = 12) -> Dataset:
    """Purchases, catalogue, people and offers of a made-up shop; the same arguments give the same tables.

    Each user has one of three stores and eight favourites; each favourite is bought in its own rhythm of one to four weeks,
    beside a few bestsellers and what is on offer. Every user buys in the first week. The last two items are listed but never sold.
    A third of the users each was sent one of three campaigns, whose coupons hold for four weeks and for ten items.

    Parameters
    ----------
    seed
        Of the generator.
    users, items, weeks
        How many; at least 1 user, 12 items and 1 week. Ids are `h000`, …; `i000`, …; stores `s0` to `s2`.

    Returns
    -------
    Dataset
        All columns of `columns.py` but descriptions and pictures; times lie in [`OPENING`, `OPENING` + weeks), offers are known
        for one week more.
    """
    rng = np.random.default_rng(seed)
    catalogue = _catalogue(items)
    promotions = _promotions(rng, items - 2, weeks + 1)
    interactions = _purchases(rng, users, items - 2, weeks, promotions)
    people = {columns.USER: [f"h{user:03}" for user in range(users)], "household_size": [str(1 + user % 4) for user in range(users)]}
    return Dataset(
        pl.DataFrame(interactions, schema=columns.INTERACTIONS, orient="row"),
        pl.DataFrame(catalogue, schema=_CATALOGUE, orient="row"),
        pl.DataFrame(people),
        pl.DataFrame(promotions, schema=columns.PROMOTIONS, orient="row"),
        pl.DataFrame(_campaigns(users), schema=columns.CAMPAIGNS, orient="row"),
        pl.DataFrame(
            {
                columns.CAMPAIGN: [f"c{c}" for c in range(3) for _ in range(10)],
                columns.ITEM: [f"i{c + i:03}" for c in range(3) for i in range(10)],
            }
        ),
    )


def _catalogue(items: int) -> list[tuple[Any, ...]]:
    shelves = [(department, name, thing) for department, names in SHELVES.items() for name, thing in names.items()]
    rows: list[tuple[Any, ...]] = []
    for item in range(items):
        department, subcategory, thing = shelves[item % len(shelves)]
        brand, size = BRANDS[item // len(shelves) % len(BRANDS)], f"{1 + item // (len(shelves) * len(BRANDS))} KG"
        rows.append((f"i{item:03}", f"{brand} {thing} {size.lower()}", department, department, subcategory, brand, size))
    return rows


def _promotions(rng: np.random.Generator, sold: int, weeks: int) -> list[tuple[Any, ...]]:
    """Four items a week and store, all in the mailer, every second one on display too."""
    rows = []
    for week in range(weeks):
        start = OPENING + timedelta(weeks=week)
        for store in range(3):
            for place, item in enumerate(rng.choice(sold, 4, replace=False)):
                rows.append((f"i{item:03}", f"s{store}", start, start + timedelta(weeks=1), "1" if place % 2 else "0", "A"))
    return rows


def _campaigns(users: int) -> list[tuple[Any, ...]]:
    """When the twelfth week starts, the first is over, the second holds, and the third starts on the next day."""
    starts = [OPENING + timedelta(weeks=3), OPENING + timedelta(weeks=8), OPENING + timedelta(weeks=11, days=1)]
    return [
        (f"c{campaign}", f"h{user:03}", start, start + timedelta(weeks=4))
        for campaign, start in enumerate(starts)
        for user in range(campaign, users, 3)
    ]


def _purchases(rng: np.random.Generator, users: int, sold: int, weeks: int, promotions: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    offered = {(start, store, item) for item, store, start, *_ in promotions}
    shelf_price = np.round(rng.uniform(0.5, 9.0, sold), 2)
    rows = []
    for user in range(users):
        store, favourites, rhythm = f"s{user % 3}", rng.choice(sold, 8, replace=False), rng.integers(1, 5, 8)
        for week in range(weeks):
            start = OPENING + timedelta(weeks=week)
            wanted = {int(item) for item, every in zip(favourites, rhythm, strict=True) if week % every == 0}
            # Bestsellers: the lower the row, the more often.
            wanted |= {int(item) for item in rng.geometric(0.08, 2) - 1 if item < sold}
            wanted |= {item for item in range(sold) if (start, store, f"i{item:03}") in offered and rng.random() < 0.15}
            time = start + timedelta(minutes=int(rng.integers(8 * 60, 7 * 24 * 60)))
            for item in sorted(wanted):
                discount = 0.25 if (start, store, f"i{item:03}") in offered else 0.0
                quantity, price = float(rng.integers(1, 4)), float(shelf_price[item]) * (1 - discount)
                rows.append((f"h{user:03}", f"i{item:03}", time, f"b{user:03}-{week:02}", store, quantity, price, discount))
    return rows
