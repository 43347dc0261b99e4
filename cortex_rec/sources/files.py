"""A shop's own CSV and Parquet files, with a mapping from our column names to theirs."""

import difflib
import glob
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from cortex_rec import columns
from cortex_rec.config import FilesSource, TableFiles, Windows
from cortex_rec.dataset import BLOCK, Dataset, Stream, empty
from cortex_rec.errors import ConfigError, DataError
from cortex_rec.sources import damage, pictures
from cortex_rec.sources.column_types import EXPECTED, convert, kind_of

Schema = Mapping[str, pl.DataType | type[pl.DataType]]
_LOG: Final = logging.getLogger(__name__)
_SHOWN: Final = 5


def stream(source: FilesSource, windows: Windows, *, since: datetime | None = None) -> Stream:
    """Read a shop's files, the purchases block by block whenever they are asked for.

    Parameters
    ----------
    source
        Where the tables are. Only interactions are needed: without an items table the catalogue is what was bought.
        Of the users table only mapped columns are taken, so that a name or address never gets in by accident; of the items table
        our own columns and those that `attributes` names.
    windows
        Not used: own files are read whole.
    since
        Leave out purchases before this moment. A file that holds none of it or later is not read but for its times; a line without
        a time in one that does is kept, so that the gate tells of it.

    Raises
    ------
    The same comes from the blocks, where it is the purchases' files.

    ConfigError
        If `columns` names a column that we do not have, `attributes` one that we have or without an items table, or one of campaigns
        and coupons is given without the other.
    DataError
        If a file is missing, empty, damaged or not UTF-8, a mapped column is missing, a value has the wrong type, or a picture's path
        leaves the folder of the items file.
    """
    _check_attributes(source)
    header = _columns_of("interactions", source.interactions, columns.INTERACTIONS, columns.INTERACTIONS_REQUIRED)
    none = empty({name: columns.INTERACTIONS[name] for name in header})

    def lines() -> Iterator[pl.DataFrame]:
        rows = 0
        for block in _blocks("interactions", source.interactions, columns.INTERACTIONS, columns.INTERACTIONS_REQUIRED, since):
            rows += block.height
            lacking = (pl.lit(None, none.schema[name]).alias(name) for name in none.columns if name not in block.columns)
            yield block.with_columns(lacking).select(none.columns)
        if rows == 0 and since is None:
            message = f"{source.interactions.path}: no row after the header, so there is nothing to learn from."
            raise DataError(message, table="interactions")

    if source.items is None:
        bought = (block.select(pl.col(columns.ITEM).drop_nulls().unique(maintain_order=True)) for block in lines())
        items = pl.concat([none.select(columns.ITEM), *bought]).unique(maintain_order=True)
    else:
        schema = dict(columns.ITEMS) | dict.fromkeys(source.attributes, pl.String)
        items = _table("items", source.items, schema, (*columns.ITEMS_REQUIRED, *source.attributes))
    if source.users is None:
        users = empty({columns.USER: pl.String})
    else:
        users = _table(
            "users", source.users, {columns.USER: pl.String} | dict.fromkeys(source.users.columns, pl.String), columns.USERS_REQUIRED
        )
    if source.promotions is None:
        promotions = empty(columns.PROMOTIONS)
    else:
        promotions = _table("promotions", source.promotions, columns.PROMOTIONS, columns.PROMOTIONS_REQUIRED)
    rest = Dataset(none, items, users, promotions)
    if source.campaigns is not None and source.coupons is not None:
        campaigns = _table("campaigns", source.campaigns, columns.CAMPAIGNS, columns.CAMPAIGNS_REQUIRED)
        rest = replace(rest, campaigns=campaigns, coupons=_table("coupons", source.coupons, columns.COUPONS, columns.COUPONS_REQUIRED))
    elif source.campaigns is not None or source.coupons is not None:
        raise ConfigError("source: `campaigns` says whom a campaign was sent to and `coupons` for which items it is; give both or neither.")
    return Stream(rest, lines)


def read_items(path: Path) -> pl.DataFrame:
    """A file of items alone, with our own column names; every further column is taken as an attribute.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged or not UTF-8, has no column of ids, or a picture's path leaves its folder.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file.", table="items")
    files = TableFiles(path=str(path))
    ours = pl.concat(_file("items", path, files, columns.ITEMS, columns.ITEMS_REQUIRED))
    further = [name for name in _scan("items", path, files.separator).collect_schema() if name not in columns.ITEMS]
    schema = dict(columns.ITEMS) | dict.fromkeys(further, pl.String)
    return pl.concat(_file("items", path, files, schema, columns.ITEMS_REQUIRED)) if further else ours


def _check_attributes(source: FilesSource) -> None:
    if source.attributes and source.items is None:
        raise ConfigError("source: `attributes` are columns of the items table; say in `source.items` where that is.")
    ours = [name for name in source.attributes if name in columns.ITEMS]
    if ours:
        raise ConfigError(
            f"source.attributes: {ours[0]!r} is a column of ours, which is read without being named here. An attribute is a further column."
        )


def matching(pattern: str) -> list[Path]:
    """The file of this exact name, else all that match the pattern, in the order of their names.

    Raises
    ------
    DataError
        If there is none.
    """
    if Path(pattern).is_file():
        return [Path(pattern)]
    found = sorted(path for path in map(Path, glob.glob(pattern, recursive=True)) if path.is_file())
    if not found:
        raise DataError(f"{pattern}: no such file. Correct it in `source`; a relative path starts at the YAML's folder.", table=pattern)
    return found


def _table(name: str, files: TableFiles, schema: Schema, required: tuple[str, ...]) -> pl.DataFrame:
    """One table from all its files; a column that a later file lacks is null there."""
    return pl.concat(_blocks(name, files, schema, required), how="diagonal")


def _blocks(
    name: str, files: TableFiles, schema: Schema, required: tuple[str, ...], since: datetime | None = None
) -> Iterator[pl.DataFrame]:
    """All files of a table, one after the other, of each at least one block."""
    _check_mapping(name, files, schema)
    for path in matching(files.path):
        yield from _file(name, path, files, schema, required, since)


def _check_mapping(name: str, files: TableFiles, schema: Schema) -> None:
    for ours in files.columns:
        if ours not in schema:
            near = difflib.get_close_matches(ours, schema, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It is one of {list(schema)}."
            if name == "items" and not near:
                hint += " A further column goes into `source.attributes`."
            raise ConfigError(f"source.{name}.columns: {ours!r} is not a column of {name}. {hint} Write `ours: theirs`.")


def _columns_of(name: str, files: TableFiles, schema: Schema, required: tuple[str, ...]) -> list[str]:
    """Our columns that any of a table's files has, in the order in which they are met."""
    _check_mapping(name, files, schema)
    found: dict[str, None] = {}
    for path in matching(files.path):
        with _explained(name, path, files):
            found |= dict.fromkeys(_taken(name, path, files, schema, required, list(_scan(name, path, files.separator).collect_schema())))
    return list(found)


def _file(
    name: str, path: Path, files: TableFiles, schema: Schema, required: tuple[str, ...], since: datetime | None = None
) -> Iterator[pl.DataFrame]:
    """The rows of a file, so many at a time that memory holds a block of the taken columns; one block without a row where there is none."""
    with _explained(name, path, files):
        scan = _scan(name, path, files.separator)
        header = scan.collect_schema()
        taken = _taken(name, path, files, schema, required, list(header))
        ignored = [column for column in header if column not in taken.values()]
        if ignored:
            _LOG.info("%s: columns %s are not mapped and ignored.", path, ignored)
        types = {ours: (theirs, header[theirs], schema[ours]) for ours, theirs in taken.items()}
        made = {ours: convert(theirs, found, wanted, files.time_format) for ours, (theirs, found, wanted) in types.items()}
        lost = {
            ours: pl.col(theirs).is_not_null() & made[ours].is_null()
            for ours, (theirs, found, wanted) in types.items()
            if found != wanted and not (found.is_float() and kind_of(wanted) == "number")
        }
        whole = scan
        if since is not None:
            time = made[columns.TIMESTAMP]
            newest = scan.select(time.max()).collect(engine="streaming").item()
            scan = scan.filter((time >= since) | time.is_null()) if newest is not None and newest >= since else scan.head(0)
        flags = [expression.alias(f"lost {ours}") for ours, expression in lost.items()]
        table = scan.select(*(expression.alias(ours) for ours, expression in made.items()), *flags)
        none = pl.DataFrame(schema=table.collect_schema())
        # The streaming engine unpacks a `.gz` block by block, and stops reading while nobody takes a block.
        for block in _at_least_one(table.collect_batches(chunk_size=BLOCK, engine="streaming"), none):
            for ours, expression in lost.items():
                if block[f"lost {ours}"].any():
                    every = whole.select(expression.alias("lost")).collect(engine="streaming")["lost"]
                    raise _wrong_type(name, path, whole, every, types[ours], files)
            rows = block.select(list(made))
            yield rows.with_columns(pictures.beside(path, rows[columns.IMAGE])) if columns.IMAGE in rows.columns else rows


def _at_least_one(blocks: Iterator[pl.DataFrame], none: pl.DataFrame) -> Iterator[pl.DataFrame]:
    first = next(blocks, none)
    yield first
    yield from blocks


@contextmanager
def _explained(name: str, path: Path, files: TableFiles) -> Iterator[None]:
    """Within, what is wrong with a file is a `DataError` that names it."""
    try:
        yield
    except DataError as error:
        if str(path) in str(error):
            raise
        raise DataError(f"{path}: {error}", table=name, rows=error.rows) from error
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{path}: the file is empty; a header line with the columns' names is the least.", table=name) from error
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if _is_parquet(path):
            message = "not a whole Parquet file; it may have been cut short. Copy it again from where it came."
            raise DataError(f"{path}: {message} ({error})", table=name) from error
        raise damage.explain(path, files.separator, error, name) from error


def _scan(name: str, path: Path, separator: str) -> pl.LazyFrame:
    if _is_parquet(path):
        return pl.scan_parquet(path)
    if not {".csv", ".tsv", ".txt"} & {suffix.lower() for suffix in path.suffixes}:
        raise DataError(f"{path}: cannot tell its format from its name; expected .csv, .csv.gz or .parquet.", table=name)
    # Everything is text at first: a guessed type would eat the leading zeros of ids.
    return pl.scan_csv(path, infer_schema=False, separator=separator)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _taken(name: str, path: Path, files: TableFiles, schema: Schema, required: tuple[str, ...], header: list[str]) -> dict[str, str]:
    """Our columns to theirs: mapped ones must be there, others are taken when the file has our own name for them."""
    taken = {}
    for ours in schema:
        theirs = files.columns.get(ours, ours)
        if theirs in header:
            taken[ours] = theirs
        elif ours in files.columns or ours in required:
            raise DataError(
                f"{path}: column {theirs!r} (our {ours!r}) is missing. {_advice(name, ours, theirs, header, files)}", table=name
            )
    return taken


def _advice(name: str, ours: str, theirs: str, header: list[str], files: TableFiles) -> str:
    attribute = name == "items" and ours not in columns.ITEMS
    other = max(";\t|,", key=header[0].count) if len(header) == 1 else ""
    if other and other in header[0] and other != files.separator:
        return f"The header is one field, {header[0]!r}: set `source.{name}.separator: {other!r}`."
    near = difflib.get_close_matches(theirs, header, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    way_out = f"Correct `source.attributes`, or set `source.{name}.columns.{ours}`" if attribute else f"Set `source.{name}.columns.{ours}`"
    return f"The file has {header}. {hint}{way_out}."


def _wrong_type(
    name: str,
    path: Path,
    scan: pl.LazyFrame,
    lost: pl.Series,
    column: tuple[str, pl.DataType, pl.DataType | type[pl.DataType]],
    files: TableFiles,
) -> DataError:
    theirs, _, wanted = column
    rows = lost.arg_true().to_list()
    values = (
        scan.select(theirs).with_row_index("row").filter(pl.col("row").is_in(rows[:_SHOWN])).collect(engine="streaming")[theirs].to_list()
    )
    shown = ", ".join(f"row {row}: {value!r}" for row, value in zip(rows, values, strict=False))
    kind = kind_of(wanted)
    expected = f"a time as in {files.time_format!r}" if kind == "time" and files.time_format else EXPECTED[kind]
    way_out = (
        f"Set `source.{name}.time_format`, for example '%d.%m.%Y %H:%M', or correct them."
        if kind == "time"
        else "Correct them, or leave the column out of `columns` if it may be absent."
    )
    found = f"{path}: column {theirs!r}, {len(rows)} of {len(lost)} values are not {expected}"
    message = f"{found} ({shown}; row 0 is the first after the header). {way_out}"
    return DataError(message, table=name, rows=rows[:_SHOWN])
