"""Deployments of prefect.yaml as a team runs them: on a real server, by a process worker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from command_line import TINY
from prefect_server import ROOT, Dashboard, dashboard, wait_for
from test_flow import SLICE

from cortex_rec.releases import store
from cortex_rec.starting_config import starting_config
from cortex_rec.testing.shop import small_shop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with dashboard(tmp_path_factory.mktemp("deployments")) as started:
        yield started


def run_nightly(running: Dashboard, folder: Path, config: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Run the deployment on a configuration; give the exit code of `--watch` and the run."""
    places = {"workspace": str(folder / "work"), "releases": str(folder / "releases")}
    (folder / "run.yaml").write_text(yaml.safe_dump(config | places))
    named = ["--flow-run-name", folder.name, "--param", f"config_path={folder}/run.yaml"]
    done = running.prefect("deployment", "run", "train/nightly", *named, "--watch")
    (run,) = running.ask("flow_runs/filter", flow_runs={"name": {"any_": [folder.name]}})
    return done.returncode, run


def artifacts(running: Dashboard, run: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = running.ask("artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}, "key": {"any_": [key]}})
    return [dict(each) for each in found]


def test_the_nightly_run_of_a_small_slice_completes_with_a_verified_release(running: Dashboard, tmp_path: Path) -> None:
    code, run = run_nightly(running, tmp_path, SLICE)
    assert (code, run["state_name"]) == (0, "Completed"), running.log.read_text()[-3000:]
    (made,) = store.release_ids(tmp_path / "releases")
    store.open_release(tmp_path / "releases", made, check=True)
    (told,) = artifacts(running, run, "metrics")
    assert made in told["description"]


def test_a_run_that_a_data_gate_ends_is_failed_and_leaves_the_table_of_broken_rules(running: Dashboard, tmp_path: Path) -> None:
    orders = small_shop().interactions.select(customer="user_id", sku="item_id", time="timestamp").unique(maintain_order=True)
    every_third = pl.int_range(pl.len()) % 3 == 0
    orders.with_columns(customer=pl.when(~every_third).then("customer")).write_csv(tmp_path / "orders.csv")
    code, run = run_nightly(running, tmp_path, yaml.safe_load(starting_config(tmp_path / "orders.csv")) | TINY)
    assert (code, run["state_name"]) == (1, "Failed"), running.log.read_text()[-3000:]
    assert "GateFailed" in run["state"]["message"]
    (shown,) = artifacts(running, run, "gates")
    broken = [row for row in yaml.safe_load(shown["data"]) if not row["passed"]]
    assert [(row["table"], row["rule"]) for row in broken] == [("interactions", "user is given")]
    assert broken[0]["bad"] == (orders.height + 2) // 3
    assert store.release_ids(tmp_path / "releases") == []


def test_a_promotion_that_is_told_starts_the_packaging_of_that_release(running: Dashboard) -> None:
    (deployed,) = (each for each in running.ask("deployments/filter") if each["name"] == "on-promotion")
    pause = running.prefect("work-pool", "pause", "cortex-rec")
    assert pause.returncode == 0, pause.stderr
    code = "from flows.promotion import emit_promoted; emit_promoted('2018-01-01-0123456789', name='grocery')"
    told = running.python("-c", code)
    assert told.returncode == 0, told.stderr
    asked = {"deployments": {"id": {"any_": [deployed["id"]]}}}

    def of_this_release() -> list[dict[str, Any]]:
        """The promotion of the small slice, above, has started one, too."""
        return [run for run in running.ask("flow_runs/filter", **asked) if run["parameters"].get("release") == "2018-01-01-0123456789"]

    (run,) = wait_for(of_this_release, 60, "the trigger")
    assert run["parameters"] == {"releases": "releases", "release": "2018-01-01-0123456789"}
    assert (ROOT / deployed["entrypoint"].partition(":")[0]).is_file()


def test_a_day_that_is_unlike_the_weeks_before_starts_the_training_of_the_next_release(running: Dashboard) -> None:
    (deployed,) = (each for each in running.ask("deployments/filter") if each["name"] == "nightly")
    pause = running.prefect("work-pool", "pause", "cortex-rec")
    assert pause.returncode == 0, pause.stderr
    code = "from flows.drift import emit_drifted; emit_drifted('2018-01-01-0123456789', '2018-01-02', why='prices in cents')"
    told = running.python("-c", code)
    assert told.returncode == 0, told.stderr

    def triggered() -> list[dict[str, Any]]:
        runs = running.ask("flow_runs/filter", deployments={"id": {"any_": [deployed["id"]]}})
        return [run for run in runs if not run["auto_scheduled"]]

    assert wait_for(triggered, 60, "the trigger")
