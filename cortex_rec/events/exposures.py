"""What was shown to whom: one record an answer, for drift, experiments and off-policy estimates. JSON lines, a file an hour."""

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from itertools import count, groupby
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
import polars as pl

from cortex_rec.errors import DataError

#: Records that may wait for the disk; what comes above is not kept, since no answer waits for its own record.
QUEUE: Final = 20_000
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
_HOUR: Final = 3_600
_STAMP: Final = "%Y-%m-%dT%H"
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


class ExposureLog:
    """A folder of exposures, to which a thread of this process writes; nobody waits for it.

    Each file holds one hour of one process. What the queue cannot hold, or the disk does not take, is counted and left out.

    Parameters
    ----------
    folder
        Made when absent.
    queue
        How many exposures may wait for the disk.

    Attributes
    ----------
    written, dropped
        How many exposures are in the files, and how many are not because the queue was full or the disk did not take them.

    Raises
    ------
    OSError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path, *, queue: int = QUEUE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._queue = folder, queue
        self._waiting: deque[Exposure] = deque()
        self._ready, self._closed = threading.Condition(), False
        self._hour, self._file = -1, None  # type: int, BinaryIO | None
        self.written = self.dropped = 0
        self._writer = threading.Thread(target=self._write, name="exposures", daemon=True)
        self._writer.start()

    def append(self, exposures: Sequence[Exposure]) -> None:
        """Keep what was shown, soon; returns at once."""
        with self._ready:
            room = max(0, self._queue - len(self._waiting))
            self._waiting.extend(exposures[:room])
            self.dropped += len(exposures) - min(room, len(exposures))
            self._ready.notify()

    def close(self) -> None:
        """Write what waits; nothing is kept after it."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._writer.join()

    def _write(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting or self._closed)
                batch, closed = list(self._waiting), self._closed
                self._waiting.clear()
            for hour, together in groupby(batch, key=lambda one: one.time // _HOUR):
                self._put(hour, list(together))
            if closed:
                self._let_go()
                return

    def _put(self, hour: int, exposures: list[Exposure]) -> None:
        try:
            if self._file is None or hour != self._hour:
                self._let_go()
                self._hour, self._file = hour, _new_file(self._folder, hour)
            self._file.write(b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in exposures))
            self._file.flush()
            self.written += len(exposures)
        except OSError as error:
            self.dropped += len(exposures)
            _LOG.error("%s: %d exposures are not kept (%s). Make room, or unset CORTEX_REC_EXPOSURES.", self._folder, len(exposures), error)
            # Part of a line may be there: the next try begins a file of its own.
            self._let_go()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                _LOG.error("%s: the last exposures may not be whole (%s).", self._folder, error)


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
        if hour * _HOUR + _HOUR <= since or hour * _HOUR >= until:
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


def _new_file(folder: Path, hour: int) -> BinaryIO:
    """A file that was not there before: another process, or this one before a crash, has its own."""
    stamp = datetime.fromtimestamp(hour * _HOUR, UTC).strftime(_STAMP)
    for path in _names(folder, stamp):
        try:
            return path.open("xb")
        except FileExistsError:
            continue
    raise AssertionError("names do not end")


def _names(folder: Path, stamp: str) -> Iterator[Path]:
    return (folder / f"{stamp}.{number}.jsonl" for number in count())


def _hour_of(file: Path) -> int:
    try:
        moment = datetime.strptime(file.name.partition(".")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise DataError(f"{file}: is no file of exposures, such as 2018-01-01T13.0.jsonl. Move it elsewhere.", table=str(file)) from None
    return int(moment.timestamp()) // _HOUR
