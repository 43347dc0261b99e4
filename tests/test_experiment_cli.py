"""`cortex-rec experiment …`, from a release, a log and events to a plan, a page and an estimate."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import cortex_rec

from cortex_rec import events as store_of_events
from cortex_rec.events.exposure_log import ExposureLog
from cortex_rec.events.exposures import Exposure
from cortex_rec.events.protocol import Event
from cortex_rec.experiments.config import Experiment, Exploration
from cortex_rec.experiments.exploration import explore
from cortex_rec.recommender import Recommender
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request
from cortex_rec.testing.release import small_release
from cortex_rec.testing.shop import small_shop

ROOT = Path(__file__).parents[1]
MONDAY = 1_712_000_000 // 86_400 * 86_400


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("cli") / "releases", shop=small_shop(users=150, weeks=16))


@pytest.fixture(scope="module")
def logs(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment of one exploring arm, its exposures and events."""
    folder = tmp_path_factory.mktemp("logs")
    arms = [{"name": "now", "release": release.id, "share": 0.5}, {"name": "same", "release": release.id, "share": 0.5}]
    told = {"name": "trial", "salt": "s", "arms": arms, "exploration": {"epsilon": 1.0, "among": 3}, "days": 2}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(told))
    experiment, exploration = Experiment.model_validate(told), Exploration(epsilon=1.0, among=3)
    recommender = Recommender.load(release.path)
    users = recommender.data.users.ids.to_list()
    slates = recommender.recommend([Request(user, n=8, explain=False) for user in users])
    rng, log, store = np.random.default_rng(0), ExposureLog(folder / "shown"), store_of_events.open(folder / "events.sqlite")
    for user, slate in zip(users, slates, strict=True):
        for day in range(2):
            impression, time = f"{user}-{day}", MONDAY + day * 86_400 + 50_000
            explored = explore(5, 8, exploration, "s", impression)
            items = [slate.items[rank] for rank in explored.ranks]
            log.append(
                [
                    Exposure(
                        impression,
                        time,
                        user,
                        "",
                        release.id,
                        "trial",
                        experiment.label_of(user) or "",
                        tuple(each.item for each in items),
                        tuple(each.score for each in items),
                        tuple(each.probability for each in items),
                        explored.propensities,
                        tuple(each.retrievers for each in items),
                        (),
                        "",
                    )
                ]
            )
            bought = [each.item for each in items if rng.random() < 0.2]
            store.append([Event(f"{impression}-{item}", "purchase", user, item, time + 60, impression=impression) for item in bought])
    log.close()
    store.close()
    return folder


def run(*given: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = cortex_rec(*given, folder=ROOT)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def arguments(logs: Path, release: Release) -> list[str]:
    return [
        "--exposures",
        str(logs / "shown"),
        "--events",
        str(logs / "events.sqlite"),
        "--releases",
        str(release.path.parent),
    ]


def test_a_plan_says_how_many_days_it_takes(release: Release) -> None:
    given = ["experiment", "plan", "--effect", "0.5", "--days", "28", "--releases", str(release.path.parent)]
    told = json.loads(run(*given, "--json").stdout)
    assert [horizon["days"] for horizon in told["horizons"]] == [7, 14, 21, 28]
    powers = [horizon["power"] for horizon in told["horizons"]]
    assert np.all(np.diff(powers) > -1e-6)
    assert told["days"] == next(horizon["days"] for horizon in told["horizons"] if horizon["power"] >= 0.8)
    shown = run(*given).stdout
    assert f"It takes {told['days']} days for a power of 80%" in shown


def test_a_plan_that_cannot_be_made_is_named(release: Release) -> None:
    place = ["--releases", str(release.path.parent)]
    assert "'clicks' is none of lines, spend, visits" in run("experiment", "plan", "--metric", "clicks", *place, code=1).stderr
    assert "Ask for fewer --days" in run("experiment", "plan", "--days", "100", *place, code=1).stderr
    assert "50 are needed in each arm" in run("experiment", "plan", "--days", "28", "--traffic", "0.1", *place, code=1).stderr


def test_a_report_is_a_table_a_page_and_json(release: Release, logs: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    given = ["experiment", "report", str(logs / "experiment.yaml"), *arguments(logs, release), "--output", str(page)]
    told = json.loads(run(*given, "--json").stdout)
    assert (told["people"], told["days"], told["comparisons"][0]["arm"]) == (150, 2, "same")
    assert told["comparisons"][0]["verdict"] == "no difference found"
    shown = run(*given).stdout
    assert "No difference found between same and now in the 2 days that were planned." in shown
    assert "<h1>Experiment trial</h1>" in page.read_text()


def test_another_release_is_estimated_from_explored_answers(release: Release, logs: Path) -> None:
    given = ["experiment", "estimate", str(logs / "experiment.yaml"), release.id, *arguments(logs, release)]
    told = json.loads(run(*given, "--json").stdout)
    # It is the release that was served: what it brings without chance is what was brought, every item being liked alike.
    assert told["served"] == pytest.approx(5 * 0.2, rel=0.2)
    for value in told["values"]:
        assert value["low"] < 1.0 < value["high"]
    assert told["seen"] > 0.9
    assert "answers of now bring" in run(*given).stdout
