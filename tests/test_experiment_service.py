"""Two releases side by side in the service: who is answered from which, what is told of it, and what is kept."""

import json
import logging
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import yaml
from serving import app_of, desk_of, refused
from starlette.testclient import TestClient

from bentos.api import make_app
from bentos.current import Current, Loaded
from bentos.settings import Settings
from cortex_rec.arrays import NO_ROW
from cortex_rec.events import exposures
from cortex_rec.experiments.config import Experiment
from cortex_rec.releases import channels, forgotten
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request
from cortex_rec.testing.release import small_release

NOON = datetime(2024, 4, 1, 12)
USERS = [f"h{user:03}" for user in range(60)]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder with two releases, the second one in production."""
    root = tmp_path_factory.mktemp("arms") / "releases"
    return root, small_release(root, seed=0).id, small_release(root, seed=1).id


class Shop:
    """A running service, in this process, with a clock that stands still."""

    def __init__(self, releases: tuple[Path, str, str], folder: Path, **experiment: Any) -> None:
        self.root, self.first, self.second = releases
        arms = [{"name": "old", "release": self.first, "share": 0.5}, {"name": "new", "release": "production", "share": 0.5}]
        self.file = folder / "experiment.yaml"
        self.file.write_text(yaml.safe_dump({"name": "trial", "salt": "s1", "arms": arms} | experiment))
        self.experiment = Experiment.model_validate(yaml.safe_load(self.file.read_text()))
        self.log = folder / "exposures"
        settings = Settings(
            releases=self.root,
            cache=self.root.parent / "compiled",
            events=str(folder / "events.sqlite"),
            deadline_ms=0,
            wait_seconds=4,
            watch_seconds=0.1,
            experiment=self.file,
            exposures=self.log,
        )
        self.desk = desk_of(settings, lambda zone: NOON.replace(tzinfo=zone))
        self.client = TestClient(make_app(self.desk))

    def ask(self, **request: Any) -> dict[str, Any]:
        answer = self.client.post("/recommend", json=request)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def shown(self) -> pl.DataFrame:
        """All that was kept; nothing is kept after it."""
        self.desk.close()
        return exposures.read(self.log, 0, 2**40)


def test_each_user_has_an_arm_and_keeps_it_in_answers_log_and_metrics(
    releases: tuple[Path, str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(releases, tmp_path)
    logging.getLogger("cortex_rec.requests").setLevel(logging.INFO)
    answers = {user: shop.ask(user_id=user, n=5) for user in USERS}
    for user, answer in answers.items():
        arm = shop.experiment.label_of(user)
        assert answer["experiment"] == {"name": "trial", "arm": arm}
        assert answer["release"] == {"old": shop.first, "new": shop.second}[str(arm)]
        assert shop.client.get(f"/api/recommend/{user}").json()["experiment"]["arm"] == arm
    arms = Counter(answer["experiment"]["arm"] for answer in answers.values())
    assert min(arms["old"], arms["new"]) > 10
    batch = shop.client.post("/recommend/batch", json={"requests": [{"user_id": user, "n": 5} for user in USERS] + [{}]}).json()["answers"]
    for user, answer in zip(USERS, batch, strict=False):
        assert {name: answer[name] for name in ("items", "release", "experiment")} == {
            name: answers[user][name] for name in ("items", "release", "experiment")
        }
    assert (batch[-1]["experiment"], batch[-1]["release"]) == (None, shop.second)
    lines = [json.loads(record.message) for record in caplog.records if record.name == "cortex_rec.requests"]
    assert [(line["experiment"], line["arm"]) for line in lines[:60]] == [("trial", shop.experiment.label_of(user)) for user in USERS]
    assert (lines[-1]["experiment"], lines[-1]["arm"]) == ("trial", "new,old")

    event = {"event_id": "e1", "kind": "click", "user_id": "h000", "item_id": "i001", "impression_id": answers["h000"]["impression_id"]}
    assert shop.client.post("/feedback", json={"events": [event]}).json()["accepted"] == 1
    metrics = shop.client.get("/metrics").text
    assert f'cortex_rec_arm_answers_total{{arm="old",experiment="trial",release="{shop.first}"}} {3 * arms["old"]}.0' in metrics
    assert f'cortex_rec_arm_events_total{{arm="{shop.experiment.label_of("h000")}",experiment="trial",kind="click"}} 1.0' in metrics

    shown = shop.shown()
    assert shown.height == 3 * len(USERS) + 1
    first = shown.row(by_predicate=pl.col("impression") == answers["h000"]["impression_id"], named=True)
    assert first["items"] == [item["item_id"] for item in answers["h000"]["items"]]
    assert first["time"] == int(NOON.replace(tzinfo=UTC).timestamp())
    assert (first["user"], first["experiment"], first["arm"]) == ("h000", "trial", shop.experiment.label_of("h000"))
    assert first["propensities"] == [1.0] * 5
    assert all(names and set(names) <= set(shop.desk.current.loaded.recommender.snapshot.union.names) for names in first["retrievers"])
    assert shown.filter(pl.col("user") == "")["experiment"].to_list() == [""]


def test_without_an_experiment_answers_are_what_an_arm_of_the_same_release_gives(releases: tuple[Path, str, str], tmp_path: Path) -> None:
    shop = Shop(releases, tmp_path)
    plain = TestClient(app_of(releases[0], tmp_path / "plain"))
    for user in USERS[:20]:
        answer = plain.post("/recommend", json={"user_id": user}).json()
        assert answer["experiment"] is None
        if shop.experiment.label_of(user) == "new":
            assert shop.ask(user_id=user)["items"] == answer["items"]
    shop.desk.close()


def test_an_arm_follows_its_channel_while_the_other_stays(releases: tuple[Path, str, str], tmp_path: Path) -> None:
    arms = [{"name": "fixed", "release": releases[2], "share": 0.5}, {"name": "moving", "release": "production", "share": 0.5}]
    shop = Shop(releases, tmp_path, arms=arms)
    moving = next(user for user in USERS if shop.experiment.label_of(user) == "moving")
    fixed = next(user for user in USERS if shop.experiment.label_of(user) == "fixed")
    assert shop.ask(user_id=moving)["release"] == shop.ask(user_id=fixed)["release"] == shop.second
    channels.promote(shop.root, shop.first, by="a test", why="to move the channel", at=datetime.now(UTC))
    try:
        for current in shop.desk.served:
            current.refresh()
        assert shop.ask(user_id=moving)["release"] == shop.first
        assert shop.ask(user_id=fixed)["release"] == shop.second
    finally:
        channels.promote(shop.root, shop.second, by="a test", why="back", at=datetime.now(UTC))
        shop.desk.close()


def test_who_is_forgotten_is_forgotten_by_every_arm_at_once(releases: tuple[Path, str, str], tmp_path: Path) -> None:
    shop = Shop(releases, tmp_path)
    object.__setattr__(shop.desk, "settings", shop.desk.settings.model_copy(update={"state": tmp_path}))
    for current in shop.desk.served:
        current._settings = current._settings.model_copy(update={"state": tmp_path})
    for user in USERS[:6]:
        assert shop.ask(user_id=user)["fallback"] is None
        assert shop.client.delete(f"/api/users/{user}").status_code == 200
        assert "is unknown to this release" in shop.ask(user_id=user)["fallback"]
    shop.desk.close()


def test_who_is_forgotten_while_a_release_is_loaded_is_unknown_to_it(
    releases: tuple[Path, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, first, second = releases
    settings = Settings(releases=root, cache=root.parent / "compiled", release=first, state=tmp_path)
    current = Current(settings, None)
    load = current._load

    def loaded_slowly(release: Release) -> Loaded:
        found = load(release)
        forgotten.add(tmp_path, "h000")
        return found

    monkeypatch.setattr(current, "_load", loaded_slowly)
    current._settings = settings.model_copy(update={"release": "production"})
    current.refresh()
    assert current.loaded.release.id == second
    assert current.loaded.plain.data.users.row("h000") != NO_ROW
    assert current.loaded.recommender.data.users.row("h000") == NO_ROW


def test_two_arms_draft_an_interleaved_answer_and_teams_are_kept(releases: tuple[Path, str, str], tmp_path: Path) -> None:
    shop = Shop(releases, tmp_path, kind="interleaving")
    answers = [shop.ask(user_id=user, n=6) for user in USERS[:10]]
    with_rules = shop.ask(user_id="h000", rules={"pinned": ["i005"]})
    assert (with_rules["experiment"], with_rules["items"][0]["item_id"]) == (None, "i005")
    shown = {row["impression"]: row for row in shop.shown().iter_rows(named=True)}
    for answer in answers:
        assert answer["experiment"] == {"name": "trial", "arm": "interleaved"}
        assert answer["release"] == f"{shop.first}+{shop.second}"
        row = shown[answer["impression_id"]]
        items = [item["item_id"] for item in answer["items"]]
        assert len(set(items)) == len(items) == 6
        assert (row["items"], Counter(row["teams"])) == (items, Counter(old=3, new=3))
        for name, current in shop.desk.arms.currents.items():  # type: ignore[union-attr]
            own = [each.item for each in current.loaded.recommender.recommend([Request(row["user"], n=6)])[0].items]
            assert {item for item, team in zip(items, row["teams"], strict=True) if team == name} <= set(own)


def test_chance_swaps_two_items_and_their_probabilities_are_kept(releases: tuple[Path, str, str], tmp_path: Path) -> None:
    shop = Shop(releases, tmp_path, exploration={"epsilon": 0.5, "among": 4})
    plain = TestClient(app_of(releases[0], tmp_path / "plain"))
    user = next(user for user in USERS if shop.experiment.label_of(user) == "new")
    usual = [item["item_id"] for item in plain.post("/recommend", json={"user_id": user, "n": 9}).json()["items"]]
    swapped = 0
    for _ in range(30):
        items = [item["item_id"] for item in shop.ask(user_id=user, n=5)["items"]]
        assert len(items) == 5
        assert set(items) <= set(usual)
        swapped += items != usual[:5]
    assert 5 <= swapped <= 25
    assert [item["item_id"] for item in shop.ask(user_id=user, n=5, trace=True)["items"]] == usual[:5]
    pinned = shop.ask(user_id=user, n=5, rules={"pinned": ["i005"]})
    assert pinned["items"][0]["item_id"] == "i005"
    shown = shop.shown()
    assert all(0 < each <= 1 for row in shown["propensities"] for each in row)
    assert shown["propensities"].to_list()[-1] == [1.0] * 5
    usual_first = shown.head(30).filter(pl.col("items").list.first() == usual[0])["propensities"].list.first().unique().to_list()
    assert usual_first == [pytest.approx(1 - 0.5 / 5)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"arms": [{"name": "a", "release": "production", "share": 0.5}, {"name": "b", "release": "nope", "share": 0.5}]}, "arm 'b'"),
        ({"arms": [{"name": "a", "release": "production", "share": 0.5}, {"name": "b", "release": "production", "share": 0.4}]}, "sum to"),
    ],
)
def test_the_service_does_not_start_with_an_experiment_that_cannot_run(
    releases: tuple[Path, str, str], tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump({"name": "trial", "salt": "s1"} | change))
    said = refused(releases[0], tmp_path, CORTEX_REC_EXPERIMENT=str(file), CORTEX_REC_EXPOSURES=str(tmp_path / "shown"))
    assert told in said
    assert str(file) in said


def test_the_service_does_not_start_with_an_experiment_that_nothing_is_kept_of(releases: tuple[Path, str, str], tmp_path: Path) -> None:
    assert "CORTEX_REC_EXPOSURES" in refused(releases[0], tmp_path, CORTEX_REC_EXPERIMENT="configs/experiments/candidate.yaml")


def test_the_clock_of_a_desk_is_the_worlds_unless_another_is_given(releases: tuple[Path, str, str], tmp_path: Path) -> None:
    settings = Settings(releases=releases[0], cache=releases[0].parent / "compiled", events=str(tmp_path / "events.sqlite"))
    desk = desk_of(settings)
    assert abs((desk.clock(ZoneInfo("UTC")) - datetime.now(UTC)).total_seconds()) < 60
    desk.close()
