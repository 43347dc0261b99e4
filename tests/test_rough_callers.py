"""Whatever is sent, and whatever lies beside the releases: an answer or a refusal that says why, and the service goes on."""

import asyncio
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pytest
from serving import app_of, serving
from starlette.testclient import TestClient

from bentos.current import Current
from bentos.guard import keys_of
from bentos.kernel import Kernel
from bentos.metrics import Metrics
from bentos.settings import Settings
from cortex_rec.errors import ConfigError
from cortex_rec.releases import added
from cortex_rec.releases.store import Release
from cortex_rec.testing.release import small_release

SHOP = {"Origin": "https://shop.example"}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("rough") / "releases")


@pytest.fixture(scope="module")
def client(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with TestClient(app_of(release.path.parent, tmp_path_factory.mktemp("events"))) as client:
        yield client


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:00"])
def test_a_moment_that_the_shops_clock_does_not_have_is_refused(client: TestClient, time: str) -> None:
    sent = {"events": [{"event_id": "1", "kind": "click", "user_id": "u", "item_id": "i003", "time": time}]}
    answer = client.post("/feedback", json=sent)
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_event")
    assert "is in no year from 1 to 9999 by the shop's clock" in answer.json()["detail"]


def test_a_page_of_another_origin_may_use_every_method_and_read_every_refusal(release: Release, tmp_path: Path) -> None:
    keys = f"shop {hashlib.sha256(b'k').hexdigest()} read"
    client = TestClient(app_of(release.path.parent, tmp_path, cors="https://shop.example", keys=keys, rate=0.001))
    for method in ("GET", "POST", "PUT", "DELETE"):
        asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "x-api-key, content-type, traceparent"}
        preflight = client.options("/api/items/z1", headers=SHOP | asked)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "https://shop.example"), method
    assert client.options("/api/items/z1", headers=SHOP | {"Access-Control-Request-Method": "PATCH"}).status_code == 400
    answers = [client.get("/version", headers=SHOP | {"X-API-Key": "k"}) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert answers[-1].headers["access-control-allow-origin"] == "https://shop.example"
    assert answers[-1].headers["access-control-expose-headers"] == "X-Request-Id, Retry-After"


def test_no_answer_leads_to_whatever_host_the_request_names(client: TestClient) -> None:
    answer = client.get("/version/", headers={"Host": "evil.example"}, follow_redirects=False)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert "evil" not in str(answer.headers)


def test_who_hangs_up_in_the_middle_of_a_body_is_no_defect(
    client: TestClient, release: Release, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="cortex_rec.requests")
    messages = iter([{"type": "http.request", "body": b'{"n":', "more_body": True}, {"type": "http.disconnect"}])
    scope = {"type": "http", "method": "POST", "path": "/recommend", "headers": [], "query_string": b""}

    async def receive() -> Any:
        return next(messages)

    async def send(_: Any) -> None:
        pass

    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    (line,) = (json.loads(record.getMessage()) for record in caplog.records if record.name == "cortex_rec.requests")
    assert (line["route"], line["status"]) == ("/recommend", 499)
    assert 'cortex_rec_requests_total{route="/recommend",status="499"} 1.0' in client.get("/metrics").text


def test_what_cannot_be_written_beside_the_releases_is_told_as_that(tmp_path: Path) -> None:
    small_release(tmp_path / "releases")
    client = TestClient(app_of(tmp_path / "releases", tmp_path), raise_server_exceptions=False)
    (tmp_path / "releases" / "forgotten.jsonl").mkdir()
    answer = client.delete("/api/users/h001")
    assert (answer.status_code, answer.json()["error"], answer.headers["retry-after"]) == (503, "changes_unavailable", "1")
    assert "forgotten.jsonl: cannot be written" in answer.json()["detail"]
    (tmp_path / "releases" / "forgotten.jsonl").rmdir()
    assert client.delete("/api/users/h001").status_code == 200
    assert client.get("/api/users/h001").json()["known"] is False


def test_a_release_that_was_removed_while_it_is_served_goes_on_answering(tmp_path: Path) -> None:
    release = small_release(tmp_path / "releases")
    client = TestClient(app_of(tmp_path / "releases", tmp_path), raise_server_exceptions=False)
    shutil.rmtree(release.path)
    assert len(client.get("/api/recommend/h001").json()["items"]) == 10
    assert [client.get(path).status_code for path in ("/", "/report", "/catalogue.html")] == [200, 404, 404]


NOTHING = hashlib.sha256(b"").hexdigest()
ONE, OTHER = (hashlib.sha256(key).hexdigest() for key in (b"one", b"other"))


def test_a_keys_file_may_have_windows_line_ends_a_mark_empty_lines_and_comments(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(f"\ufeff# ours\r\n\r\n  # more\r\nshop {ONE} read\r\n\tpage  {OTHER}\tread,write \r\n".encode())
    keys = keys_of(Settings(keys_file=tmp_path / "keys"))
    assert [(key.name, key.sha256.hex(), set(key.permissions)) for key in keys] == [
        ("shop", ONE, {"read"}),
        ("page", OTHER, {"read", "write"}),
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"keys": f"shop {NOTHING} read"}, "key 1, 'shop', is the SHA-256 of nothing"),
        ({"keys": f"shop {ONE} read;shop {OTHER} write"}, "key 2, 'shop', has the name or the key of one before"),
        ({"keys": f"shop {ONE} read;page {ONE} write"}, "key 2, 'page', has the name or the key of one before"),
        ({"rate": 5.0}, "CORTEX_REC_RATE: requests are counted by key, and there is none"),
    ],
)
def test_keys_that_would_let_in_the_wrong_ones_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        keys_of(Settings(**given))


def test_a_keys_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        keys_of(Settings(keys_file=tmp_path / "keys"))


def until(true: Callable[[], bool]) -> None:
    start, pause = monotonic(), threading.Event()
    while not true():
        assert monotonic() - start < 60
        pause.wait(0.01)


def test_the_watcher_goes_on_after_whatever_it_finds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    releases = tmp_path / "releases"
    small_release(releases)
    current = Current(Settings(releases=releases, cache=tmp_path / "compiled", watch_seconds=0.02), None)
    watcher = current.watch()
    (releases / added.ADDED).write_text("no folder")
    until(lambda: "What changed is not taken up" in caplog.text)
    (releases / added.ADDED).unlink()
    second = small_release(releases, seed=1)
    until(lambda: current.loaded.release.id == second.id)
    assert watcher.is_alive()
    assert caplog.text.count("is not taken up") == 1


def test_the_kernel_goes_on_when_those_who_asked_are_gone_with_their_loop() -> None:
    kernel, begun, go_on = Kernel(Settings(), Metrics()), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go_on.wait(60)

    async def hang_up() -> None:
        asked = asyncio.create_task(kernel.run(slow))
        assert await asyncio.to_thread(begun.wait, 60)
        asked.cancel()

    asyncio.run(hang_up())
    go_on.set()

    async def ask() -> Any:
        return await asyncio.wait_for(kernel.run(lambda: "here"), 60)

    assert asyncio.run(ask()) == "here"


def test_told_to_end_it_answers_who_asked_before_and_takes_its_encoders_along(release: Release, tmp_path: Path) -> None:
    with serving(release.path.parent, tmp_path, CORTEX_REC_WAIT_SECONDS="4") as served:
        assert served.client.put("/api/items/z1", json={"title": "x"}).status_code in (200, 503)
        worker = psutil.Process(served.worker())
        encoders = worker.children(recursive=True)
        assert encoders
        asked: list[int] = []
        batch = {"requests": [{"user_id": f"h{user:03}", "n": 80, "explain": True} for user in range(100)]}
        asking = [
            threading.Thread(target=lambda: asked.append(served.client.post("/recommend/batch", json=batch).status_code)) for _ in "abcd"
        ]
        for each in asking:
            each.start()
        # One is being answered, others wait.
        until(lambda: re.search(r"cortex_rec_waiting [1-9]", served.client.get("/metrics").text) is not None)
        assert served.stop() == 0
        for each in asking:
            each.join()
        assert asked == [200] * 4
        psutil.wait_procs(encoders, 30)
        assert not [process for process in encoders if process.is_running()]
    assert "Traceback" not in served.log.read_text()
