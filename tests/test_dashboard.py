"""`make dashboard`: server, pool, deployments and worker come up by themselves and go in the right order."""

import re
import socket
from pathlib import Path

import pytest
from prefect_server import dashboard, wait_for

pytestmark = pytest.mark.slow


def test_every_deployment_is_there_the_nightly_one_scheduled_and_ctrl_c_ends_everything(tmp_path: Path) -> None:
    with dashboard(tmp_path) as running:
        deployed = {each["name"]: each for each in running.ask("deployments/filter")}
        assert {name: each["entrypoint"] for name, each in deployed.items()} == {
            "nightly": "flows/train.py:train",
            "on-promotion": "flows/package.py:package",
            "all-users": "flows/score_batch.py:score_batch",
            "between-trainings": "flows/refresh.py:refresh",
            "hourly": "flows/drift.py:drift",
        }
        assert deployed["nightly"]["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
        for name in ("nightly", "hourly"):
            (schedule,) = deployed[name]["schedules"]
            assert schedule["schedule"]["timezone"] == "America/New_York"
        assert deployed["on-promotion"]["schedules"] == []
        (schedule,) = deployed["all-users"]["schedules"]
        assert not schedule["active"]
        scheduled = wait_for(lambda: running.ask("flow_runs/filter"), 60, "the scheduler's first plan")
        assert {run["state_type"] for run in scheduled} == {"SCHEDULED"}
        assert {run["deployment_id"] for run in scheduled} <= {deployed[name]["id"] for name in ("nightly", "hourly")}
        assert running.stop() == 0, running.log.read_text()
    text = running.log.read_text()
    assert text.index("stopped!") < text.index("Server stopped!")
    assert re.search(r"prefect\s+deployment\s+run\s+'train/nightly'", text)
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", running.port)) != 0, "nothing listens any more"
