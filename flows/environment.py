"""Prefect as this project runs it: offline, silent, and at home in the workspace. To be set before `prefect` is imported."""

import os
from pathlib import Path


def prepare(workspace: Path) -> None:
    """Set what the user has not set.

    Without `PREFECT_API_URL` a run starts its own server for as long as it takes, with its SQLite file in the workspace.
    """
    home = str((workspace / "prefect").resolve())
    for name, value in {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": home,
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "150",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_CLI_PROMPT": "false",
    }.items():
        os.environ.setdefault(name, value)
