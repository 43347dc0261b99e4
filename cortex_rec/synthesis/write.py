"""A folder of synthetic purchases: one Parquet file a day, the items, and the configuration that trains on them.

Memory stays bounded whatever the size: households are made in blocks, each with a generator of its own, and laid aside in the order
of time; then each day is put together from its part of every block.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from cortex_rec import columns, folders
from cortex_rec.arrays import DAY, F64, I64, Array, pointers, ranges
from cortex_rec.errors import ArtifactError, ConfigError
from cortex_rec.sources.shelf_words import readable
from cortex_rec.synthesis import catalogue, households
from cortex_rec.synthesis.catalogue import Catalogue
from cortex_rec.synthesis.households import BASKET, LINE, Plans
from cortex_rec.synthesis.shape import Shape

START: Final = datetime(2017, 1, 1)
#: Lines of a block, about; a household counts as some lines more than it buys, so that a block of idle ones is no larger.
BLOCK: Final = 1_000_000
_IDLE: Final = 10
_CONFIG: Final = """\
# Synthetic purchases, made by: cortex-rec synth --users {users} --items {items} --events {events} --seed {seed}
name: synthetic
source:
  kind: files
  interactions: {{path: interactions/*.parquet}}
  items: {{path: items.parquet}}
"""


@dataclass(frozen=True)
class Size:
    """How much is made."""

    users: int
    items: int
    events: int


def sized(shape: Shape, users: int | None, items: int | None, events: int | None) -> Size:
    """What is not said follows from what is: users grow with the events, items with their square root, from those of the real year.

    Raises
    ------
    ConfigError
        If a number is not above zero, there are fewer events than users, or more than a household can buy.
    """
    for name, given in (("users", users), ("items", items), ("events", events)):
        if given is not None and given < 1:
            raise ConfigError(f"synth: --{name} {given} is not above zero.")
    if events is None:
        events = shape.events if users is None else max(round(users * shape.events / shape.users), 1)
    growth = events / shape.events
    made = Size(users or max(round(shape.users * growth), 1), items or max(round(shape.items * growth**0.5), 1), events)
    if made.events < made.users:
        raise ConfigError(f"synth: {made.events:,} events are too few for {made.users:,} users; each has at least one. Lower --users.")
    if max(made.users, made.items) >= 2**31:
        raise ConfigError("synth: more than 2,147,483,647 users or items cannot be numbered.")
    return made


def write(size: Size, folder: Path, *, seed: int, threads: int = 2) -> None:
    """Fill a folder that is not there yet, or empty.

    Parameters
    ----------
    size
        Users, items and events.
    folder
        Gets `interactions/YYYY-MM-DD.parquet`, `items.parquet` and `config.yaml`; it appears whole or not at all.
    seed
        The same size and seed give the same bytes.
    threads
        Blocks, and then days, that are worked on at once; they change nothing of what is written.

    Raises
    ------
    ConfigError
        If the folder is there and not empty.
    ArtifactError
        If it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is there already and not empty. Choose another --output.")
    shape = Shape.load()
    goods = catalogue.make(shape, size.items, np.random.default_rng((seed, 0)))
    plans = households.plan(shape, size.users, size.events, np.random.default_rng((seed, 1)))
    with folders.draft(folder.parent) as draft, ThreadPoolExecutor(threads) as pool:
        (draft / "interactions").mkdir()
        (draft / "blocks").mkdir()
        cuts, ends = _cuts(plans, size.events)

        def block(number: int) -> "_Block":
            first = int(cuts[number])
            own = plans.take(slice(first, int(cuts[number + 1])))
            made = households.shop(shape, goods, own, first + 1, int(ends[number + 1] - ends[number]), (number, len(cuts) - 1), seed)
            return _Block.save(draft / "blocks" / f"{number:05d}", *made, days=len(shape.day))

        blocks = list(pool.map(block, range(len(cuts) - 1)))
        numbers = pointers(np.sum([np.diff(each.baskets) for each in blocks], axis=0))
        offers = _Offers(shape, goods, np.random.default_rng((seed, 3)))
        list(pool.map(lambda day: _write_day(draft / "interactions", day, blocks, int(numbers[day]), goods, offers), range(len(shape.day))))
        for each in blocks:
            each.remove()
        (draft / "blocks").rmdir()
        _items(shape, goods).write_parquet(draft / "items.parquet", statistics=False)
        told = _CONFIG.format(users=size.users, items=size.items, events=size.events, seed=seed)
        (draft / "config.yaml").write_text(told, encoding="utf-8")
        if not folders.settle(draft, folder):
            raise ArtifactError(f"{folder}: was filled by another process meanwhile. Choose another --output.")


def _cuts(plans: Plans, n_events: int) -> tuple[I64, I64]:
    """First household of each block, and the lines before it; both with the total at the end."""
    lines = np.cumsum(plans.trips * plans.size)
    weight = lines + _IDLE * np.arange(1, len(lines) + 1)
    n = max(int(np.ceil(weight[-1] / BLOCK)), 1)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(weight, weight[-1] * np.arange(1, n) / n), [len(lines)]]))
    ends = np.round(np.concatenate([[0.0], lines])[cuts] / lines[-1] * n_events)
    return cuts.astype(np.int64), ends.astype(np.int64)


@dataclass(frozen=True)
class _Block:
    """A block's files; the baskets of day `d` are `baskets[d]:baskets[d + 1]`, its lines `lines[d]:lines[d + 1]`."""

    path: Path
    baskets: I64
    lines: I64

    @staticmethod
    def save(path: Path, baskets: Array, lines: Array, *, days: int) -> "_Block":
        baskets.tofile(path.with_suffix(".baskets"))
        lines.tofile(path.with_suffix(".lines"))
        at = np.searchsorted(baskets["second"], np.arange(days + 1) * DAY)
        return _Block(path, at, pointers(baskets["lines"])[at])

    def day(self, day: int) -> tuple[Array, Array]:
        return self._part(".baskets", BASKET, self.baskets, day), self._part(".lines", LINE, self.lines, day)

    def remove(self) -> None:
        self.path.with_suffix(".baskets").unlink()
        self.path.with_suffix(".lines").unlink()

    def _part(self, suffix: str, dtype: np.dtype[Any], at: I64, day: int) -> Array:
        start, end = int(at[day]), int(at[day + 1])
        return np.fromfile(self.path.with_suffix(suffix), dtype, count=end - start, offset=start * dtype.itemsize)


class _Offers:
    """Which items are on offer in which week, and by how much: equal for everybody, and known from item and week alone."""

    def __init__(self, shape: Shape, goods: Catalogue, rng: np.random.Generator) -> None:
        self._often = shape.groups.offered[goods.group]
        self._depth = shape.depth
        self._salt = np.uint64(rng.integers(2**63))

    def discount(self, item: I64, week: int) -> F64:
        chance = _mixed(item.astype(np.uint64) * np.uint64(64) + np.uint64(week), self._salt)
        often = self._often[item]
        deep = np.interp(chance / np.maximum(often, 1e-9), np.linspace(0, 1, len(self._depth)), self._depth)
        result: F64 = np.where(chance < often, deep, 0.0)
        return result


def _mixed(key: Array, salt: np.uint64) -> F64:
    """Numbers from 0 to 1 that look random, by splitmix64 (Steele et al. 2014)."""
    value = (key + salt) * np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((value ^ (value >> np.uint64(31))) >> np.uint64(11), np.float64) * 2.0**-53


def _write_day(folder: Path, day: int, blocks: Sequence[_Block], first_basket: int, goods: Catalogue, offers: _Offers) -> None:
    parts = [block.day(day) for block in blocks]
    baskets, lines = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    if len(baskets) == 0:
        return
    counts = baskets["lines"]
    order = np.argsort(baskets["second"], kind="stable")
    lines = lines[ranges(pointers(counts)[:-1][order], counts[order])]
    baskets = np.repeat(baskets[order], counts[order])
    number = first_basket + 1 + np.repeat(np.arange(len(order)), counts[order])
    item = lines["item"].astype(np.int64)
    discount = offers.discount(item, day // 7)
    pl.DataFrame(
        {
            columns.USER: baskets["user"],
            columns.ITEM: goods.id[item],
            columns.TIMESTAMP: pl.Series(baskets["second"].astype(np.int64) * 1_000_000 + _EPOCH).cast(columns.TIME_DTYPE),
            columns.BASKET: number,
            columns.STORE: baskets["store"],
            columns.QUANTITY: lines["quantity"].astype(np.float32),
            columns.PRICE: np.round(goods.price[item] * (1 - discount), 2).astype(np.float32),
            columns.DISCOUNT: discount.astype(np.float32),
        }
    ).write_parquet(folder / f"{date_of(day)}.parquet", statistics=False)


_EPOCH: Final = int((START - datetime(1970, 1, 1)).total_seconds()) * 1_000_000


def date_of(day: int) -> date:
    """The date of a day of the year, counted from 0."""
    return (START + timedelta(days=day)).date()


def _items(shape: Shape, goods: Catalogue) -> pl.DataFrame:
    """The items by their ids; a title is what the shelf of its group says."""
    groups = shape.groups
    names = pl.DataFrame({name: getattr(groups, name) for name in (columns.DEPARTMENT, columns.CATEGORY, columns.SUBCATEGORY)})
    names = names.with_columns(readable(names[columns.SUBCATEGORY]).alias(columns.TITLE))
    table = names[goods.group].with_columns(pl.Series(columns.ITEM, goods.id))
    return table.select(columns.ITEM, columns.TITLE, columns.DEPARTMENT, columns.CATEGORY, columns.SUBCATEGORY).sort(columns.ITEM)
