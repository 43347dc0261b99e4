"""The process's own end of the log of exposures: a thread that writes, and what is shown to who wants to be forgotten is removed."""

import fcntl
import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count, groupby
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from cortex_rec import folders
from cortex_rec.errors import EventsUnavailable
from cortex_rec.events.exposures import HOUR, STAMP, Exposure

#: Records that may wait for the disk; what comes above is not kept, since no answer waits for its own record.
QUEUE: Final = 20_000
_LOG: Final = logging.getLogger(__name__)


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
        # Held while files are written: one that is rewritten must not get a line meanwhile.
        self._writing = threading.Lock()
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

    def forget(self, user: str) -> int:
        """Remove what was shown to a user from every file, and from what waits; gives the number of exposures.

        Raises
        ------
        EventsUnavailable
            If a file of the user's is written by another process just now, or cannot be read or written; what was removed stays removed.
        """
        with self._writing:
            self._let_go()
            with self._ready:
                waiting = list(self._waiting)
                self._waiting = deque(each for each in waiting if each.user != user)
                gone = len(waiting) - len(self._waiting)
            return gone + sum(_without(file, user) for file in sorted(self._folder.glob("*.jsonl")))

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
            # Taken out only with the lock: what waits neither for the disk nor for `forget` would escape it.
            with self._writing:
                with self._ready:
                    batch, closed = list(self._waiting), self._closed
                    self._waiting.clear()
                for hour, together in groupby(batch, key=lambda one: one.time // HOUR):
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


def _new_file(folder: Path, hour: int) -> BinaryIO:
    """A file that was not there before: another process, or this one before a crash, has its own."""
    stamp = datetime.fromtimestamp(hour * HOUR, UTC).strftime(STAMP)
    for path in _names(folder, stamp):
        try:
            file = path.open("xb")
            # Tells other processes that lines will be added.
            fcntl.flock(file, fcntl.LOCK_EX)
            return file
        except FileExistsError:
            continue
    raise AssertionError("names do not end")


def _names(folder: Path, stamp: str) -> Iterator[Path]:
    return (folder / f"{stamp}.{number}.jsonl" for number in count())


def _without(file: Path, user: str) -> int:
    """Rewrite a file that holds lines of a user without them; gives their number."""
    # As it stands in a line, so that no line has to be read that cannot be the user's.
    written = b'"user":' + orjson.dumps(user)
    try:
        with file.open("rb") as held:
            lines = held.readlines()
            kept = [line for line in lines if written not in line or not _is_of(line, user)]
            if len(kept) == len(lines):
                return 0
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with folders.replace_file(file) as fresh:
                fresh.write_bytes(b"".join(kept))
            return len(lines) - len(kept)
    except BlockingIOError:
        raise EventsUnavailable(
            f"{file}: is written by another process and holds what was shown to the user. Ask again when its hour is over."
        ) from None
    except OSError as error:
        raise EventsUnavailable(f"{file}: cannot be rewritten without the user ({error}). Make it writable and ask again.") from error


def _is_of(line: bytes, user: str) -> bool:
    """Whether it is a record of the user; a line that is torn and holds their id counts as one."""
    try:
        return bool(orjson.loads(line)["user"] == user)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return True
