"""Processes that are killed with SIGKILL at a chosen point of what they do with a store of releases."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

#: Waits for orders, and lets a child of its own carry out each: the imports are paid for once.
_SCRIPT: Final = """
import json, os, shutil, signal, socket, sys
from datetime import UTC, datetime
from pathlib import Path
import boto3
from cortex_rec.releases import channels, places, retention, storage_s3, store

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def arm(owner, name, at, when):
    original, calls = getattr(owner, name), []
    def counted(*arguments, **named):
        if name == "sendall" and len(arguments[1]) < 8192:
            return original(*arguments, **named)  # not the content of a file
        calls.append(name)
        if len(calls) == at and when == "before":
            die()
        if len(calls) == at and when == "within" and name == "sendall":
            original(arguments[0], arguments[1][: len(arguments[1]) // 2])
            die()
        if len(calls) == at and when == "within":
            source, target = arguments[:2]
            content = source.read() if hasattr(source, "read") else Path(source).read_bytes()
            with target if hasattr(target, "write") else open(target, "wb") as file:
                file.write(content[: len(content) // 2])
                file.flush()
                die()
        done = original(*arguments, **named)
        if len(calls) == at and when == "after":
            die()
        return done
    setattr(owner, name, counted)

def act(what, place, *rest):
    if what == "promote":
        channels.promote(place, rest[0], by="killed", why="", at=datetime(2026, 1, 9, tzinfo=UTC))
    elif what == "push":
        store.push(rest[0], place, rest[1])
    elif what == "open":
        store.open_release(place)
    elif what == "gc":
        retention.gc(place, keep=1)

for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        try:
            os.environ.update(order["variables"])
            verb, place = order["verb"], order["what"][1]
            owners = {"rename": Path, "replace": Path, "copyfile": shutil, "copyfileobj": shutil, "sendall": socket.socket}
            arm(owners.get(verb) or type(places.storage_of(place)), verb, order["at"], order["when"])
            act(*order["what"])
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Killer:
    """Runs things that die."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", _SCRIPT]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])

    def kill(self, *what: str, verb: str, at: int, when: str) -> None:
        """Do something, and die before, within or after the `at`th call of a verb of the storage (or of what it rests on)."""
        variables = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "CORTEX_REC_"))}
        order: dict[str, Any] = {"what": what, "verb": verb, "at": at, "when": when, "variables": variables}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == f"{-signal.SIGKILL}\n", "it was not killed: the point was never reached"

    def end(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="session")
def killer() -> Iterator[Killer]:
    running = Killer()
    yield running
    running.end()
