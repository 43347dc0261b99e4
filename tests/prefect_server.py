"""Real Prefect servers: one that the runs of all tests share, and `make dashboard` with all deployments and a process worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
#: What ends the server of these tests, when there is one.
_OPEN = ExitStack()


def wait_for(condition: Any, seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)  # polling another process
    raise AssertionError(f"{what} did not happen within {seconds} s")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@cache
def api() -> str:
    """The address of a server for all runs of this process's tests: to start one takes longer than most of them."""
    home = Path(_OPEN.enter_context(tempfile.TemporaryDirectory(prefix="prefect-")))
    port = free_port()
    silent = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-services"]
    said = _OPEN.enter_context((home / "said").open("wb"))
    process = subprocess.Popen(command, env=os.environ | silent, stdout=said, stderr=said)
    _OPEN.callback(process.wait)
    _OPEN.callback(process.terminate)

    def healthy() -> bool:
        assert process.poll() is None, (home / "said").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=10) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False  # not yet

    wait_for(healthy, 150, "the server's start")
    return f"http://127.0.0.1:{port}/api"


def stop() -> None:
    """End that server, if one was started."""
    _OPEN.close()


@dataclass(frozen=True)
class Dashboard:
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    environment: dict[str, str]

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def ask(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(f"{self.api}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def prefect(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line of Prefect against this server."""
        return self.python("-m", "prefect", *arguments)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment | {"PREFECT_API_URL": self.api, "PREFECT_HOME": str(self.log.parent / "client")}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def dashboard(folder: Path) -> Iterator[Dashboard]:
    """Started with its worker; whatever happens within, all of it is gone afterwards."""
    port, log = free_port(), folder / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows.dashboard", "--workspace", str(folder / "dashboard"), "--port", str(port)]
    with log.open("wb") as said, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said) as process:
        try:
            wait_for(lambda: "started!" in log.read_text() or process.poll() is not None, 480, "the worker's start")
            assert process.poll() is None, log.read_text()
            yield Dashboard(process, port, log, environment)
        finally:
            process.terminate()  # does nothing when it has ended, and stops worker and server when it has not
