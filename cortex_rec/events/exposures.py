"""What was shown to whom: one record an answer, for drift, experiments and off-policy estimates. JSON lines, a file an hour."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from cortex_rec.errors import DataError

SCHEMA: Final[dict[str, Any]] = {
    "impression": pl.String,
    "time": pl.Int64,
    "user": pl.String,
    "store": pl.String,
    "release": pl.String,
    "experiment": pl.String,
    "arm": pl.String,
    "items": pl.List(pl.String),
    "scores": pl.List(pl.Float64),
    "probabilities": pl.List(pl.Float64),
    "propensities": pl.List(pl.Float64),
    "retrievers": pl.List(pl.List(pl.String)),
    "teams": pl.List(pl.String),
    "fallback": pl.String,
}
#: Seconds that a file holds, and how it is named by their start.
HOUR: Final = 3_600
STAMP: Final = "%Y-%m-%dT%H"
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exposure:
    """One answer, as it was shown.

    Parameters
    ----------
    impression
        The answer's `impression_id`; events that follow it carry it.
    time
        Seconds since 1970 on the shop's own wall clock, as `Event.time`.
    user, store
        As asked; empty when none was given.
    release
        What answered.
    experiment, arm
        Empty when the answer is part of none.
    items, scores, probabilities
        In the order shown; a probability is None where nothing tells it.
    propensities
        The probability with which the policy that answered puts this item at this place, given those above it; 1 without exploration.
    retrievers
        Names of those that found each item.
    teams
        Interleaving: the arm that gave each item; else empty.
    fallback
        Why the answer is not personal; empty when it is.
    """

    impression: str
    time: int
    user: str
    store: str
    release: str
    experiment: str
    arm: str
    items: tuple[str, ...]
    scores: tuple[float, ...]
    probabilities: tuple[float | None, ...]
    propensities: tuple[float, ...]
    retrievers: tuple[tuple[str, ...], ...]
    teams: tuple[str, ...]
    fallback: str


def read(folder: Path, since: int, until: int) -> pl.DataFrame:
    """All exposures with `since` <= time < `until`, by time; columns and types of `SCHEMA`, also when there is none.

    A file whose last line is torn, because its process was killed or writes just now, counts without that line; the log tells how many.

    Raises
    ------
    DataError
        If the folder is missing, or another line than a last one is damaged; the message names the file and the line.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Exposures are kept where the service's CORTEX_REC_EXPOSURES says.", table=str(folder))
    parts, torn = [pl.DataFrame(schema=SCHEMA)], 0
    for file in sorted(folder.glob("*.jsonl")):
        hour = _hour_of(file)
        if hour * HOUR + HOUR <= since or hour * HOUR >= until:
            continue
        whole, _, rest = file.read_bytes().rpartition(b"\n")
        torn += bool(rest)
        if whole:
            parts.append(_lines(file, whole))
    if torn:
        _LOG.warning("%s: %d files end in the middle of a line, which is left out", folder, torn)
    within = (pl.col("time") >= since) & (pl.col("time") < until)
    return pl.concat(parts).filter(within).sort("time", maintain_order=True)


def _lines(file: Path, text: bytes) -> pl.DataFrame:
    try:
        frame = pl.read_ndjson(BytesIO(text), schema=SCHEMA)
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise _damage(file, text) or DataError(f"{file}: cannot be read ({error}).", table=str(file)) from error
    # What a line lacks is null; a probability may be.
    lacking = frame.select(pl.any_horizontal(pl.all().is_null()).any()).item()
    if lacking or frame.height != text.count(b"\n") + 1:
        raise _damage(file, text) or DataError(f"{file}: has {frame.height} lines that can be read, and some that cannot.", table=str(file))
    return frame


def _damage(file: Path, text: bytes) -> DataError | None:
    """What is wrong with the first line that is no exposure."""
    for number, line in enumerate(text.split(b"\n"), start=1):
        try:
            missing = sorted(set(SCHEMA) - set(orjson.loads(line)))
            nulls = pl.read_ndjson(BytesIO(line), schema=SCHEMA).null_count().row(0)
            fault = f"lacks {', '.join(missing)}" if missing else "has a null" if any(nulls) else ""
        except (orjson.JSONDecodeError, TypeError, pl.exceptions.PolarsError) as error:
            fault = f"cannot be read ({error})"
        if fault:
            told = f"{file}: line {number} is no exposure, it {fault}. Remove the line, or the file."
            return DataError(told, table=str(file), rows=[number - 1])
    return None


def _hour_of(file: Path) -> int:
    try:
        moment = datetime.strptime(file.name.partition(".")[0], STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise DataError(f"{file}: is no file of exposures, such as 2018-01-01T13.0.jsonl. Move it elsewhere.", table=str(file)) from None
    return int(moment.timestamp()) // HOUR
