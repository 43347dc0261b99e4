"""The drift flow and its command from a shop's files to page, gauges, webhook and exit code."""

import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml
from command_line import TINY, cortex_rec
from webhook import Hook

from cortex_rec import columns
from cortex_rec.starting_config import starting_config
from cortex_rec.testing.release import small_release
from cortex_rec.testing.shop import OPENING, small_shop
from flows.alarm import WEBHOOK

WEEKS = 18
FIRST = OPENING + timedelta(weeks=WEEKS - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose files go on for a week after its release was made."""
    home = tmp_path_factory.mktemp("shop")
    whole = small_shop(3, users=150, weeks=WEEKS)
    known = whole.interactions.filter(pl.col(columns.TIMESTAMP) < FIRST)
    small_release(home / "releases", shop=type(whole)(known, *list(whole.tables().values())[1:]))
    whole.interactions.write_csv(home / "orders.csv")
    places = {"workspace": str(home / "work"), "releases": str(home / "releases")}
    (home / "shop.yaml").write_text(yaml.safe_dump(yaml.safe_load(starting_config(home / "orders.csv")) | TINY | places))
    return home


def test_an_ordinary_day_is_told_in_figures_and_on_a_page(folder: Path) -> None:
    done = cortex_rec("drift", "shop.yaml", "--day", f"{FIRST + timedelta(days=1):%Y-%m-%d}", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["alarm"], told["judged"]) == (False, True)
    page = folder / "work" / "drift" / told["release"] / told["day"] / "drift.html"
    assert "Yes, an ordinary day." in page.read_text()
    assert "cortex_rec_drift_alarm 0.0" in (folder / "work" / "drift" / "cortex_rec_drift.prom").read_text()


@pytest.mark.slow
def test_an_alarm_is_told_to_the_webhook_once_and_is_no_failure(folder: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEBHOOK, hook.address)
    day = f"{FIRST + timedelta(days=2):%Y-%m-%d}"
    orders = pl.read_csv(folder / "orders.csv")
    cents = pl.when(pl.col("timestamp") >= f"{FIRST:%Y-%m-%d}").then(pl.col("price") * 100).otherwise(pl.col("price"))
    orders.with_columns(cents.alias("price")).write_csv(folder / "orders.csv")
    for _ in range(2):
        done = cortex_rec("drift", "shop.yaml", "--day", day, folder=folder)
        assert done.returncode == 0, done.stderr
    assert "is not like the weeks before" in done.stdout
    (told,) = hook.told
    assert told["flow"] == "drift"
    assert f"{day} is not like the weeks before" in told["text"]


@pytest.mark.parametrize(("asked", "says"), [("2024-01-01", "lies before"), ("yesterday", "Write it as 2018-01-31")])
def test_a_day_that_cannot_be_judged_is_one_message(folder: Path, asked: str, says: str) -> None:
    done = cortex_rec("drift", "shop.yaml", "--day", asked, folder=folder)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_day_that_is_still_to_come_has_too_little_to_tell(folder: Path) -> None:
    done = cortex_rec("drift", "shop.yaml", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["alarm"], told["judged"]) == (False, False)
    assert "too little to tell. purchases: 0 purchases on the day" in told["told"]
