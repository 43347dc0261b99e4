"""Events in one SQLite file: no server, durable when acknowledged, read while it is written."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from cortex_rec.errors import EventsUnavailable
from cortex_rec.events.protocol import KINDS, LIMITS, Event, Line

#: Seconds to wait for another process that writes.
_PATIENCE: Final = 2.0
_FIELDS: Final = tuple(field.name for field in fields(Event))
_COLUMNS: Final = ", ".join(_FIELDS)
_values = attrgetter(*_FIELDS)
#: `seq` is the order of arrival; `by_user` keeps the events of one user and kind together, so that the latest are a short walk.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, user TEXT NOT NULL, item TEXT NOT NULL,
    time INTEGER NOT NULL, basket TEXT NOT NULL, quantity REAL NOT NULL, price REAL, impression TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_user ON events (user, kind, time);
CREATE INDEX IF NOT EXISTS by_time ON events (time);
"""
_APPEND: Final = f"INSERT INTO events ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))}) ON CONFLICT (event_id) DO NOTHING"
#: One statement for all kinds: it sees a batch whole or not at all.
_LATEST: Final = """
SELECT * FROM (
    SELECT kind, item, time, basket, quantity, price, seq FROM events
    WHERE user = ? AND kind = '{kind}' ORDER BY time DESC, seq DESC LIMIT {limit}
)"""
#: Hides are not trimmed by time, so the oldest that no answer rests on are.
_TRIM: Final = """
DELETE FROM events WHERE time < :before AND (kind != 'hide' OR seq IN (
    SELECT seq FROM (SELECT seq, row_number() OVER by_user AS place FROM events WHERE kind = 'hide'
                     WINDOW by_user AS (PARTITION BY user ORDER BY time DESC, seq DESC))
    WHERE place > :hides
))"""


class SqliteEvents:
    """A file of events, made when absent; several processes may have it open.

    Parameters
    ----------
    path
        The file. SQLite keeps two more beside it while it is open. Not on a network drive, whose locks cannot be trusted.
    limits
        How many of a user's latest events of each kind `of` gives.

    Raises
    ------
    EventsUnavailable
        If it cannot be opened, or is not such a file.
    """

    def __init__(self, path: Path, *, limits: Mapping[str, int] = LIMITS) -> None:
        self._path, self._limits = path, limits
        latest = (_LATEST.format(kind=kind, limit=limit) for kind, limit in limits.items())
        self._latest = " UNION ALL ".join(latest) + " ORDER BY time, seq"
        # One connection each for writing and reading: readers go on while a batch is flushed to the disk.
        self._writing, self._reading = threading.Lock(), threading.Lock()
        with self._named():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connection()
            self._writer.executescript(_SCHEMA)
            self._reader = self._connection()

    def append(self, events: Sequence[Event]) -> int:
        with self._named(), self._writing:
            return self._change(self._writer.executemany, _APPEND, map(_values, events))

    def of(self, users: Sequence[str]) -> list[list[Line]]:
        with self._named(), self._reading:
            found = (self._reader.execute(self._latest, [user] * len(self._limits)) for user in users)
            return [[Line(*row[:-1]) for row in rows] for rows in found]

    def since(self, time: int, kinds: Sequence[str] = KINDS) -> Iterator[Event]:
        marks = ", ".join("?" * len(kinds))
        found = f"SELECT {_COLUMNS} FROM events WHERE time >= ? AND kind IN ({marks}) ORDER BY time, seq"
        with self._named(), closing(self._connection()) as reader:
            yield from (Event(*row) for row in reader.execute(found, (time, *kinds)))

    def forget(self, user: str) -> int:
        with self._named(), self._writing:
            gone = self._change(self._writer.execute, "DELETE FROM events WHERE user = ?", (user,))
            # Until this, what was deleted can still be read in the journal.
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return gone

    def trim(self, before: int) -> int:
        with self._named(), self._writing:
            return self._change(self._writer.execute, _TRIM, {"before": before, "hides": self._limits["hide"]})

    def close(self) -> None:
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    def _connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
        connection.execute("PRAGMA secure_delete = ON")  # what is forgotten is overwritten, too
        return connection

    def _change(self, run: Callable[..., sqlite3.Cursor], *arguments: Any) -> int:
        """Run one statement as a transaction; gives the number of rows that it changed."""
        with self._writer:
            return max(0, run(*arguments).rowcount)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """SQLite's faults as ours, with the file's name."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EventsUnavailable(
                f"{self._path}: the store of events does not answer ({error}). It must be a file of this store or a new one, "
                "in a folder that can be written, on a disk with room."
            ) from error
