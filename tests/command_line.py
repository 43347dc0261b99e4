"""The command line as a shop runs it, in a process of its own, and a configuration that trains in seconds."""

import os
import subprocess
import sys
from pathlib import Path

TINY = {
    "windows": {"training": 1},
    "retrieval": {"graph": {"dimensions": 8, "steps": 3, "refresh_steps": 1, "batch_size": 256, "negatives": 32}},
    "embeddings": {"fusion": {"dimensions": 8, "width": 16, "steps": 30, "batch_size": 64}},
    "ranking": {"lambdarank": {"trees": 10, "leaves": 7, "min_rows_in_leaf": 5}},
    "evaluation": {"bootstrap_samples": 20},
}


def cortex_rec(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "cortex_rec.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
