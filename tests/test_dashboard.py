"""`make dashboard`: server, pool, deployment and worker come up by themselves and go in the right order."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def ask(url: str, **body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def wait_for(condition: Any, seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)  # polling another process
    raise AssertionError(f"{what} did not happen within {seconds} s")


def test_the_nightly_deployment_is_scheduled_and_has_a_worker_and_ctrl_c_ends_everything(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows.dashboard", "--workspace", str(tmp_path / "work"), "--port", str(port)]
    with log.open("wb") as said, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said) as process:
        try:
            wait_for(lambda: "started!" in log.read_text() or process.poll() is not None, 240, "the worker's start")
            assert process.poll() is None, log.read_text()
            api = f"http://127.0.0.1:{port}/api"
            (deployment,) = ask(f"{api}/deployments/filter")
            assert deployment["name"] == "nightly"
            assert deployment["entrypoint"] == "flows/train.py:train"
            assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
            (schedule,) = deployment["schedules"]
            assert schedule["schedule"]["timezone"] == "America/New_York"
            scheduled = wait_for(lambda: ask(f"{api}/flow_runs/filter"), 60, "the scheduler's first plan")
            assert {run["state_type"] for run in scheduled} == {"SCHEDULED"}
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.terminate()  # does nothing when it has ended, and stops worker and server when it has not
    text = log.read_text()
    assert text.index("stopped!") < text.index("Server stopped!")
    assert re.search(r"prefect\s+deployment\s+run\s+'train/nightly'", text)
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", port)) != 0, "nothing listens any more"
