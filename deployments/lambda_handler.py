"""The service as an AWS Lambda function: the same app behind a function URL, with a release from S3.

Lambda loads this file before the first request and keeps it for those that follow. A release that is damaged or missing ends the start with
the sentence that names it, and nothing is answered.
"""

import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mangum import Mangum

from bentos.answered import Answered
from bentos.api import make_app
from bentos.current import Current, settle
from bentos.desk import Desk
from bentos.encoder import Encoder
from bentos.guard import keys_of, log_requests
from bentos.kernel import Kernel
from bentos.metrics import Metrics
from bentos.people import feedback
from bentos.problems import Refused
from bentos.settings import Settings
from bentos.table import TABLE
from cortex_rec import events
from cortex_rec.errors import ConfigError


def make_handler(environment: Mapping[str, str]) -> Mangum:
    """Load the release that the environment names, and answer from it as long as this process lives.

    Raises
    ------
    ConfigError
        If a variable cannot be used; the message names it.
    ArtifactError
        If the release is damaged or missing.
    """
    settings = Settings.of(environment)
    keys = keys_of(settings)
    in_redis = "://" in settings.events
    if settings.events and not in_redis:
        raise ConfigError(f"CORTEX_REC_EVENTS={settings.events}: a function's disk is lost with it. Give a redis:// address, or unset it.")
    for name in ("experiment", "exposures"):
        if getattr(settings, name) is not None:
            raise ConfigError(f"CORTEX_REC_{name.upper()}: a function has no disk for exposures. Experiment with the service, or unset it.")
    # Where there is no Redis the store is empty and stays so.
    happened = events.open(settings.events or Path(tempfile.mkdtemp()) / "events.sqlite")
    # Its watcher is not started: a function is frozen between two requests. A new release comes with a new function's process.
    current = Current(settings, happened if in_redis else None)
    metrics = Metrics()
    desk = Desk(settings, current, Kernel(settings, metrics), happened, Encoder(), metrics)
    kept = {feedback} if in_redis else set()
    table = tuple(each if each.needed == "read" or each.call in kept else replace(each, call=_not_kept) for each in TABLE)
    log_requests()
    # It would write every path, and with them the ids of users.
    logging.getLogger("mangum.http").setLevel(logging.WARNING)
    settle()
    return Mangum(make_app(desk, keys, table), lifespan="off")  # type: ignore[arg-type]  # it asks for coroutines, Starlette for awaitables


async def _not_kept(desk: Desk, asked: Any) -> Answered:
    """What is kept on a function's disk is lost with it."""
    del desk, asked
    raise Refused(
        "This is a Lambda function: it has no disk to keep items and forgotten users on, and events only where CORTEX_REC_EVENTS is a "
        "redis:// address. Send this to the service.",
        error="not_kept_here",
        status=501,
    )


handler = make_handler(os.environ)
