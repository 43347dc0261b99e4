"""Content-addressed stage outputs: an unchanged stage is not run again, a killed run resumes where it was."""

import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cortex_rec import folders
from cortex_rec.code_version import code_version
from cortex_rec.folders import FileRecord

RECORD = "stage.json"


@dataclass(frozen=True)
class StageOutput:
    """A finished stage.

    Parameters
    ----------
    name, key
        What was run, and the digest of all that it depends on.
    path
        Folder with the stage's files.
    digest
        SHA-256 over the names and contents of the files; what later stages depend on.
    cached
        True when the output was already there.
    seconds, peak_rss_mb
        What the stage took when it really ran.
    """

    name: str
    key: str
    path: Path
    digest: str
    cached: bool
    seconds: float
    peak_rss_mb: float


def run_stage(
    workspace: Path,
    name: str,
    inputs: Mapping[str, str],
    config_part: Mapping[str, Any],
    module: str,
    write: Callable[[Path], None],
) -> StageOutput:
    """Give a stage's output, running it only when its inputs, its part of the config or its code have changed.

    Parameters
    ----------
    workspace
        Outputs lie in `<workspace>/stages/<name>/<key>/`.
    name
        The stage, for example `encode` or `snapshot`.
    inputs
        Digests of what it reads, by name.
    config_part
        The values of the configuration that it depends on; must be writable as JSON.
    module
        Dotted name of the module whose code it runs.
    write
        Fills an empty folder.

    Raises
    ------
    ArtifactError
        If the folder cannot be written; nothing half-written is left.
    """
    found = find_stage(workspace, name, inputs, config_part, module)
    if found is not None:
        return found
    key = stage_key(name, inputs, config_part, module)
    parent = workspace / "stages" / name
    target = parent / key
    shutil.rmtree(target, ignore_errors=True)  # damaged: `_load` would have taken it otherwise
    with folders.draft(parent) as folder:
        _reset_peak_rss()
        start = time.perf_counter()
        write(folder)
        seconds = round(time.perf_counter() - start, 3)
        files = folders.records(folder)
        record: dict[str, Any] = {
            "name": name,
            "key": key,
            "inputs": dict(inputs),
            "config": dict(config_part),
            "module": module,
            "seconds": seconds,
            "peak_rss_mb": _peak_rss_mb(),
            "digest": folders.content_digest(files),
            "files": {path: asdict(entry) for path, entry in files.items()},
        }
        (folder / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
        folders.settle(folder, target)
    return StageOutput(name, key, target, record["digest"], False, seconds, record["peak_rss_mb"])


def find_stage(workspace: Path, name: str, inputs: Mapping[str, str], config_part: Mapping[str, Any], module: str) -> StageOutput | None:
    """A stage's output where it is there and whole; the parameters are those of `run_stage`."""
    key = stage_key(name, inputs, config_part, module)
    return _load(workspace / "stages" / name / key, name, key)


def stage_key(name: str, inputs: Mapping[str, str], config_part: Mapping[str, Any], module: str) -> str:
    """SHA-256 (64 hex) of all that a stage's output depends on."""
    parts = {"name": name, "inputs": dict(inputs), "config": dict(config_part), "code": code_version(module)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _load(target: Path, name: str, key: str) -> StageOutput | None:
    """The output if all its files are there with their sizes; a reader of a file notices other damage."""
    try:
        record = json.loads((target / RECORD).read_text(encoding="utf-8"))
        files = {path: FileRecord(**entry) for path, entry in record["files"].items()}
        if any((target / path).stat().st_size != entry.bytes for path, entry in files.items()):
            return None
        return StageOutput(name, key, target, record["digest"], True, record["seconds"], record["peak_rss_mb"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def _reset_peak_rss() -> None:
    """Linux can start the count anew, so that each stage shows its own peak."""
    control = Path("/proc/self/clear_refs")
    if os.access(control, os.W_OK):
        control.write_text("5", encoding="ascii")


def _peak_rss_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
