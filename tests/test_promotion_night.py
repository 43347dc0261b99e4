"""Nights of a shop through the real flow: what is worse does not reach the shoppers, what is not does, and the run says why."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from command_line import TINY, cortex_rec

from cortex_rec.releases import channels
from cortex_rec.releases.channels import CANDIDATE, PRODUCTION
from cortex_rec.testing.shop import OPENING, small_shop

#: Whole runs, one after the other; what the gate decides is tried in tests/test_gate.py, without a run.
pytestmark = pytest.mark.slow

#: Sixty people tell little, and what they buy has a rhythm: in the last week it is less than in the one before.
WIDE = {"ndcg": 0.2, "new_items": 9, "light_users": 0.4, "coverage": 0.3, "latency": 9, "window": 0.5}
ORDERS = small_shop().interactions.select(customer="user_id", sku="item_id", time="timestamp").unique(maintain_order=True)
LAST_WEEK = pl.col("time") >= OPENING + timedelta(weeks=11)


def swapped(orders: pl.DataFrame) -> pl.DataFrame:
    """Two users in three have the purchases of the one thirty further on, but for the last week.

    With all of them swapped the run's own gate ends it: it is worse than best sellers.
    """
    number = pl.col("customer").str.slice(1).cast(pl.Int32)
    other = pl.format("h{}", ((number + 30) % 60).cast(pl.String).str.zfill(3))
    return orders.with_columns(customer=pl.when(LAST_WEEK | (number % 3 == 0)).then("customer").otherwise(other))


class Shop:
    """A folder with orders, and what its nights left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def night(self, orders: pl.DataFrame) -> dict[str, Any]:
        """Train on these orders; give what the run says as JSON."""
        orders.write_csv(self.folder / "orders.csv")
        done = cortex_rec("train", "shop.yaml", "--json", folder=self.folder, own_server=True)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def at(self, channel: str) -> str:
        pointer = channels.read(self.folder / "releases", channel)
        assert pointer is not None
        return pointer.release

    def artifact(self) -> tuple[list[dict[str, Any]], str]:
        """The rows and the description of the latest run's table of reasons."""
        with closing(sqlite3.connect(self.folder / ".cortex" / "prefect" / "prefect.db")) as database:
            query = "SELECT data, description FROM artifact WHERE key = 'promotion' ORDER BY created DESC LIMIT 1"
            ((data, description),) = database.execute(query).fetchall()
        return json.loads(json.loads(data)), description


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """After its first night, which knew eleven weeks."""
    folder: Path = tmp_path_factory.mktemp("shop")
    ORDERS.write_csv(folder / "orders.csv")
    assert cortex_rec("init", "orders.csv", "--output", "shop.yaml", folder=folder).returncode == 0
    config = yaml.safe_load((folder / "shop.yaml").read_text())
    (folder / "shop.yaml").write_text(yaml.safe_dump(config | TINY | {"promotion": WIDE}))
    opened = Shop(folder)
    told = opened.night(ORDERS.filter(~LAST_WEEK))
    assert told["promotion"] == {
        "challenger": told["release"],
        "champion": None,
        "promoted": True,
        "why": "the first release",
        "guards": [],
    }
    assert opened.at(PRODUCTION) == told["release"]
    return opened


def test_a_night_whose_past_was_swapped_is_kept_with_its_reasons_and_production_stays(shop: Shop) -> None:
    former = shop.at(PRODUCTION)
    told = shop.night(swapped(ORDERS))
    assert told["promotion"]["promoted"] is False
    assert told["release"] != former
    assert (shop.at(PRODUCTION), shop.at(CANDIDATE)) == (former, told["release"])
    main = told["promotion"]["guards"][0]
    assert (main["name"], main["outcome"]) == ("ndcg@10", "worse")
    assert main["change"] < -0.3
    rows, description = shop.artifact()
    assert rows == told["promotion"]["guards"]
    assert description.startswith(f"Production stays {former}; {told['release']} is kept as a candidate: ndcg@10: ")
    assert description.endswith(f"`cortex-rec releases promote {told['release']} --why …`.")


@pytest.fixture(scope="module")
def healed(shop: Shop) -> dict[str, Any]:
    """What the run said that came after the fault was mended."""
    return shop.night(ORDERS)


def test_a_night_that_is_not_worse_is_promoted_by_the_gate_and_the_log_says_why(shop: Shop, healed: dict[str, Any]) -> None:
    assert healed["promotion"]["promoted"], healed["promotion"]["why"]
    assert shop.at(PRODUCTION) == healed["release"]
    move = next(move for move in channels.log(shop.folder / "releases") if move.channel == PRODUCTION)
    assert (move.release, move.by) == (healed["release"], "promotion gate")
    assert move.why == f"not worse than {healed['promotion']['champion']} on 8 guards"


def test_an_unchanged_rerun_of_a_night_in_production_judges_nothing_and_moves_nothing(shop: Shop, healed: dict[str, Any]) -> None:
    before = channels.log(shop.folder / "releases")
    done = cortex_rec("train", "shop.yaml", folder=shop.folder)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.split()[1] == "promote"]
    assert line.endswith("unchanged")
    assert f"Production is {healed['release']}, this release: is in production already." in done.stdout
    assert channels.log(shop.folder / "releases") == before


def test_a_rerun_does_not_undo_a_person_s_rollback(shop: Shop, healed: dict[str, Any]) -> None:
    done = cortex_rec("releases", "rollback", "--why", "recommends sold-out items", "--by", "anna", folder=shop.folder)
    assert done.returncode == 0, done.stderr
    former = shop.at(PRODUCTION)
    done = cortex_rec("train", "shop.yaml", folder=shop.folder)
    assert done.returncode == 0, done.stderr
    assert shop.at(PRODUCTION) == former != healed["release"]
    assert "anna took it out of production" in done.stdout


def test_the_same_night_with_another_setting_is_judged_against_production_as_it_was_before_the_window(
    shop: Shop, healed: dict[str, Any]
) -> None:
    """Production has seen the whole window then; a release like it could not stand beside it, were it not rewound."""
    done = cortex_rec("releases", "promote", healed["release"], "--why", "it was the stock", "--by", "anna", folder=shop.folder)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((shop.folder / "shop.yaml").read_text())
    config["ranking"]["lambdarank"]["trees"] = 11
    (shop.folder / "shop.yaml").write_text(yaml.safe_dump(config))
    done = cortex_rec("train", "shop.yaml", folder=shop.folder)
    assert done.returncode == 0, done.stderr
    assert "The new release against production on the newest window" in done.stdout
    assert f"not worse than {healed['release']} on 8 guards" in " ".join(done.stdout.split())
