"""The routes beside recommendations, on a small release: feedback, people, items, keys, limits, releases that change."""

import asyncio
import base64
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serving import app_of, serving
from starlette.testclient import TestClient

from bentos.current import Current, Loaded
from bentos.guard import Key, keys_of
from bentos.kernel import Kernel
from bentos.metrics import Metrics
from bentos.problems import Refused
from bentos.settings import Settings
from cortex_rec.errors import ConfigError
from cortex_rec.recommender import Recommender
from cortex_rec.releases import channels, forgotten
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request, Slate
from cortex_rec.testing.release import small_release
from cortex_rec.watch import Watch


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return small_release(tmp_path / "releases")


@pytest.fixture
def client(release: Release, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(app_of(release.path.parent, tmp_path)) as client:
        yield client


def event(number: int, kind: str, item: str, user: str = "h001", **more: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "kind": kind, "user_id": user, "item_id": item, **more}


def ids(client: TestClient, user: str = "h001", n: int = 100) -> list[str]:
    return [item["item_id"] for item in client.get(f"/api/recommend/{user}?n={n}").json()["items"]]


def test_an_event_counts_once_and_the_next_answer_knows_of_it(client: TestClient) -> None:
    before = ids(client)
    sent = {"events": [event(1, "hide", before[0]), event(2, "cart", before[1], basket_id="b1")]}
    assert client.post("/feedback", json=sent).json() == {"accepted": 2, "repeated": 0}
    assert client.post("/feedback", json=sent).json() == {"accepted": 0, "repeated": 2}
    after = ids(client)
    assert before[0] not in after
    assert before[1] not in after
    assert [each["kind"] for each in client.get("/api/users/h001").json()["events"]] == ["cart", "hide"]


def test_a_stranger_who_buys_gets_an_answer_from_what_was_bought(client: TestClient) -> None:
    assert client.get("/api/recommend/zoe?n=3").json()["fallback"].endswith("answered with what is popular")
    client.post(
        "/feedback",
        json={"events": [event(1, "purchase", "i004", "zoe", basket_id="b"), event(2, "purchase", "i012", "zoe", basket_id="b")]},
    )
    answer = client.get("/api/recommend/zoe?n=3").json()
    assert answer["items"] != client.get("/api/recommend/yan?n=3").json()["items"]


def test_a_user_is_known_by_purchases_and_forgotten_for_good(client: TestClient, release: Release, tmp_path: Path) -> None:
    known = client.get("/api/users/h001").json()
    data = Recommender.load(release.path).data
    own = data.histories.take(np.array([data.users.row("h001")], np.int32))
    assert known["known"] is True
    assert [line["item_id"] for line in known["purchases"]] == data.items.external(own.item[::-1][:100])
    assert known["baskets"] == len(set(own.basket.tolist()))
    client.post("/feedback", json={"events": [event(1, "purchase", "i004")]})

    assert client.delete("/api/users/h001").json() == {"user_id": "h001", "events": 1, "exposures": 0}
    gone = client.get("/api/users/h001").json()
    assert (gone["known"], gone["baskets"], gone["purchases"], gone["events"]) == (False, 0, [], [])
    assert "unknown to this release" in client.get("/api/recommend/h001").json()["fallback"]
    assert "h001" not in client.get("/api/users?q=h001").json()["users"]
    # Of whom no release knows, tonight's files may know.
    assert client.delete("/api/users/yesterday's").json()["events"] == 0
    assert forgotten.read(release.path.parent) == {"h001", "yesterday's"}
    with TestClient(app_of(release.path.parent, tmp_path)) as again:
        assert again.get("/api/users/h001").json()["known"] is False


def test_users_are_found_by_the_beginning_of_their_id_first(client: TestClient) -> None:
    assert client.get("/api/users?q=h00&n=2").json() == {"users": ["h000", "h001"], "total": 10}
    found = client.get("/api/users?q=05").json()
    assert found["users"] == ["h005", *(f"h05{last}" for last in range(9))]
    assert client.get("/api/users?q=zzz").json() == {"users": [], "total": 0}


def test_an_item_is_told_with_its_groups_price_and_sales_and_an_unknown_one_is_not_there(client: TestClient, release: Release) -> None:
    recommender = Recommender.load(release.path)
    row = recommender.data.items.row("i004")
    told = client.get("/api/items/i004").json()
    assert told["title"] == recommender.data.catalogue.titles[row]
    assert told["groups"]["department"] == "DAIRY"
    assert told["sales"] == recommender.snapshot.statistics.lines[row, 1]
    assert told["price"] == round(float(recommender.snapshot.statistics.recent_price[row]), 2)
    missing = client.get("/api/items/i999")
    assert (missing.status_code, missing.json()["error"]) == (404, "unknown_item")
    found = client.get("/api/items?q=milk&n=100").json()
    assert found["total"] == len(found["items"]) > 0
    assert all("milk" in item["title"] for item in found["items"])


PUTS = [
    ({"title": "x", "item_id": "z9"}, 422, "unknown_field", "`item_id` is not a known field"),
    (
        {"title": "x", "attributes": {"colour": "red"}},
        422,
        "unknown_attribute",
        "'colour' is none of this release's groups and attributes",
    ),
    ({"title": "x", "image": "%%"}, 422, "invalid_item", "the image of 'z9' is not base64"),
]


@pytest.mark.parametrize(("body", "status", "error", "detail"), PUTS)
def test_a_bad_item_is_refused_with_the_way_out(client: TestClient, body: dict[str, Any], status: int, error: str, detail: str) -> None:
    answer = client.put("/api/items/z9", json=body)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert detail in answer.json()["detail"]
    assert client.put("/api/items/i004", json={"title": "x"}).status_code == 409


def picture() -> str:
    data = io.BytesIO()
    Image.new("RGB", (40, 40), (200, 30, 30)).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def test_keys_let_in_whom_they_should_and_are_never_shown(release: Release, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [
        f"{name} {hashlib.sha256(secret.encode()).hexdigest()} {scopes}"
        for name, secret, scopes in (("page", "s3cret-r", "read"), ("shop", "s3cret-w", "read,write"))
    ]
    (tmp_path / "keys.txt").write_text("# ours\n" + "\n".join(lines) + "\n")
    client = TestClient(app_of(release.path.parent, tmp_path, keys_file=tmp_path / "keys.txt"))
    reader, writer = {"Authorization": "Bearer s3cret-r"}, {"X-API-Key": "s3cret-w"}
    body = {"events": [event(1, "click", "i004")]}
    asked = [
        (client.get("/api/recommend/h001"), 401),
        (client.get("/api/recommend/h001", headers={"Authorization": "Bearer s3cret"}), 401),
        (client.get("/api/recommend/h001", headers=reader), 200),
        (client.post("/feedback", json=body, headers=reader), 403),
        (client.post("/feedback", json=body, headers=writer), 200),
        (client.delete("/api/users/h001", headers=reader), 403),
        (client.get("/metrics"), 200),
        (client.get("/"), 200),
    ]
    assert [answer.status_code for answer, _ in asked] == [status for _, status in asked]
    assert asked[0][0].headers["www-authenticate"] == "Bearer"
    assert asked[3][0].json()["detail"] == "Key 'page' may not write. Use one that may."
    out, err = capfd.readouterr()
    assert not any(
        secret in text for secret in ("s3cret", hashlib.sha256(b"s3cret-r").hexdigest()) for text in (out, err, *(a.text for a, _ in asked))
    )


@pytest.mark.parametrize("line", ["shop s3cret read", f"shop {'0' * 64} admin", f"{'0' * 64} read"])
def test_a_key_that_is_not_one_is_told_without_repeating_it(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="key 1 is not `name sha256 scopes`") as told:
        keys_of(Settings(keys=line))
    assert "s3cret" not in str(told.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        keys_of(Settings(keys_file=tmp_path / "none.txt"))


def test_a_key_asks_so_many_times_a_second_and_no_more() -> None:
    key = Key("shop", b"", frozenset({"read"}), left=10.0)
    assert [key.take(2.0, 0.0) for _ in range(12)] == [0] * 10 + [1] * 2
    assert [key.take(2.0, 1.0) for _ in range(3)] == [0, 0, 1]
    assert key.take(0.01, 1.0) == 100
    assert not any(Key("shop", b"", frozenset()).take(0.0, 0.0) for _ in range(100))


def test_who_asks_too_often_is_told_when_to_go_on(release: Release, tmp_path: Path) -> None:
    keys = f"shop {hashlib.sha256(b'k').hexdigest()} read"
    client = TestClient(app_of(release.path.parent, tmp_path, keys=keys, rate=0.001), headers={"Authorization": "Bearer k"})
    statuses = [client.get("/version").status_code for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    answer = client.get("/version")
    assert answer.json()["error"] == "too_many_requests"
    assert 900 < int(answer.headers["retry-after"]) <= 1000


def test_a_request_has_a_number_and_a_line_in_the_log_without_ids(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="cortex_rec.requests")
    assert client.get("/api/recommend/h001", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    forged = client.get("/api/recommend/h001", headers={"X-Request-Id": 'x" , "status": 200'}).headers["x-request-id"]
    assert len(forged) == 32
    line = json.loads(caplog.records[0].getMessage())
    assert (line["request_id"], line["route"], line["status"], line["method"]) == ("abc-1", "/api/recommend/{user_id}", 200, "GET")
    assert "h001" not in caplog.text


def test_pages_of_others_may_ask_only_where_they_were_let_in(release: Release, tmp_path: Path) -> None:
    asked = {"Origin": "https://shop.example"}
    closed = TestClient(app_of(release.path.parent, tmp_path)).get("/version", headers=asked)
    opened = TestClient(app_of(release.path.parent, tmp_path, cors="https://shop.example")).get("/version", headers=asked)
    other = TestClient(app_of(release.path.parent, tmp_path, cors="https://shop.example")).get(
        "/version", headers={"Origin": "https://b.example"}
    )
    found = [answer.headers.get("access-control-allow-origin") for answer in (closed, opened, other)]
    assert found == [None, "https://shop.example", None]


def point(releases: Path, release: Release) -> None:
    channels.promote(releases, release.id, by="test", why="to see it served", at=datetime.now(UTC))


def test_a_new_release_is_taken_up_and_a_broken_one_is_refused_once(
    release: Release, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    releases = release.path.parent
    current = Current(Settings(releases=releases, cache=tmp_path / "compiled"), None)
    second = small_release(releases, seed=1)
    current.refresh()
    assert (current.loaded.release.id, current.swaps) == (second.id, {"swapped": 1, "refused": 0})

    third = small_release(releases, seed=2)
    damaged = third.path / "snapshot" / "statistics.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    for _ in range(3):
        current.refresh()
    assert (current.loaded.release.id, current.swaps) == (second.id, {"swapped": 1, "refused": 1})
    assert f"Release {third.id} cannot be served, {second.id} stays: " in caplog.text
    point(releases, release)
    current.refresh()
    assert current.loaded.release.id == release.id


def test_what_changed_beside_a_release_is_warm_before_it_is_served(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = Current(Settings(releases=release.path.parent, cache=tmp_path / "compiled"), None)
    warmed: list[Loaded] = []
    monkeypatch.setattr("bentos.current._warm", lambda loaded: warmed.append(loaded) or loaded)
    current.take_beside()
    assert warmed == []
    forgotten.add(release.path.parent, "h001")
    current.take_beside()
    assert warmed == [current.loaded]


def test_a_release_that_was_named_stays(release: Release, tmp_path: Path) -> None:
    current = Current(Settings(releases=release.path.parent, release=release.id, cache=tmp_path / "compiled"), None)
    small_release(release.path.parent, seed=1)
    current.refresh()
    assert current.loaded.release.id == release.id


def test_releases_change_under_load_without_a_failed_or_a_mixed_answer(release: Release, tmp_path: Path) -> None:
    releases = release.path.parent
    second = small_release(releases, seed=1)
    expected = {each.id: Recommender.load(each.path).recommend([Request("h001", n=5)])[0] for each in (release, second)}
    assert len({slate.items[0].score for slate in expected.values()}) == 2
    with serving(releases, tmp_path, CORTEX_REC_WAIT_SECONDS="4") as served:
        stop, seen = threading.Event(), set()

        def ask() -> None:
            while not stop.is_set():
                answer = served.client.get("/api/recommend/h001?n=5")
                assert answer.status_code == 200, answer.text
                told = answer.json()
                slate = expected[told["release"]]
                assert [(item["item_id"], item["score"]) for item in told["items"]] == [(item.item, item.score) for item in slate.items]
                seen.add(told["release"])

        def swap() -> None:
            for wanted in (release, second, release, second):
                point(releases, wanted)
                while served.client.get("/version").json()["release"] != wanted.id:
                    assert not stop.wait(0.05), "an answer was not as it should be"

        with ThreadPoolExecutor(5) as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            for each in asking:
                each.add_done_callback(lambda _: stop.set())
            swapping = pool.submit(swap)
            swapping.add_done_callback(lambda _: stop.set())
            for each in (*asking, swapping):
                each.result(120)
    assert seen == {release.id, second.id}


def test_one_question_too_many_is_refused_at_once_and_one_that_waited_too_long_in_its_turn() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(60)
        return "done"

    async def main() -> None:
        kernel = Kernel(Settings(queue=2, wait_seconds=0.05), Metrics())
        first = asyncio.create_task(kernel.run(slow))
        await asyncio.to_thread(begun.wait)
        waiting = [asyncio.create_task(kernel.run(lambda: "late")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="2 questions wait already") as refused:
            await kernel.run(lambda: "never")
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        await asyncio.sleep(0.1)
        go_on.set()
        assert await first == "done"
        for task in waiting:
            with pytest.raises(Refused, match=r"Waited 0\.05 s"):
                await task

    asyncio.run(main())


def test_questions_that_waited_are_answered_together_and_a_bad_one_spoils_no_other(release: Release) -> None:
    recommender, sizes = Recommender.load(release.path), []

    class Watched:
        def recommend(self, requests: list[Request], watch: Watch) -> list[Slate]:
            sizes.append(len(requests))
            return recommender.recommend(requests, watch)

    async def main() -> list[Any]:
        kernel, asked, begun = Kernel(Settings(wait_seconds=4), Metrics()), Watched(), threading.Event()
        blocked = asyncio.create_task(kernel.run(begun.wait))
        requests = [Request("h001"), Request("h002"), Request(items=("i999",)), Request("h003")]
        tasks = [asyncio.create_task(kernel.recommend(asked, [request])) for request in requests]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        begun.set()
        await blocked
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, bad, third = asyncio.run(main())
    alone = [recommender.recommend([Request(user)]) for user in ("h001", "h002", "h003")]
    assert [first.slates, second.slates, third.slates] == alone
    assert "i999" in str(bad)
    assert sizes[0] == 4
