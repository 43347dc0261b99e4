"""The H&M competition's layout: articles, transactions, customers where they are, each plain or `.gz`, and pictures."""

import difflib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from cortex_rec import columns
from cortex_rec.config import HMSource, Windows
from cortex_rec.dataset import Dataset, empty
from cortex_rec.errors import DataError
from cortex_rec.sources import damage, pictures
from cortex_rec.sources.column_types import EXPECTED, convert, kind_of

Types = Mapping[str, pl.DataType | type[pl.DataType]]

ARTICLES: Final = "articles.csv"
CUSTOMERS: Final = "customers.csv"
TRANSACTIONS: Final = "transactions_train.csv"
IMAGES: Final = "images"

#: An article's id is its product's code and three digits of its colour, a product's code is seven digits. Programs that took them for
#: numbers have dropped leading zeros; pictures are named with them.
_ID_DIGITS: Final = 10
_CODE_DIGITS: Final = 7
#: What says the item's words and groups; every other column with a name is an attribute.
_TAKEN: Final = ("article_id", "product_code", "prod_name", "detail_desc", "index_name", "section_name", "department_name")
_LOG: Final = logging.getLogger(__name__)
_SHOWN: Final = 5
#: Said outright, since trying the ways in which times are written takes most of the time of reading.
_DAY: Final = "%Y-%m-%d"


def read(source: HMSource, windows: Windows) -> Dataset:
    """Read the files.

    Parameters
    ----------
    source
        The folder, and whether pictures are wanted.
    windows
        Not used.

    Returns
    -------
    Dataset
        Interactions in file order, one an article, customer and day: the file has a row a piece, so `quantity` is the number of
        equal rows. There are days but no receipts: what a customer buys on a day is one basket, as is everything that has a user and a
        moment but no basket id. `price` is in the competition's own unit, of which only ratios mean something; where it differs within
        a day, which happens in one line of two hundred, it is the lowest.

        Items have the three nested groups by which the shop parts its range (index, section, department) and as attributes all
        other columns with a name, without the numbers that say the same. `image` is the absolute path where there is a picture.

        Users have an age in bands of five years, club status and news frequency; the postal code is not taken.

        The sales channel (1 shop, 2 online) is left out: it is no store with a range of its own, and the best sellers of the
        channel of somebody's last purchase hold as much of the next day's (12.9 % in the first 100) as those of both (12.8 %).

    Raises
    ------
    DataError
        If a file is missing, empty, damaged, lacks a column or holds a day, price or age that is none.
    """
    folder = Path(source.folder)
    interactions = _interactions(needed(folder, TRANSACTIONS))
    items = _items(needed(folder, ARTICLES), folder / IMAGES if source.images else None)
    bought = interactions.select(pl.col(columns.ITEM).unique(maintain_order=True))
    unlisted = bought.join(items, on=columns.ITEM, how="anti", maintain_order="left")
    if not unlisted.is_empty():
        first = unlisted[columns.ITEM].head(_SHOWN).to_list()
        _LOG.warning("%s lacks %d articles that were bought, for example %s; only their ids are known.", ARTICLES, unlisted.height, first)
    customers = present(folder, CUSTOMERS)
    users = empty({columns.USER: pl.String}) if customers is None else _users(customers)
    return Dataset(interactions, pl.concat([items, unlisted], how="diagonal"), users, empty(columns.PROMOTIONS))


def present(folder: Path, name: str) -> Path | None:
    """The file of this name, plain or `.gz`, if there is one."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def needed(folder: Path, name: str) -> Path:
    """As `present`, of a file that must be there; a `DataError` says so when it is not."""
    path = present(folder, name)
    if path is None:
        raise DataError(
            f"{folder}: neither {name} nor {name}.gz is there. Correct `source.folder`; a relative one starts at the YAML's.", table=name
        )
    return path


def _interactions(path: Path) -> pl.DataFrame:
    types: Types = {"t_dat": columns.TIME_DTYPE, "price": pl.Float32}
    scan = _scan(path, ("t_dat", "customer_id", "article_id", "price"))
    # 31 million rows name 1.4 million customers of 64 letters each: as categories they are whole in memory only once.
    lines = _collect(
        path,
        scan,
        types,
        customer=pl.col("customer_id").cast(pl.Categorical),
        article=_digits("article_id", _ID_DIGITS).cast(pl.Categorical),
    )
    if lines.is_empty():
        raise DataError(f"{path}: no row after the header, so there is nothing to learn from.", table="interactions")
    return (
        lines.group_by("customer", "article", "t_dat", maintain_order=True)
        .agg(pl.len(), pl.col("price").min())
        .select(
            pl.col("customer").cast(pl.String).alias(columns.USER),
            pl.col("article").cast(pl.String).alias(columns.ITEM),
            pl.col("t_dat").alias(columns.TIMESTAMP),
            pl.col("len").cast(pl.Float32).alias(columns.QUANTITY),
            pl.col("price").alias(columns.PRICE),
        )
    )


def _items(path: Path, images: Path | None) -> pl.DataFrame:
    scan = _scan(path, _TAKEN)
    named = [name for name in scan.collect_schema() if name.endswith("_name") and name not in _TAKEN]
    # A department's name says little by itself: there is a Jersey for women, for men and for babies.
    department = pl.concat_str("section_name", "department_name", separator=", ", ignore_nulls=True).replace("", None)
    items = _collect(
        path,
        scan,
        {},
        **{
            columns.ITEM: _digits("article_id", _ID_DIGITS),
            columns.TITLE: pl.col("prod_name").str.strip_chars(),
            columns.DESCRIPTION: pl.col("detail_desc"),
            columns.DEPARTMENT: pl.col("index_name"),
            columns.CATEGORY: pl.col("section_name"),
            columns.SUBCATEGORY: department,
            "product_code": _digits("product_code", _CODE_DIGITS),
        },
        **{name: pl.col(name) for name in named},
    )
    if images is None or not images.is_dir():
        _LOG.info("%s: no pictures are taken.", images or path.parent)
        return items
    there = pictures.listed(images)
    root = os.path.abspath(images)
    files = [f"{item[:3]}/{item}.jpg" if item else "" for item in items[columns.ITEM]]
    return items.with_columns(pl.Series(columns.IMAGE, [f"{root}/{file}" if file in there else None for file in files], dtype=pl.String))


def _users(path: Path) -> pl.DataFrame:
    scan = _scan(path, ("customer_id", "club_member_status", "fashion_news_frequency", "age"))
    customers = _collect(
        path,
        scan,
        {"age": pl.Float32},
        customer_id=pl.col("customer_id"),
        club_member_status=pl.col("club_member_status"),
        # Both None and NONE are in the file.
        fashion_news_frequency=pl.col("fashion_news_frequency").str.to_lowercase(),
    )
    youngest = pl.col("age").cast(pl.Int32) // 5 * 5
    return customers.select(
        pl.col("customer_id").alias(columns.USER),
        pl.format("{}-{}", youngest, youngest + 4).alias("age"),
        "club_member_status",
        "fashion_news_frequency",
    )


def _digits(column: str, n: int) -> pl.Expr:
    """The text, with leading zeros where it is a shorter number."""
    text = pl.col(column)
    return pl.when(text.str.contains(r"^\d+$")).then(text.str.zfill(n)).otherwise(text)


def _scan(path: Path, needed: tuple[str, ...]) -> pl.LazyFrame:
    """A CSV file, all text; its header is checked."""
    try:
        # Everything is text at first: a guessed type would eat the leading zeros of ids.
        scan = pl.scan_csv(path, infer_schema=False)
        header = list(scan.collect_schema())
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{path}: the file is empty; copy it again from where it came.", table=path.name) from error
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise damage.explain(path, ",", error, path.name) from error
    missing = [column for column in needed if column not in header]
    if missing:
        near = difflib.get_close_matches(missing[0], header, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"{path}: column {missing[0]!r} of the H&M layout is missing. The file has {header}. {hint}For files of another layout use "
            "`source.kind: files`.",
            table=path.name,
        )
    return scan


def _collect(path: Path, scan: pl.LazyFrame, types: Types, **texts: pl.Expr) -> pl.DataFrame:
    """Some columns as text, some of a type; the streaming engine works in batches, so that the file is never whole in memory."""
    made = {name: convert(name, pl.String(), wanted, _DAY) for name, wanted in types.items()}
    lost = {f"lost {name}": pl.col(name).is_not_null() & expression.is_null() for name, expression in made.items()}
    try:
        table = scan.select(**texts, **made, **lost).collect(engine="streaming")
        for name, wanted in types.items():
            if table[f"lost {name}"].any():
                rows = table[f"lost {name}"].arg_true().head(_SHOWN).to_list()
                values = scan.select(pl.col(name).gather(rows)).collect()[name].to_list()
                expected = "a day such as 2020-09-22" if kind_of(wanted) == "time" else EXPECTED[kind_of(wanted)]
                shown = ", ".join(f"row {row}: {value!r}" for row, value in zip(rows, values, strict=True))
                raise DataError(
                    f"{path}: column {name!r}, {table[f'lost {name}'].sum()} of {table.height} values are not {expected} "
                    f"({shown}; row 0 is the first after the header). Correct them, or copy the file again from where it came.",
                    table=path.name,
                    rows=rows,
                )
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise damage.explain(path, ",", error, path.name) from error
    return table.select([*texts, *made])
