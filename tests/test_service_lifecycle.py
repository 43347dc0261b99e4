"""The service before it is ready, when something breaks, and when it is told to end."""

import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from serving import app_of, command, own_command, serving
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from bentos.door import Door
from cortex_rec.errors import ArtifactError
from cortex_rec.recommender import Recommender
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request, Slate
from cortex_rec.testing.release import small_release
from cortex_rec.watch import Watch


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("lifecycle") / "releases")


def test_nothing_is_answered_until_the_release_is_loaded() -> None:
    may_load, loaded = threading.Event(), threading.Event()

    def slow() -> ASGIApp:
        assert may_load.wait(60)
        return Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])

    door = Door(slow)
    client = TestClient(door)
    assert client.get("/").status_code == 503, "not even begun"
    loading = door.load()
    loading.add_done_callback(lambda _: loaded.set())
    early = client.get("/")
    assert (early.status_code, early.json()["error"], door.open) == (503, "not_ready", False)
    may_load.set()
    assert loaded.wait(60)
    assert (client.get("/").text, door.open) == ("here", True)


def test_a_release_that_breaks_between_the_check_and_the_load_is_never_ready() -> None:
    def broken() -> ASGIApp:
        raise ArtifactError("statistics.safetensors is missing.")

    door = Door(broken)
    assert isinstance(door.load().exception(60), ArtifactError)
    answer = TestClient(door).post("/recommend", json={})
    assert not door.open
    assert (answer.status_code, answer.json()["detail"]) == (503, "The release cannot be loaded: statistics.safetensors is missing.")


def test_a_defect_is_answered_as_one_and_counted(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(self: Recommender, requests: list[Request], watch: Watch) -> list[Slate]:
        raise RuntimeError("secret of the inside")

    app = app_of(release.path.parent, tmp_path)
    monkeypatch.setattr(Recommender, "recommend", breaks)
    client = TestClient(app, raise_server_exceptions=False)
    answer = client.get("/api/recommend/h001")
    assert (answer.status_code, answer.json()["error"]) == (500, "internal")
    assert "secret" not in answer.text
    assert 'cortex_rec_requests_total{route="/api/recommend/{user_id}",status="500"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("start", [command, own_command], ids=["bentoml serve", "cortex-rec serve"])
def test_told_to_end_it_ends_and_leaves_nothing_behind(release: Release, tmp_path: Path, start: Callable[[int], list[str]]) -> None:
    with serving(release.path.parent, tmp_path, start) as served:
        worker = psutil.Process(served.worker())
        assert served.client.get("/api/recommend/h001").status_code == 200
        assert served.stop() == 0
        assert not worker.is_running()
        with pytest.raises(httpx.ConnectError):
            served.client.get("/livez")
    assert "Traceback" not in served.log.read_text()


def test_a_server_keeps_its_counts_and_its_release_when_another_starts_beside_it(release: Release, tmp_path: Path) -> None:
    other = small_release(tmp_path / "releases", seed=1)
    assert other.id != release.id
    with serving(release.path.parent, tmp_path) as first:
        assert first.client.get("/api/recommend/h001").json()["release"] == release.id
        with serving(tmp_path / "releases", tmp_path) as second:
            assert second.client.get("/api/recommend/h001").json()["release"] == other.id
            counted = 'cortex_rec_requests_total{route="/api/recommend/{user_id}",status="200"} 1.0'
            assert counted in first.client.get("/metrics").text
            assert counted in second.client.get("/metrics").text
