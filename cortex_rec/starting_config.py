"""A first YAML for a person's own orders, guessed from the header of their file."""

import csv
import gzip
import re
from pathlib import Path
from typing import Final

import polars as pl
import yaml

from cortex_rec import columns
from cortex_rec.errors import ConfigError, DataError

#: Our columns and what shops call them, most telling first; compared in lower case without punctuation.
_CALLED: Final[dict[str, tuple[str, ...]]] = {
    columns.USER: ("userid", "customerid", "householdid", "memberid", "clientid", "custid", "shopperid", "user", "customer", "household"),
    columns.ITEM: ("itemid", "productid", "articleid", "sku", "skuid", "stockcode", "item", "product", "article"),
    columns.TIMESTAMP: (
        *("timestamp", "transactiontimestamp", "invoicedate", "orderdate", "orderedat", "ordertime", "purchasedate", "purchasedat"),
        *("transactiondate", "saledate", "tdat", "datetime", "createdat", "date", "time"),
    ),
    columns.BASKET: ("basketid", "orderid", "invoiceno", "invoice", "transactionid", "receiptid", "basket", "order"),
    columns.STORE: ("storeid", "shopid", "branchid", "store", "shop", "branch"),
    columns.QUANTITY: ("quantity", "qty", "units"),
    columns.PRICE: ("price", "unitprice", "priceperunit"),
    columns.DISCOUNT: ("discount", "discountshare", "discountrate"),
}


def starting_config(orders: Path) -> str:
    """YAML text of a run on this file.

    Parameters
    ----------
    orders
        CSV (`.gz` too) or Parquet with one row a purchase.

    Raises
    ------
    ConfigError
        If no column looks like the user, the item or the time; the message lists the header.
    DataError
        If the file is missing or its header cannot be read.
    """
    header, separator = _header(orders)
    found = guess_columns(header)
    missing = [column for column in columns.INTERACTIONS_REQUIRED if column not in found]
    if missing:
        raise ConfigError(
            f"{orders}: no column looks like {', '.join(missing)} among {header}. Write the YAML by hand: docs/your-data.md shows how."
        )
    table: dict[str, object] = {"path": str(orders.resolve()), "columns": found}
    if separator != ",":
        table["separator"] = separator
    name = re.sub(r"[^a-z0-9]+", "-", orders.name.split(".")[0].lower()).strip("-") or "shop"
    body: str = yaml.safe_dump({"name": name, "source": {"kind": "files", "interactions": table}}, sort_keys=False, allow_unicode=True)
    return (
        "# Made by `cortex-rec init` from the header of the file; check the columns (ours: yours), then `cortex-rec train` this file.\n"
        "# docs/your-data.md tells what else can be set, and how to add items, users and promotions.\n" + body
    )


def guess_columns(header: list[str]) -> dict[str, str]:
    """Our column name -> the header's, for those that can be told; no header column is used twice."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(header)}
    found: dict[str, str] = {}
    for ours, names in _CALLED.items():
        theirs = next((plain[name] for name in names if name in plain and plain[name] not in found.values()), None)
        if theirs is not None:
            found[ours] = theirs
    return found


def _header(path: Path) -> tuple[list[str], str]:
    """Column names, and the separator of a text file."""
    try:
        if path.suffix == ".parquet":
            return list(pl.read_parquet_schema(path)), ","
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            first = file.readline().decode("utf-8-sig")
        if not first.strip():
            raise DataError(f"{path}: the file is empty; its first line must name the columns.", table=path.name)
        separator = max(",;\t|", key=first.count)
        return next(csv.reader([first.rstrip("\r\n")], delimiter=separator)), separator
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.", table=path.name) from error
    except (OSError, EOFError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        message = f"{path}: the header cannot be read ({error}). Give a UTF-8 CSV (.gz too) or a Parquet file."
        raise DataError(message, table=path.name) from error
