"""Simulated shoppers behave as the history that they were fitted to, and an experiment with them runs through the real service."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import numpy as np
import polars as pl
import pytest
import yaml
from serving import desk_of, serving
from starlette.testclient import TestClient

from bentos.api import make_app
from bentos.settings import Settings
from cortex_rec import events as store_of_events
from cortex_rec.arrays import DAY
from cortex_rec.encoding import Encoded, encode
from cortex_rec.errors import DataError
from cortex_rec.events import exposures
from cortex_rec.experiments.analysis import analyse
from cortex_rec.experiments.config import Experiment, Exploration, load_experiment
from cortex_rec.experiments.exploration import explore
from cortex_rec.experiments.outcomes import events_table, outcomes
from cortex_rec.experiments.past import past_of
from cortex_rec.releases.store import Release
from cortex_rec.simulation import attention, shoppers
from cortex_rec.simulation.shopping import EMPTY, Shop, listed, simulate
from cortex_rec.simulation.through_service import ServiceFailed, shop_for_days
from cortex_rec.testing.release import small_release
from cortex_rec.testing.shop import small_shop


@pytest.fixture(scope="module")
def data() -> Encoded:
    return encode(small_shop(users=200, weeks=16))


@pytest.fixture(scope="module")
def fitted(data: Encoded) -> shoppers.Shoppers:
    return shoppers.fit(data.histories, len(data.items), int(data.histories.time.max()) + 1)


def test_habits_are_read_off_the_history(data: Encoded, fitted: shoppers.Shoppers) -> None:
    own = slice(fitted.pointer[0], fitted.pointer[1])
    bought = data.histories.take(np.array([0], np.int32)).item
    items, lines = np.unique(bought, return_counts=True)
    assert fitted.item[own].tolist() == items[lines >= 2].tolist()
    visits = len(np.unique(data.histories.take(np.array([0], np.int32)).basket))
    assert fitted.chance[own] == pytest.approx(lines[lines >= 2] / (visits + 1))
    # Everybody comes once a week.
    assert fitted.visits.mean() == pytest.approx(1 / 7, rel=0.15)


def test_simulated_weeks_are_like_the_history(data: Encoded, fitted: shoppers.Shoppers) -> None:
    shop, sizes = Shop(fitted, np.random.default_rng(1)), []
    for day in range(28):
        sizes += [len(shop.visit(user, float(day), np.zeros(0, np.int64)).elsewhere) for user in shop.visitors().tolist()]
    history = data.histories
    _, real = np.unique(history.owner * 1_000 + history.basket, return_counts=True)
    assert np.mean(sizes) == pytest.approx(real.mean(), rel=0.15)
    assert len(sizes) == pytest.approx(28 * 200 / 7, rel=0.15)


def test_the_same_seed_gives_the_same_shop_and_another_another(fitted: shoppers.Shoppers) -> None:
    lists = [np.tile(np.arange(5), (200, 1)), np.tile(np.arange(5, 10), (200, 1))]
    on, arms = listed(fitted, lists), np.arange(200) % 2
    one, same, other = (simulate(fitted, on, arms, 14, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes() != other.tobytes()


def test_a_list_of_what_people_buy_brings_more_than_one_of_what_nobody_buys_and_the_top_more_than_the_bottom(
    fitted: shoppers.Shoppers,
) -> None:
    best = np.full((200, 6), EMPTY)
    for user in range(200):
        own = slice(fitted.pointer[user], fitted.pointer[user + 1])
        order = np.argsort(-fitted.chance[own])[:6]
        best[user, : len(order)] = fitted.item[own][order]
    on = listed(fitted, [best, best[:, ::-1].copy(), np.full((200, 6), EMPTY)])
    bought = [simulate(fitted, on, np.full(200, policy), 56, np.random.default_rng(3))[0].sum() for policy in range(3)]
    assert bought[0] > 1.2 * bought[1] > 0
    assert bought[2] == 0


def test_the_fast_simulation_buys_from_lists_as_often_as_the_one_visit_by_visit(fitted: shoppers.Shoppers) -> None:
    lists = np.tile(np.arange(8), (200, 1))
    fast = np.mean(
        [simulate(fitted, listed(fitted, [lists]), np.zeros(200, int), 28, np.random.default_rng(seed))[0].sum() for seed in range(5)]
    )
    slow = []
    for seed in range(5):
        shop = Shop(fitted, np.random.default_rng(seed))
        slow.append(sum(len(shop.visit(user, float(day), lists[user]).from_list) for day in range(28) for user in shop.visitors().tolist()))
    assert fast == pytest.approx(np.mean(slow), rel=0.1)


def test_attention_to_places_is_read_off_explored_answers() -> None:
    rng, rows = np.random.default_rng(0), []
    look, appeal = np.arange(1, 6) ** -0.8, np.array([0.9, 0.7, 0.6, 0.5, 0.4, 0.3, 0.3])
    for number in range(30_000):
        for place, rank in enumerate(explore(5, 7, Exploration(epsilon=0.8, among=2), "s", str(number)).ranks):
            rows.append((place, rank, bool(rng.random() < look[place] * appeal[rank])))
    shown = pl.DataFrame(rows, ["place", "rank", "clicked"], orient="row")
    found = attention.attention(shown)
    assert found == pytest.approx(look, rel=0.1)
    assert attention.exponent(found) == pytest.approx(0.8, abs=0.06)
    with pytest.raises(DataError, match="Serve an experiment with `exploration`"):
        attention.attention(shown.filter(pl.col("place") == pl.col("rank")))


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Release]:
    """The small shop's, and one that was learned from other people under the same ids."""
    root = tmp_path_factory.mktemp("trial") / "releases"
    return small_release(root, seed=0), small_release(root, seed=1)


class Trial:
    """An experiment with both releases, and shoppers who are like the people of the first."""

    def __init__(self, releases: tuple[Release, Release], folder: Path, **experiment: Any) -> None:
        good, self.bad = releases
        self.root = good.path.parent
        self.data = Encoded.load(good.path / "encoded")
        self.as_of = int(self.data.histories.time.max()) // DAY * DAY + DAY
        arms = [{"name": "good", "release": good.id, "share": 0.5}, {"name": "bad", "release": self.bad.id, "share": 0.5}]
        self.file = folder / "experiment.yaml"
        self.file.write_text(yaml.safe_dump({"name": "trial", "salt": "s1", "arms": arms, "days": 14} | experiment))
        own = shoppers.fit(self.data.histories, len(self.data.items), self.as_of)
        # Ten persons with each one's habits, who come twice as often: enough for a verdict.
        copies = np.repeat(np.arange(len(own.visits)), 10)
        self.shoppers = own.take(copies)
        self.shoppers = replace(self.shoppers, visits=np.minimum(1, 2 * self.shoppers.visits))
        known = self.data.users.external(np.arange(len(own.visits)))
        self.users = [f"{known[user]}" if number % 10 == 0 else f"{known[user]}-{number}" for number, user in enumerate(copies)]

    def report(self, shown: Path, happened: str) -> dict[str, Any]:
        experiment = load_experiment(self.file)
        found = outcomes(experiment, exposures.read(shown, 0, 2**40), _events(happened))
        return analyse(experiment, found, *past_of(found.users, self.data, self.as_of))


@pytest.mark.slow
def test_an_experiment_of_two_weeks_is_reported_day_by_day(releases: tuple[Release, Release], tmp_path: Path) -> None:
    trial, today = Trial(releases, tmp_path), [0]
    opening = datetime(2024, 4, 1, 9)

    def clock(zone: ZoneInfo) -> datetime:
        return (opening + timedelta(days=today[0])).replace(tzinfo=zone)

    settings = Settings(
        releases=trial.root,
        release=trial.bad.id,
        cache=tmp_path / "compiled",
        events=str(tmp_path / "events.sqlite"),
        deadline_ms=0,
        wait_seconds=4,
        experiment=trial.file,
        exposures=tmp_path / "shown",
    )
    desk = desk_of(settings, clock)
    known = trial.users[::10]
    shop = Shop(trial.shoppers.take(np.arange(0, len(trial.users), 10)), np.random.default_rng(4))
    visits = shop_for_days(
        TestClient(make_app(desk)), shop, known, trial.data.items, days=14, new_day=lambda day: today.__setitem__(0, day)
    )
    desk.close()
    assert visits > 150
    result = trial.report(tmp_path / "shown", settings.events)
    came = set(exposures.read(tmp_path / "shown", 0, 2**40)["user"])
    assert (result["days"], result["people"]) == (14, len(came))
    assert "Fewer than 50 people in an arm" in result["warnings"][-1]
    found = outcomes(load_experiment(trial.file), exposures.read(tmp_path / "shown", 0, 2**40), _events(settings.events))
    rate = [found.by_day["bought"][found.arm == arm].sum() / found.days[found.arm == arm, -1].sum() for arm in (0, 1)]
    assert rate[0] > rate[1] > 0
    # Of each day, what was bought on it.
    assert (found.by_day["lines"].sum(axis=0) > 0).all()


def test_simulated_shoppers_at_the_running_service_leave_exposures_and_events_that_a_report_is_made_of(
    releases: tuple[Release, Release], tmp_path: Path
) -> None:
    trial = Trial(releases, tmp_path, exploration={"epsilon": 0.3, "among": 5})
    variables = {
        "CORTEX_REC_EXPERIMENT": str(trial.file),
        "CORTEX_REC_EXPOSURES": str(tmp_path / "shown"),
        "CORTEX_REC_EVENTS": str(tmp_path / "events.sqlite"),
        "CORTEX_REC_WAIT_SECONDS": "4",
    }
    with serving(trial.root, tmp_path, **variables) as served:
        shop = Shop(trial.shoppers, np.random.default_rng(4))
        visits = shop_for_days(served.client, shop, trial.users, trial.data.items, days=3, n=5)
        metrics = served.client.get("/metrics").text
        assert served.stop() == 0
    assert f'cortex_rec_exposures{{result="written"}} {visits}.0' in metrics
    shown = exposures.read(tmp_path / "shown", 0, 2**40)
    assert shown.height == visits > 300
    experiment = Experiment.model_validate(yaml.safe_load(trial.file.read_text()))
    assert shown["arm"].to_list() == [experiment.label_of(user) for user in shown["user"]]
    result = trial.report(tmp_path / "shown", variables["CORTEX_REC_EVENTS"])
    (compared,) = result["comparisons"]
    primary = compared["metrics"][0]
    assert not result["ratio"]["broken"]
    assert primary["difference"] < 0, "people buy less from what was learned of others"
    counted = _events(variables["CORTEX_REC_EVENTS"]).filter(pl.col("kind") == "click").height
    clicks = next(row for row in compared["metrics"] if row["metric"] == "clicks")
    assert clicks["users"] == primary["users"]
    assert counted > 20


def _events(place: str) -> pl.DataFrame:
    store = store_of_events.open(place)
    try:
        return events_table(store.since(0))
    finally:
        store.close()


def test_a_service_that_refuses_is_named() -> None:
    client = httpx.Client(base_url="http://shop", transport=httpx.MockTransport(lambda _: httpx.Response(503, text="overloaded")))
    data = encode(small_shop())
    fitted = shoppers.fit(data.histories, len(data.items), int(data.histories.time.max()) + 1)
    shop = Shop(replace(fitted, visits=np.ones(len(fitted.visits))), np.random.default_rng(0))
    with pytest.raises(ServiceFailed, match="/recommend answered 503: overloaded"):
        shop_for_days(client, shop, data.users.ids.to_list(), data.items, days=1)
