"""Starting and stopping the real service in a test."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psutil
from prefect_server import free_port as free_port
from starlette.types import ASGIApp

from bentos.api import make_app
from bentos.arms import Arms
from bentos.current import Current
from bentos.desk import Desk
from bentos.encoder import Encoder
from bentos.guard import keys_of
from bentos.kernel import Kernel
from bentos.metrics import Metrics
from bentos.settings import Settings
from cortex_rec import events
from cortex_rec.events.exposure_log import ExposureLog

ROOT = Path(__file__).parents[1]
SECONDS = 60


@dataclass(frozen=True)
class Served:
    """A running service, ready to answer."""

    client: httpx.Client
    process: subprocess.Popen[bytes]
    log: Path

    def worker(self) -> int:
        """The process that answers."""
        (child,) = psutil.Process(self.process.pid).children()
        return child.pid

    def stop(self) -> int:
        """Ask it to end and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


def environment(releases: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BENTOML_", "CORTEX_REC_", "OTEL_", "PROMETHEUS_"))}
    ours = {"CORTEX_REC_RELEASES": str(releases), "CORTEX_REC_CACHE": str(releases.parent / "compiled")}
    # However busy the machine is that tests run on, answers are whole.
    return kept | ours | {"BENTOML_DO_NOT_TRACK": "True", "CORTEX_REC_DEADLINE_MS": "0"}


def command(port: int) -> list[str]:
    return [sys.executable, "-m", "bentoml", "serve", "bentos.service:Recommendations", "--host", "127.0.0.1", "--port", str(port)]


def own_command(port: int) -> list[str]:
    return [sys.executable, "-m", "cortex_rec.cli", "serve", "--port", str(port)]


@contextmanager
def serving(releases: Path, folder: Path, command: Callable[[int], list[str]] = command, **more: str) -> Iterator[Served]:
    """Serve until the block ends, with more variables if there are any; the log and BentoML's home are in `folder`."""
    port, log = free_port(), folder / "service.log"
    variables = environment(releases) | {"BENTOML_HOME": str(folder / "bentoml")} | more
    with (
        log.open("wb") as output,
        subprocess.Popen(command(port), cwd=ROOT, env=variables, stdout=output, stderr=output) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client,
    ):
        try:
            wait_until_ready(client, process, log)
            yield Served(client, process, log)
        finally:
            process.terminate()


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path, path: str = "/readyz") -> None:
    # Each try waits a little longer for its connection, so that the loop ends.
    for _ in range(SECONDS * 20):
        assert process.poll() is None, log.read_text()
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"not ready after {SECONDS} s\n{log.read_text()}")


def refused(releases: Path, folder: Path, **more: str) -> str:
    """What the service says when it refuses to start, with more variables if there are any."""
    variables = environment(releases) | {"BENTOML_HOME": str(folder / "bentoml")} | more
    done = subprocess.run(command(free_port()), cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "listening" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def app_of(releases: Path, folder: Path, **settings: Any) -> ASGIApp:
    """The API in this process, without BentoML before it; settings as in `bentos.settings`, events in `folder`."""
    given = {
        "releases": releases,
        "cache": releases.parent / "compiled",
        "events": str(folder / "events.sqlite"),
        "deadline_ms": 0,
        **settings,
    }
    chosen = Settings(**given)
    return make_app(desk_of(chosen), keys_of(chosen))


def desk_of(settings: Settings, clock: Callable[[ZoneInfo], datetime] = datetime.now) -> Desk:
    """All that the API answers from, in this process."""
    store, metrics = events.open(settings.events), Metrics()
    current = Current(settings, store)
    arms = None if settings.experiment is None else Arms.load(settings, current, store)
    log = None if settings.exposures is None else ExposureLog(settings.exposures)
    return Desk(settings, current, Kernel(settings, metrics), store, Encoder(), metrics, arms=arms, exposures=log, clock=clock)
