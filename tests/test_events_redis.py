"""Events in a real Redis server: the contract, a server that is killed, gone, frozen and back, and what a fault tells."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic

import pytest
from redis import Redis

from cortex_rec import events
from cortex_rec.errors import ConfigError, EventsUnavailable
from cortex_rec.events.redis import RedisEvents
from cortex_rec.testing.event_store_contract import EventStoreContract, event
from cortex_rec.testing.redis_server import RedisServer

pytestmark = pytest.mark.alone

#: Writes batches of 20 without end and prints the number of each when it is acknowledged, until the server is gone.
WRITER = """
import sys
from itertools import count
from cortex_rec import events
from cortex_rec.errors import EventsUnavailable
from cortex_rec.events.protocol import Event
store = events.open(sys.argv[1])
for batch in count():
    try:
        store.append([Event(f"{batch}-{i}", "click", f"u{batch % 3}", f"i{i}", batch) for i in range(20)])
    except EventsUnavailable:
        break
    print(batch, flush=True)
store.close()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill."""
    server = RedisServer(tmp_path)
    yield server
    server.stop()


class TestRedisEvents(EventStoreContract):
    @pytest.fixture(autouse=True)
    def _place(self, server: RedisServer) -> None:
        self.address = server.address
        with Redis.from_url(self.address) as redis:
            redis.flushall()

    def open(self, limits: Mapping[str, int]) -> RedisEvents:
        return RedisEvents(self.address, limits=limits)

    def test_more_than_a_page_in_one_second_comes_back_whole_and_is_trimmed_whole(self) -> None:
        store = events.open(self.address)
        given = [event(f"e{number:05}", "hide" if number % 5 == 0 else "click", "jam", 7 + number // 2_500) for number in range(5_000)]
        assert store.append(given) == 5_000
        assert list(store.since(0)) == given
        assert list(store.since(8)) == given[2_500:]
        assert store.trim(8) == 2_000
        assert [one.event_id for one in store.since(0)] == [one.event_id for one in given if one.kind == "hide" or one.time == 8]
        store.close()


def test_a_server_killed_under_load_has_all_that_was_acknowledged_and_no_half_batch(mortal: RedisServer) -> None:
    for _ in range(3):
        with Redis.from_url(mortal.address) as redis:
            redis.flushall()
        writer = subprocess.Popen([sys.executable, "-c", WRITER, mortal.address], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(10):
            assert writer.stdout.readline()
        mortal.stop()
        acknowledged = 10 + len(writer.stdout.read().split())
        assert writer.wait() == 0
        writer.stdout.close()
        mortal.start()
        store = events.open(mortal.address)
        kept = [one.event_id for one in store.since(0)]
        store.close()
        batches = len(kept) // 20
        assert kept == [f"{batch}-{i}" for batch in range(batches) for i in range(20)]
        assert batches in (acknowledged, acknowledged + 1)  # the last may be on the disk before it could be acknowledged


def test_a_server_that_is_gone_is_told_of_at_once_and_used_again_when_it_is_back(mortal: RedisServer) -> None:
    store = events.open(mortal.address)
    store.append([event("e1", "click", "jam", 10)])
    mortal.stop()
    start = monotonic()
    for _ in range(20):
        with pytest.raises(EventsUnavailable, match=rf"redis://127\.0\.0\.1:{mortal.port}/0: .*refused.*Start Redis"):
            store.of(["ann"])
        with pytest.raises(EventsUnavailable):
            store.append([event("e2", "click", "tea", 11)])
    assert monotonic() - start < 1
    mortal.start()
    assert store.append([event("e1", "click", "jam", 10), event("e3", "click", "rye", 12)]) == 1
    assert [line.item for line in store.of(["ann"])[0]] == ["jam", "rye"]
    store.close()


def test_a_server_that_hangs_is_waited_for_once_and_then_left_alone_for_a_second(mortal: RedisServer) -> None:
    store = events.open(mortal.address)
    store.append([event("e1", "click", "jam", 10)])
    mortal.process.send_signal(signal.SIGSTOP)
    start = monotonic()
    for _ in range(50):
        with pytest.raises(EventsUnavailable, match=r"Timeout|did not answer within 0\.25 s"):
            store.of(["ann"])
    assert monotonic() - start < 0.6
    mortal.process.send_signal(signal.SIGCONT)
    while True:
        try:
            assert [line.item for line in store.of(["ann"])[0]] == ["jam"]
            break
        except EventsUnavailable:
            assert monotonic() - start < 3
    store.close()


def test_a_fault_does_not_tell_the_password(server: RedisServer) -> None:
    store = events.open(server.address.replace("//", "//shop:s3cret@"))
    with pytest.raises(EventsUnavailable) as fault:
        store.of(["ann"])
    store.close()
    assert f"redis://127.0.0.1:{server.port}/0" in str(fault.value)
    assert "s3cret" not in str(fault.value)


def test_an_address_that_cannot_be_read_is_named_without_the_password() -> None:
    with pytest.raises(ConfigError, match="the Redis address cannot be read") as fault:
        events.open("redis://shop:s3cret@host:port")
    assert "s3cret" not in str(fault.value)
