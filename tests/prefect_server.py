"""`make dashboard`, started and stopped in a test: a real Prefect server with all deployments and a process worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def wait_for(condition: Any, seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)  # polling another process
    raise AssertionError(f"{what} did not happen within {seconds} s")


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows.dashboard", "--workspace", str(folder / "dashboard"), "--port", str(port)]
    with log.open("wb") as said, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said) as process:
        try:
            wait_for(lambda: "started!" in log.read_text() or process.poll() is not None, 480, "the worker's start")
            assert process.poll() is None, log.read_text()
            yield Dashboard(process, port, log, environment)
        finally:
            process.terminate()  # does nothing when it has ended, and stops worker and server when it has not
