"""Live events kept and read: how many a second are durable, and how long an answer waits for those of its user.

`make bench NAME=events`; needs a Redis server (Debian: redis-tools), which is started on a free port.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.harness import OUT, Benchmark
from cortex_rec import events
from cortex_rec.events.protocol import Event, EventStore
from cortex_rec.testing.redis_server import RedisServer

EVENTS: Final = 20_000
BATCH: Final = 100
USERS: Final = 500
#: Events of the user who is read, in a store of all the others; an answer rests on the latest of each kind.
OWN: Final = 500
READS: Final = 500
KINDS: Final = ("click", "cart", "purchase", "hide", "impression")


def main() -> None:
    """Fill a store, then read from it; once in SQLite, once in Redis with every write flushed to the disk."""
    benchmark = Benchmark("events", seed=0)
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as folder:
        rows = [_measured("sqlite", events.open(Path(folder) / "events.sqlite"))]
        server = RedisServer(Path(folder))
        try:
            rows.append(_measured("redis, appendfsync always", events.open(server.address)))
        finally:
            server.stop()
    benchmark.finish(rows, events=EVENTS, batch=BATCH, own=OWN, reads=READS)


def _measured(name: str, store: EventStore) -> dict[str, Any]:
    made = [Event(f"e{n}", KINDS[n % len(KINDS)], f"u{n % USERS}", f"i{n % 997}", n, price=1.5) for n in range(EVENTS)]  # type: ignore[arg-type]
    start = time.perf_counter()
    for at in range(0, EVENTS, BATCH):
        store.append(made[at : at + BATCH])
    seconds = time.perf_counter() - start
    store.append([Event(f"o{n}", KINDS[n % 4], "reader", f"i{n}", n, price=1.5) for n in range(OWN)])  # type: ignore[arg-type]
    alone = [_milliseconds(store.append, [Event(f"a{n}", "click", "other", "i1", n)]) for n in range(READS)]
    reads = [_milliseconds(store.of, ["reader"]) for _ in range(READS)]
    seen = _milliseconds(_written_and_read, store)
    store.close()
    return {
        "method": name,
        "default": name == "sqlite",
        "events_per_second": round(EVENTS / seconds),
        **_spread("append_one", alone),
        **_spread("read", reads),
        "seen_after_ms": round(seen, 2),
    }


def _written_and_read(store: EventStore) -> None:
    store.append([Event("last", "click", "newcomer", "i1", 1)])
    assert [line.item for line in store.of(["newcomer"])[0]] == ["i1"]


def _milliseconds(call: Any, *arguments: Any) -> float:
    start = time.perf_counter()
    call(*arguments)
    return 1_000 * (time.perf_counter() - start)


def _spread(name: str, taken: Sequence[float]) -> dict[str, float]:
    low, high = np.percentile(taken, [50, 99])
    return {f"{name}_p50_ms": round(float(low), 2), f"{name}_p99_ms": round(float(high), 2)}


if __name__ == "__main__":
    main()
