"""Is a day like the weeks that the release in production learned from? An alarm is told, and starts the training of the next one."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from prefect import flow
from prefect.events import emit_event

from cortex_rec.config import load_config
from cortex_rec.errors import ConfigError
from cortex_rec.releases.channels import PRODUCTION
from flows.alarm import tell, tell_failure
from flows.artifacts import show_drift
from tasks.drift import check_day

#: The event that `train/nightly` waits for (prefect.yaml).
DRIFTED: Final = "cortex-rec.drifted"
#: As the service has them: its log of answers, and the zone of the shop's clock.
EXPOSURES: Final = "CORTEX_REC_EXPOSURES"
TIME_ZONE: Final = "CORTEX_REC_TIME_ZONE"


@flow(name="drift", persist_result=False, on_failure=[tell_failure], on_crashed=[tell_failure])
def drift(
    config_path: str = "configs/complete_journey.yaml",
    overrides: dict[str, Any] | None = None,
    release: str = PRODUCTION,
    exposures: str | None = None,
    day: str | None = None,
    textfiles: str | None = None,
) -> Path:
    """Hold a day against the release's reference; an alarm is told once a day and release.

    Parameters
    ----------
    config_path, overrides
        As of `train`: source, events, releases and workspace.
    release
        Its id, or the channel that points to it.
    exposures
        The folder of the service's log of answers; `CORTEX_REC_EXPOSURES` when absent.
    day
        YYYY-MM-DD; yesterday by the shop's clock when absent.
    textfiles
        The folder that node-exporter reads gauges from; `<workspace>/drift` when absent.

    Returns
    -------
    Path
        The folder with `drift.html` and `drift.json`.
    """
    config, now = load_config(config_path, **(overrides or {})), datetime.now(UTC)
    asked = (now.astimezone(ZoneInfo(os.environ.get(TIME_ZONE, "UTC"))).date() - timedelta(days=1)) if day is None else day_from(day)
    start = int(datetime(asked.year, asked.month, asked.day, tzinfo=UTC).timestamp())
    log = exposures or os.environ.get(EXPOSURES) or None
    verdict, folder, news = check_day(config, release, log, start, at=now.timestamp(), textfiles=textfiles)
    show_drift(verdict, folder)
    if news:
        emit_drifted(verdict.release, verdict.day, why=verdict.told())
        tell(verdict.told(), flow="drift")
    return folder


def emit_drifted(release: str, day: str, *, why: str) -> None:
    """Tell that a day is not like those that a release learned from; the event's resource is `cortex-rec.release.<id>`."""
    resource = {"prefect.resource.id": f"cortex-rec.release.{release}", "prefect.resource.name": release}
    emit_event(event=DRIFTED, resource=resource, payload={"release": release, "day": day, "why": why})


def day_from(text: str) -> date:
    """A day as it is asked for; raises a `ConfigError` if it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"day: {text!r} is no day. Write it as 2018-01-31.") from None
