"""The service as a Lambda function: the real Runtime Interface Client, a small Runtime API, the events of a function URL."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from s3 import Server
from serving import ROOT, environment

from cortex_rec.recommender import Recommender
from cortex_rec.releases import channels, store
from cortex_rec.releases.places import storage_of
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request
from cortex_rec.testing.lambda_runtime import FailedToStart, LambdaFunction, url_event
from cortex_rec.testing.redis_server import RedisServer
from cortex_rec.testing.release import small_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("lambda") / "releases")


@pytest.fixture(scope="module")
def library(release: Release) -> Recommender:
    return Recommender.load(release.path)


@contextmanager
def running(release: Release, folder: Path, **more: str) -> Iterator[LambdaFunction]:
    given = environment(release.path.parent) | {"PYTHONPATH": str(ROOT)} | more
    function = LambdaFunction("lambda_handler.handler", ROOT / "deployments", given, folder / "log")
    try:
        yield function
    finally:
        function.stop()


@pytest.fixture(scope="module")
def function(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LambdaFunction]:
    with running(release, tmp_path_factory.mktemp("function")) as started:
        yield started


def told(answer: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    assert answer["headers"]["content-type"] == "application/json"
    assert answer["isBase64Encoded"] is False
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("user", ["h000", "h031", "nobody", "a/b?c", "größe 1"])
def test_a_function_url_gives_the_librarys_answer_by_get_and_by_post(function: LambdaFunction, library: Recommender, user: str) -> None:
    (slate,) = library.recommend([Request(user, store="s2", n=7)])
    own = [(item.item, item.score, item.probability, list(item.reasons)) for item in slate.items]
    assert len(own) == 7
    body = json.dumps({"user_id": user, "store_id": "s2", "n": 7}).encode()
    events = (url_event("GET", f"/api/recommend/{user}", "store_id=s2&n=7"), url_event("POST", "/recommend", body=body))
    for status, answer in (told(function.call(event)) for event in events):
        assert status == 200
        assert [(item["item_id"], item["score"], item["probability"], item["reasons"]) for item in answer["items"]] == own
        assert answer["fallback"] == slate.fallback


@pytest.mark.parametrize(
    ("event", "status", "error"),
    [
        (url_event("POST", "/recommend", body=b"{"), 400, "not_json"),
        (url_event("POST", "/recommend", body=b'{"n": 0}'), 422, "invalid_field"),
        (url_event("POST", "/recommend"), 400, "not_json"),
        (url_event("GET", "/api/recommend/h001", "n=1&n=2"), 422, "invalid_field"),
        (url_event("GET", "/api/recommend/h001", "store=s1"), 422, "unknown_field"),
        (url_event("GET", "/api/items/i999"), 404, "unknown_item"),
        (url_event("GET", "/nothing"), 404, "not_found"),
        (url_event("GET", "/recommend"), 405, "wrong_method"),
    ],
)
def test_a_bad_request_gets_the_services_refusal_as_json(function: LambdaFunction, event: dict[str, Any], status: int, error: str) -> None:
    got, answer = told(function.call(event))
    assert (got, answer["error"]) == (status, error)
    assert set(answer) == {"error", "detail"}


def test_every_reading_route_is_there(function: LambdaFunction, release: Release) -> None:
    for path in ("/api/popular", "/api/trending", "/api/similar/i001", "/api/users", "/api/users/h001", "/api/items", "/api/items/i001"):
        assert told(function.call(url_event("GET", path)))[0] == 200
    assert told(function.call(url_event("GET", "/version")))[1]["release"] == release.id
    page = function.call(url_event("GET", "/"))
    assert page["headers"]["content-type"].startswith("text/html")


EVENT = {"event_id": "e1", "kind": "hide", "user_id": "h001", "item_id": "i001"}
FEEDBACK = url_event("POST", "/feedback", body=json.dumps({"events": [EVENT]}).encode())
FORGET = url_event("DELETE", "/api/users/h001")
NEW_ITEM = url_event("PUT", "/api/items/n1", body=b'{"title": "new"}')


def test_what_would_be_lost_with_the_functions_disk_is_refused_with_the_way_out(function: LambdaFunction) -> None:
    for event in (FEEDBACK, FORGET, NEW_ITEM):
        status, answer = told(function.call(event))
        assert (status, answer["error"]) == (501, "not_kept_here")
        assert "Send this to the service" in answer["detail"]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.stop()


def test_feedback_is_kept_in_redis_and_counted_by_the_next_answer(release: Release, redis: RedisServer, tmp_path: Path) -> None:
    with running(release, tmp_path, CORTEX_REC_EVENTS=redis.address) as function:
        ask = url_event("GET", "/api/recommend/h001", "n=1")
        first = told(function.call(ask))[1]["items"][0]["item_id"]
        hide = url_event("POST", "/feedback", body=json.dumps({"events": [EVENT | {"item_id": first}]}).encode())
        assert told(function.call(hide)) == (200, {"accepted": 1, "repeated": 0})
        assert told(function.call(ask))[1]["items"][0]["item_id"] != first
        assert told(function.call(FORGET))[0] == 501


def test_a_file_of_events_which_would_be_lost_ends_the_start(release: Release, tmp_path: Path) -> None:
    with pytest.raises(
        FailedToStart, match=r"CORTEX_REC_EVENTS=/tmp/e.sqlite: a function's disk is lost with it\. Give a redis:// address"
    ):
        LambdaFunction(
            "lambda_handler.handler",
            ROOT / "deployments",
            environment(release.path.parent) | {"PYTHONPATH": str(ROOT), "CORTEX_REC_EVENTS": "/tmp/e.sqlite"},
            tmp_path / "log",
        )


def test_an_open_function_asks_for_a_key_and_its_log_names_no_user(release: Release, tmp_path: Path) -> None:
    keys = f"shop {hashlib.sha256(b'secret').hexdigest()} read"
    with running(release, tmp_path, CORTEX_REC_KEYS=keys) as function:
        assert told(function.call(url_event("GET", "/api/recommend/h001")))[0] == 401
        assert told(function.call(url_event("GET", "/api/recommend/h001", headers={"Authorization": "Bearer secret"})))[0] == 200
    log = (tmp_path / "log").read_text()
    assert '"route": "/api/recommend/{user_id}", "status": 200' in log
    assert "h001" not in log
    assert "secret" not in log


@pytest.fixture
def place(s3: Server, release: Release) -> str:
    """The release in a bucket, in production there."""
    made = f"s3://{s3.bucket()}/releases"
    store.push(release.path.parent, made)
    channels.promote(made, release.id, by="test", why="made for a test", at=datetime(2026, 1, 8, tzinfo=UTC))
    return made


def from_bucket(place: str, s3: Server, folder: Path) -> LambdaFunction:
    given = (
        environment(folder)
        | s3.variables
        | {"PYTHONPATH": str(ROOT), "CORTEX_REC_RELEASES": place, "CORTEX_REC_CACHE": str(folder / "tmp")}
    )
    return LambdaFunction("lambda_handler.handler", ROOT / "deployments", given, folder / "log")


def test_a_release_is_fetched_from_the_bucket_at_the_cold_start_and_then_the_bucket_may_be_away(
    place: str, s3: Server, library: Recommender, release: Release, tmp_path: Path
) -> None:
    function = from_bucket(place, s3, tmp_path)
    try:
        with s3.away():
            status, answer = told(function.call(url_event("GET", "/api/recommend/h003", "n=5")))
    finally:
        function.stop()
    (slate,) = library.recommend([Request("h003", n=5)])
    assert (status, answer["release"]) == (200, release.id)
    assert [(item["item_id"], item["score"]) for item in answer["items"]] == [(item.item, item.score) for item in slate.items]
    assert (tmp_path / "tmp" / "releases").is_dir()


@pytest.mark.parametrize("name", ["ranker/trees/lambdarank.txt", "encoded/histories.safetensors", "manifest.json"])
def test_a_flipped_bit_in_the_bucket_ends_the_cold_start_with_the_files_name(
    place: str, s3: Server, release: Release, name: str, tmp_path: Path
) -> None:
    storage = storage_of(place)
    found = storage.read(f"{release.id}/{name}")
    assert found is not None
    content = bytearray(found.content)
    content[len(content) // 2] ^= 1
    assert storage.write(f"{release.id}/{name}", bytes(content), expected=found.tag)
    with pytest.raises(FailedToStart) as failed:
        from_bucket(place, s3, tmp_path)
    assert f"{release.id}/{name}" in str(failed.value)


def test_a_bucket_that_does_not_answer_ends_the_cold_start_and_says_so(place: str, s3: Server, tmp_path: Path) -> None:
    with s3.away(), pytest.raises(FailedToStart, match=r"does not answer .* Try again"):
        from_bucket(place, s3, tmp_path)
