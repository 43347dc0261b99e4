"""The running service and the store of its releases: a rollback under load, and a bucket that goes away and comes back."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile
from time import monotonic

import pytest
from s3 import Server
from serving import Served, serving

from cortex_rec.errors import StoreUnavailable
from cortex_rec.releases import channels, store
from cortex_rec.releases.manifest import Contents
from cortex_rec.releases.places import state_of
from cortex_rec.releases.store import Release
from cortex_rec.testing.release import small_release

#: Seconds until a rollback is answered from.
ROLLBACK = 5.0


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases with the same files."""
    root = tmp_path_factory.mktemp("laptop") / "releases"
    made = small_release(root)
    same = Contents(**made.manifest.model_dump(include=set(Contents.model_fields)) | {"libraries": {"numpy": "another"}})
    store.publish(root, lambda folder: copied(made, folder), same, {})
    return root


def copied(release: Release, folder: Path) -> None:
    for name in release.manifest.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(release.path / name, folder / name)


def stocked(place: str, laptop: Path) -> str:
    """A place with both releases, none of them in production."""
    for name in store.release_ids(laptop):
        store.push(laptop, place, name)
    return place


def promote(place: str, release: str) -> None:
    channels.promote(place, release, by="test", why="to see it served", at=datetime.now(UTC))


@contextmanager
def served_from(place: str, folder: Path) -> Iterator[Served]:
    folder.mkdir(exist_ok=True)
    with serving(folder, folder, CORTEX_REC_RELEASES=place, CORTEX_REC_CACHE=str(folder.parent / "cache")) as served:
        yield served


@contextmanager
def shoppers(served: Served) -> Iterator[Callable[[], int]]:
    """Four who ask without a pause; whoever gets no answer fails the test. Gives how many were answered."""
    stop, answered = threading.Event(), [0] * 4

    def ask(number: int) -> None:
        while not stop.is_set():
            answer = served.client.get("/api/recommend/h001?n=5")
            assert answer.status_code == 200, answer.text
            answered[number] += 1

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        try:
            yield lambda: sum(answered)
        finally:
            stop.set()
        for each in asking:
            each.result(60)


def until(done: Callable[[], bool], seconds: float = 60) -> float:
    """Seconds until something is so."""
    start, pause = monotonic(), threading.Event()
    while not done():
        assert monotonic() - start < seconds
        pause.wait(0.05)
    return monotonic() - start


def answers_from(served: Served, release: str) -> Callable[[], bool]:
    return lambda: served.client.get("/api/recommend/h001").json()["release"] == release


def roll_back_under_load(place: str, served: Served) -> None:
    """From the second release to the first, while shoppers ask."""
    first, second = store.release_ids(place)
    with shoppers(served) as answered:
        promote(place, second)
        until(answers_from(served, second))
        before = answered()
        channels.rollback(place, by="test", why="worse", at=datetime.now(UTC))
        taken = until(answers_from(served, first))
        assert answered() > before
    logging.info("%s: %.1f s until a rollback was answered from; %d answers, none failed", place[:3], taken, answered())
    assert taken <= ROLLBACK


def test_a_rollback_is_answered_from_within_seconds_and_no_request_fails(laptop: Path, tmp_path: Path) -> None:
    place = stocked(str(tmp_path / "releases"), laptop)
    promote(place, store.release_ids(place)[0])
    with served_from(place, tmp_path / "service") as served:
        roll_back_under_load(place, served)


def test_a_service_follows_a_bucket_goes_on_while_it_is_away_and_starts_anew_without_it(s3: Server, laptop: Path, tmp_path: Path) -> None:
    place = stocked(f"s3://{s3.bucket()}/releases", laptop)
    first, second = store.release_ids(place)
    promote(place, first)
    with served_from(place, tmp_path / "first") as served:
        roll_back_under_load(place, served)
        log = served.log
        with s3.away(), shoppers(served) as answered:
            until(lambda: f"Release {first} stays until the store answers again" in log.read_text())
            before = answered()
            until(lambda: answered() > before + 50)
        until(lambda: "The store of releases answers again" in log.read_text())
        promote(place, second)
        until(answers_from(served, second))
        assert served.client.delete("/api/users/h002").status_code == 200
        assert log.read_text().count("stays until the store answers again") == 1
        assert log.read_text().count("Added items, forgotten users and events stay on this machine") == 1
    assert (state_of(place, cache=tmp_path / "cache") / "forgotten.jsonl").read_text() == '"h002"\n'
    with s3.away(), served_from(place, tmp_path / "second") as served:
        assert answers_from(served, second)()
        assert served.client.get("/api/users/h002").json()["known"] is False
        assert f"Release {second} is taken from what was fetched before" in served.log.read_text()
        assert "Traceback" not in served.log.read_text()


@pytest.mark.slow
def test_a_bucket_that_is_away_for_a_minute_costs_no_answer_and_leaves_one_valid_production(
    s3: Server, laptop: Path, tmp_path: Path
) -> None:
    place = stocked(f"s3://{s3.bucket()}/releases", laptop)
    first, second = store.release_ids(place)
    promote(place, first)
    with served_from(place, tmp_path / "service") as served:
        with s3.away(), shoppers(served) as answered:
            begun, refused = monotonic(), 0
            while monotonic() - begun < 60:
                with pytest.raises(StoreUnavailable):
                    promote(place, second)
                refused += 1
            assert answered() > 100
        assert refused > 0
        assert store.verify(place).id == first
        promote(place, second)
        logging.info("%.1f s until the bucket's new release was served", until(answers_from(served, second)))
        assert served.log.read_text().count("stays until the store answers again") == 1
