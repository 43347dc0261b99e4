"""Prefect server, work pool, deployments and worker in one command, until Ctrl-C: `python -m flows.dashboard`."""

import argparse
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from cortex_rec.errors import CortexRecError
from flows.environment import prepare
from tasks.progress import CONSOLE

POOL = "cortex-rec"
PREFECT = (sys.executable, "-m", "prefect")


def main(workspace: Path, port: int) -> int:
    """Start everything, wait for Ctrl-C, stop the worker and then the server."""
    url = f"http://127.0.0.1:{port}/api"
    os.environ["PREFECT_API_URL"] = os.environ.get("PREFECT_API_URL", url)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    prepare(workspace)
    signal.signal(signal.SIGTERM, _as_interrupt)
    if _answers(url):
        CONSOLE.print(f"[red]Port {port} is taken by another Prefect server.[/] Stop it, or choose another with --port.")
        return 1
    CONSOLE.print("Starting the Prefect server: about 15 seconds.")
    server = _start("server", "start", "--host", "127.0.0.1", "--port", str(port))
    worker = None
    try:
        _wait(url, server, seconds=150)
        _call("work-pool", "create", POOL, "--type", "process", "--overwrite")
        _call("--no-prompt", "deploy", "--all")
        worker = _start("worker", "start", "--pool", POOL)
        CONSOLE.print(f"\nDashboard  http://127.0.0.1:{port}")
        CONSOLE.print(f"Run now    PREFECT_API_URL={url} .venv/bin/prefect deployment run 'train/nightly'")
        CONSOLE.print("Stop       Ctrl-C\n")
        while server.poll() is None and worker.poll() is None:
            time.sleep(1)
        raise CortexRecError(f"The {'server' if server.poll() is not None else 'worker'} ended by itself; its last lines are above.")
    except KeyboardInterrupt:
        CONSOLE.print("Stopping the worker, then the server.")
        return 0
    except CortexRecError as error:
        CONSOLE.print(f"[red]{error}[/]")
        return 1
    finally:
        # A worker that outlives its server would take the next server's work.
        for process in (worker, server):
            if process is not None:
                _stop(process)


def _start(*command: str) -> subprocess.Popen[bytes]:
    """Start in a process group of its own, so that Ctrl-C reaches only this program, which then stops them in order."""
    return subprocess.Popen([*PREFECT, *command], start_new_session=True)


def _call(*command: str) -> None:
    done = subprocess.run([*PREFECT, *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CortexRecError(f"`prefect {' '.join(command)}` failed:\n{done.stdout}{done.stderr}")


def _stop(process: subprocess.Popen[bytes], patience: Mapping[int, float] | None = None) -> None:
    """Ask politely, then end the whole group, and wait until it is gone."""
    for number, seconds in (patience or {signal.SIGINT: 15.0, signal.SIGTERM: 10.0, signal.SIGKILL: 10.0}).items():
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue


def _wait(url: str, server: subprocess.Popen[bytes], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            raise CortexRecError("The Prefect server did not start; its last lines are above.")
        if _answers(url):
            return
        time.sleep(0.5)
    raise CortexRecError(f"The Prefect server did not answer at {url} within {seconds:.0f} seconds.")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path(".cortex"))
    parser.add_argument("--port", type=int, default=4200)
    arguments = parser.parse_args()
    raise SystemExit(main(arguments.workspace, arguments.port))
