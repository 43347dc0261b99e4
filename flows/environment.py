"""Prefect as this project runs it: offline, silent, and at home in the workspace. To be set before `prefect` is imported."""

import importlib.util
import os
import signal
import socket
from pathlib import Path
from typing import Final

from cortex_rec.config import Execution
from cortex_rec.errors import ArtifactError, ClusterUnavailable, ProgramMissing

#: Marks this run's server and every other process that it starts.
OWNER: Final = "CORTEX_REC_RUN_PID"
#: Seconds that a scheduler, its first worker, and a worker's look at what it needs may take.
PATIENCE: Final = 10.0


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
        "DASK_LOGGING__DISTRIBUTED": "critical",
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


def check_engine(execution: Execution) -> None:
    """See whether an engine can be had, before anything runs.

    Raises
    ------
    ProgramMissing
        If prefect-dask is not installed.
    ClusterUnavailable
        If the scheduler does not answer.
    """
    if execution.engine == "local":
        return
    missing = [name for name in ("prefect_dask", "distributed") if importlib.util.find_spec(name) is None]
    if missing:
        way_out = "In the checkout run `pip install -c constraints.txt -e '.[dask]'`, or write `engine: local`."
        raise ProgramMissing(f"engine dask: prefect-dask is not installed. {way_out}")
    if execution.scheduler is not None:
        host, port = execution.scheduler.partition("://")[2].rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), PATIENCE).close()
        except OSError as error:
            raise ClusterUnavailable(no_scheduler(execution.scheduler, error)) from error


def no_scheduler(address: str, error: object) -> str:
    """What to say of a scheduler that does not answer."""
    port = address.rpartition(":")[2]
    return (
        f"scheduler {address}: cannot be reached ({error}). Start it with `dask scheduler --port {port}` and workers with "
        f"`dask worker {address} --nthreads 1`, correct `scheduler`, or leave it out for workers of this machine."
    )
