"""The running service and its events: killed while it takes them, and its Redis gone, frozen and back while shoppers ask."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import psutil
import pytest
from serving import Served, serving

from cortex_rec.recommender import WITHOUT_EVENTS
from cortex_rec.testing.redis_server import RedisServer
from cortex_rec.testing.release import small_release

pytestmark = pytest.mark.alone


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    small_release(tmp_path / "releases")
    return tmp_path / "releases"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    yield server
    server.stop()


def batch(number: int) -> dict[str, Any]:
    """A hundred events of different users."""
    made = ({"event_id": f"{number}-{i}", "kind": "click", "user_id": f"u{i}", "item_id": "i003"} for i in range(100))
    return {"events": list(made)}


def kill(served: Served) -> None:
    """At once, the workers too."""
    for process in [*psutil.Process(served.process.pid).children(recursive=True), served.process]:
        process.kill()
    served.process.wait()


def test_a_service_killed_while_it_takes_events_has_all_that_it_acknowledged_when_it_is_back(releases: Path, tmp_path: Path) -> None:
    acknowledged: list[int] = []
    enough = threading.Event()

    def send(client: httpx.Client) -> None:
        for number in count():
            try:
                taken = client.post("/feedback", json=batch(number))
            except httpx.TransportError:
                return
            assert taken.json() == {"accepted": 100, "repeated": 0}
            acknowledged.append(number)
            if len(acknowledged) == 30:
                enough.set()

    with serving(releases, tmp_path) as served:
        sender = threading.Thread(target=send, args=(served.client,))
        sender.start()
        assert enough.wait(60)
        kill(served)
        sender.join()
    with serving(releases, tmp_path) as served:
        taken = [served.client.post("/feedback", json=batch(number)).json() for number in range(len(acknowledged) + 2)]
    assert taken[: len(acknowledged)] == [{"accepted": 0, "repeated": 100}] * len(acknowledged)
    # The batch that was on its way is there whole or not at all, the one after it is new.
    assert taken[-2]["accepted"] in (0, 100)
    assert taken[-1] == {"accepted": 100, "repeated": 0}


def test_redis_gone_or_hanging_costs_no_answer_and_counts_again_when_it_is_back(
    releases: Path, server: RedisServer, tmp_path: Path
) -> None:
    with serving(releases, tmp_path, CORTEX_REC_EVENTS=server.address) as served, shoppers(served) as answers:
        first = ask(served)["items"][0]["item_id"]
        sent = {"events": [{"event_id": "1", "kind": "hide", "user_id": "h001", "item_id": first}]}
        assert served.client.post("/feedback", json=sent).status_code == 200
        for gone, back in ((server.stop, server.start), (freeze(server, signal.SIGSTOP), freeze(server, signal.SIGCONT))):
            gone()
            degraded = until(served, lambda answer: answer["degraded"] == [WITHOUT_EVENTS])
            assert first in [item["item_id"] for item in degraded["items"]]
            refused = served.client.post("/feedback", json=sent)
            assert (refused.status_code, refused.json()["error"], refused.headers["retry-after"]) == (503, "events_unavailable", "1")
            back()
            whole = until(served, lambda answer: answer["degraded"] == [])
            assert first not in [item["item_id"] for item in whole["items"]]
    assert len(answers) > 50
    assert {status for status, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < 3


def ask(served: Served) -> dict[str, Any]:
    answer: dict[str, Any] = served.client.get("/api/recommend/h001?n=100").json()
    return answer


def until(served: Served, told: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first answer of which this is true."""
    start = monotonic()
    while not told(answer := ask(served)):
        assert monotonic() - start < 20
    return answer


def freeze(server: RedisServer, number: signal.Signals) -> Callable[[], None]:
    return lambda: server.process.send_signal(number)


@contextmanager
def shoppers(served: Served) -> Iterator[list[tuple[int, float]]]:
    """Four who ask without a pause until the block ends; gives the status and the seconds of each answer."""
    done = threading.Event()
    answers: list[tuple[int, float]] = []

    def shop(user: str) -> None:
        with httpx.Client(base_url=served.client.base_url, timeout=30) as client:
            while not done.is_set():
                start = monotonic()
                status = client.get(f"/api/recommend/{user}").status_code
                answers.append((status, monotonic() - start))

    threads = [threading.Thread(target=shop, args=(f"h00{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join()
