"""From whatever type a file has to the types of `columns.py`; what cannot be converted becomes null and is told apart."""

from typing import Final

import polars as pl

from cortex_rec.errors import DataError

#: ISO 8601 in the three lengths that shops write, after `T` and `/` were made a space and a dash.
_ISO_FORMATS: Final = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d", "%Y-%m-%d %H:%M")
#: An epoch of 12 digits and more counts milliseconds: as seconds it would lie after the year 5000.
_FIRST_MILLISECOND: Final = 100_000_000_000

EXPECTED: Final = {
    "id": "text or a whole number",
    "number": "a number with a decimal point",
    "time": "an ISO date, an ISO date and time, or seconds since 1970",
}


def kind_of(dtype: pl.DataType | type[pl.DataType]) -> str:
    """How a column of `columns.py` is read: as an id (any text), a number or a time."""
    if dtype == pl.String:
        return "id"
    return "time" if dtype == pl.Datetime else "number"


def convert(name: str, found: pl.DataType, wanted: pl.DataType | type[pl.DataType], time_format: str | None) -> pl.Expr:
    """The expression that makes column `name` of type `found` one of type `wanted`.

    Parameters
    ----------
    name, found
        The column in the file.
    wanted
        A dtype of `columns.py`. Ids stay the text that they are, so leading zeros survive. A time with an offset or
        zone keeps its wall clock, since all times are the shop's own.
    time_format
        strptime pattern for text; without one ISO 8601, `YYYYMMDD` and seconds or milliseconds since 1970 are taken.

    Returns
    -------
    pl.Expr
        Null where a value cannot be converted.

    Raises
    ------
    DataError
        If no value of the type `found` can be converted.
    """
    makers = {"id": _id, "number": _number}
    kind = kind_of(wanted)
    made = _time(pl.col(name), found, time_format) if kind == "time" else makers[kind](pl.col(name), found)
    if made is None:
        raise DataError(f"column {name!r} is {found}, expected {EXPECTED[kind]}.")
    return made.cast(wanted, strict=False)


def _id(column: pl.Expr, found: pl.DataType) -> pl.Expr | None:
    if found.is_float():
        # pandas turns whole numbers into floats as soon as one is missing: 17.0 is the id 17, 17.5 is none.
        return pl.when(column == column.floor()).then(column.cast(pl.Int64, strict=False)).cast(pl.String)
    if found == pl.String or found.is_integer() or found in (pl.Categorical, pl.Enum, pl.Boolean):
        return column.cast(pl.String)
    return None


def _number(column: pl.Expr, found: pl.DataType) -> pl.Expr | None:
    if found == pl.String:
        value = column.str.strip_chars().cast(pl.Float64, strict=False)
    elif found.is_numeric():
        value = column.cast(pl.Float64)
    else:
        return None
    return pl.when(value.is_finite()).then(value)


def _time(column: pl.Expr, found: pl.DataType, time_format: str | None) -> pl.Expr | None:
    if found == pl.Datetime:
        return column.dt.replace_time_zone(None)
    if found == pl.Date:
        return column
    if found.is_numeric():
        return _epoch(column.cast(pl.Int64, strict=False))
    if found != pl.String:
        return None
    text = column.str.strip_chars()
    if time_format is not None:
        return text.str.to_datetime(time_format, strict=False, time_unit="us").dt.replace_time_zone(None)
    plain = (
        text.str.replace(r"(:\d\d(?:\.\d+)?)\s*(?:Z|[+-]\d\d:?\d\d)$", "$1")
        .str.replace("T", " ", literal=True)
        .str.replace_all("/", "-", literal=True)
    )
    iso = [plain.str.to_datetime(pattern, strict=False, time_unit="us") for pattern in _ISO_FORMATS]
    digits = pl.when(text.str.contains(r"^\d+$")).then(text)
    day = pl.when(digits.str.len_bytes() == 8).then(digits).str.to_datetime("%Y%m%d", strict=False, time_unit="us")
    return pl.coalesce(*iso, day, _epoch(digits.cast(pl.Int64, strict=False)))


def _epoch(seconds: pl.Expr) -> pl.Expr:
    return pl.from_epoch(pl.when(seconds < _FIRST_MILLISECOND).then(seconds * 1000).otherwise(seconds), time_unit="ms").cast(
        pl.Datetime("us")
    )
