"""Images and running containers that are gone after a test or a benchmark: podman in a folder of its own."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SECONDS: Final = 60
#: As little as a container can be allowed.
TIGHT: Final = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--network", "host")
#: For a machine where the control groups are not ours and nothing keeps a journal, such as a container.
_CONTAINERS: Final = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_STORAGE: Final = """
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


@dataclass(frozen=True)
class Running:
    """A container that is ready to answer; `ready_seconds` went by from its start until it was."""

    name: str
    url: str
    ready_seconds: float

    def state(self) -> dict[str, Any]:
        """What podman knows of its process."""
        return dict(json.loads(podman("inspect", self.name))[0]["State"])


@contextmanager
def storage(folder: Path) -> Iterator[None]:
    """Within, buildah, podman and skopeo keep everything in `folder`, which is removed at the end."""
    folder.mkdir(parents=True)
    files = {"CONTAINERS_CONF": _CONTAINERS, "CONTAINERS_STORAGE_CONF": _STORAGE.format(folder=folder)}
    before = {name: os.environ.get(name) for name in files}
    for name, text in files.items():
        path = folder / f"{name.lower()}.conf"
        path.write_text(text, encoding="utf-8")
        os.environ[name] = str(path)
    try:
        yield
        podman("rm", "--all", "--force", "--volumes")
        podman("rmi", "--all", "--force")
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(folder)


def podman(*arguments: str) -> str:
    """Run podman to the end and give what it said."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def running(image: str, *options: str, variables: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start a container on a free port with as few rights as possible, wait until it is ready, and remove it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = [part for name, value in {"BENTOML_PORT": str(port), **(variables or {})}.items() for part in ("--env", f"{name}={value}")]
    start = time.perf_counter()
    name = podman("run", "--detach", *TIGHT, *given, *options, image)
    try:
        url = f"http://127.0.0.1:{port}"
        while not _ready(url):
            assert json.loads(podman("inspect", name))[0]["State"]["Running"], podman("logs", name)
            assert time.perf_counter() - start < SECONDS, podman("logs", name)
            time.sleep(0.02)  # polling another process
        yield Running(name, url, time.perf_counter() - start)
    finally:
        podman("rm", "--force", "--volumes", name)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
