"""Prefect as this project runs it: offline, silent, and at home in the workspace. To be set before `prefect` is imported."""

import os
import signal
from pathlib import Path
from typing import Final

from cortex_rec.errors import ArtifactError

#: Marks this run's server and every other process that it starts.
OWNER: Final = "CORTEX_REC_RUN_PID"


def prepare(workspace: Path) -> None:
    """Set what the user has not set.

    Raises
    ------
    ArtifactError
        If the workspace cannot be written.

    Notes
    -----
    Without `PREFECT_API_URL` a run starts its own server for as long as it takes, with its SQLite file in the workspace.
    """
    home = (workspace / "prefect").resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)  # Prefect makes one folder, not its parents, and without it waits in vain
    except OSError as error:
        raise ArtifactError(f"{home}: cannot be made ({error}). Make it writable, or point `workspace` elsewhere.") from error
    for name, value in {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "150",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_CLI_PROMPT": "false",
        "TQDM_DISABLE": "1",
        # Threads that wait for each other sleep: spinning, they take the cores from whatever else runs, and from the one they wait for.
        "OMP_WAIT_POLICY": "passive",
    }.items():
        os.environ.setdefault(name, value)
    os.environ[OWNER] = str(os.getpid())


def end_orphans(workspace: Path) -> list[int]:
    """End what a killed run of this workspace left running, its server above all; give the process ids (Linux only)."""
    home = f"PREFECT_HOME={(workspace / 'prefect').resolve()}"
    ended = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # another user's process, or one that has just ended
        owner = next((entry.partition("=")[2] for entry in environment if entry.startswith(f"{OWNER}=")), "")
        if home in environment and owner and not Path("/proc", owner).exists():
            os.kill(int(folder.name), signal.SIGTERM)
            ended.append(int(folder.name))
    return ended
