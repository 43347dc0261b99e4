"""Events in an SQLite file: the contract, what a killed process leaves behind, several processes, and how fast it is."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cortex_rec import events
from cortex_rec.errors import ConfigError, EventsUnavailable
from cortex_rec.events.sqlite import SqliteEvents
from cortex_rec.testing.event_store_contract import EventStoreContract, event

pytestmark = pytest.mark.alone

#: Writes batches of 20 without end and prints the number of each when it is acknowledged.
WRITER = """
import sys
from itertools import count
from pathlib import Path
from cortex_rec.events.protocol import Event
from cortex_rec.events.sqlite import SqliteEvents
store = SqliteEvents(Path(sys.argv[1]))
for batch in count():
    store.append([Event(f"{sys.argv[2]}-{batch}-{i}", "click", f"u{batch % 3}", f"i{i}", batch) for i in range(20)])
    print(batch, flush=True)
"""


class TestSqliteEvents(EventStoreContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "made" / "events.sqlite"

    def open(self, limits: Mapping[str, int]) -> SqliteEvents:
        return SqliteEvents(self.path, limits=limits)


def test_a_writer_killed_under_load_leaves_all_that_it_acknowledged_and_no_half_batch(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    for attempt in range(5):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(attempt)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(10 + attempt):
            assert writer.stdout.readline()
        writer.kill()
        acknowledged = 10 + attempt + len(writer.stdout.read().split())
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
        store = SqliteEvents(path)
        kept = [one.event_id for one in store.since(0) if one.event_id.startswith(f"{attempt}-")]
        store.close()
        batches = len(kept) // 20
        assert kept == [f"{attempt}-{batch}-{i}" for batch in range(batches) for i in range(20)]
        assert batches in (acknowledged, acknowledged + 1)  # the last may be on the disk before it could be acknowledged


def test_processes_that_start_at_once_on_no_file_all_write(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)], stdout=subprocess.PIPE, text=True) for n in range(3)]
    for writer in writers:
        assert writer.stdout is not None
        assert [writer.stdout.readline() for _ in range(5)] == [f"{batch}\n" for batch in range(5)]
    for writer in writers:
        writer.kill()
        writer.communicate()


def test_a_file_that_is_something_else_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    path.write_text("orders of 2026 " * 100)
    with pytest.raises(EventsUnavailable, match=r"events\.sqlite: the store of events does not answer \(file is not a database\)"):
        events.open(path)
    assert path.read_text() == "orders of 2026 " * 100


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(EventsUnavailable, match="unable to open database file"):
        events.open(tmp_path)


def test_what_is_forgotten_is_not_in_the_files_any_more(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    store = SqliteEvents(path)
    store.append([event(f"e{i}", "purchase", "strychnine", i, user="borgia") for i in range(500)])
    assert b"borgia" in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert store.forget("borgia") == 500
    left = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    store.close()
    assert b"borgia" not in left
    assert b"strychnine" not in left


def test_a_place_that_is_no_store_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"postgres:// is no store of events\. Give a file, or redis://"):
        events.open("postgres://localhost/shop")


def test_a_commit_is_flushed_before_it_returns(tmp_path: Path) -> None:
    """A power cut cannot be tried here; what SQLite was told can be asked."""
    store = SqliteEvents(tmp_path / "events.sqlite")
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()
