"""The command line as a shop runs it, in a process of its own, and a configuration that trains in seconds."""

import os
import subprocess
import sys
from pathlib import Path

from prefect_server import api

#: Of the commands, those that run flows.
FLOWS = {"train", "refresh", "evaluate", "drift", "score"}
TINY = {
    "windows": {"training": 1},
    "retrieval": {"graph": {"dimensions": 8, "steps": 3, "refresh_steps": 1, "batch_size": 256, "negatives": 32}},
    "embeddings": {"fusion": {"dimensions": 8, "width": 16, "steps": 30, "batch_size": 64}},
    "ranking": {"lambdarank": {"trees": 10, "leaves": 7, "min_rows_in_leaf": 5}},
    "evaluation": {"bootstrap_samples": 20},
}


def environment(*, own_server: bool = False) -> dict[str, str]:
    """For a run that uses the one Prefect server of these tests, or starts a server for itself as it does where none is named."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept if own_server else kept | {"PREFECT_API_URL": api()}


def cortex_rec(*arguments: str, folder: Path, own_server: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cortex_rec.cli", *arguments]
    variables = environment(own_server=own_server or arguments[0] not in FLOWS)
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
