"""The figures of a real year that synthetic purchases are drawn from: totals and distributions, nothing of any one customer."""

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np

from cortex_rec.arrays import F64

#: Popularities of an item, in multiples of the mean of its group.
POPULARITY: Final = np.geomspace(0.002, 500, 70)
#: Mean pairs of a group's items at which the next class of groups begins.
MEANS: Final = (0.5, 1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Groups:
    """One entry a group of items: those of one department, category and subcategory.

    Parameters
    ----------
    department, category, subcategory
        Its names; None where the real catalogue has none.
    items
        (groups,) float64, items listed.
    pairs
        (groups,) float64, pairs of a household and an item of the group that it bought, made larger for what nearly everybody buys: as many
        as independent draws would need.
    again
        (groups,) float64, further purchases a pair.
    gap
        (groups,) float64, median days between two purchases of a pair.
    price
        (groups,) float64, median price before discounts.
    offered
        (groups,) float64, share of lines with a discount.
    """

    department: tuple[str | None, ...]
    category: tuple[str | None, ...]
    subcategory: tuple[str | None, ...]
    items: F64
    pairs: F64
    again: F64
    gap: F64
    price: F64
    offered: F64


@dataclass(frozen=True)
class Shape:
    """What was measured on the real year.

    Parameters
    ----------
    users, items, events
        How many there are; `items` are those listed.
    groups
        The catalogue's groups.
    popularity
        (len(MEANS) + 1, len(POPULARITY) + 2) share of items that are so much more or less popular than the mean of their group, by class
        of that mean; then of those that find one buyer, and of those that find none.
    favour
        The power of its popularity within its group by which an item is bought again more often than others of the group.
    trips
        Baskets of a household in the year: evenly spaced quantiles.
    basket
        (classes, quantiles) mean lines a basket of a household, by class of the number of its baskets.
    evenness
        Shape of the gamma distribution of the baskets of one household.
    first, last
        Quantiles over households of the first and the last day with a purchase.
    day
        (days,) share of lines on each day of the year.
    hour
        (7, 24) share of lines in each hour, Monday first; a row sums to 1.
    home
        Share of its baskets that a household buys in the store where it buys most.
    store
        (stores,) share of all baskets, the busiest store first.
    quantity
        Share of lines with 1, 2, … pieces.
    depth
        Quantiles of the discount where there is one.
    released, ended
        Share of items that came into the catalogue within the year, and that left it.
    """

    users: int
    items: int
    events: int
    groups: Groups
    popularity: F64
    favour: float
    trips: F64
    basket: F64
    evenness: float
    first: F64
    last: F64
    day: F64
    hour: F64
    home: float
    store: F64
    quantity: F64
    depth: F64
    released: float
    ended: float

    def save(self, path: Path) -> None:
        """Write it as JSON, numbers with three digits."""
        path.write_text(json.dumps(_plain(asdict(self)), ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")

    @classmethod
    def load(cls) -> "Shape":
        """The one that comes with the package: Complete Journey's year, as `python -m cortex_rec.synthesis.fit` writes it."""
        raw: Any = _back(json.loads(files("cortex_rec.synthesis").joinpath("shape.json").read_text(encoding="utf-8")))
        return cls(**raw | {"groups": Groups(**raw["groups"])})


def _plain(value: Any) -> Any:
    """As JSON has it; a column of words that repeat is its distinct words and their places."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        words = sorted(set(value) - {None})
        return {"words": words, "at": [words.index(word) if word is not None else -1 for word in value]}
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value]
    if isinstance(value, float | np.floating):
        short = float(f"{value:.3g}")
        return int(short) if short.is_integer() else short
    return value


def _back(value: Any) -> Any:
    if isinstance(value, dict) and "words" in value:
        words = [*value["words"], None]
        return tuple(words[place] for place in value["at"])
    if isinstance(value, dict):
        return {name: _back(part) for name, part in value.items()}
    return np.array(value, np.float64) if isinstance(value, list) else value
