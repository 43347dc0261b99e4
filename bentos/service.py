"""The BentoML service: check the release before a port is opened, load it beside the running server, hand over to the API."""

import contextlib
import logging
import os
from typing import Final

import bentoml
from bentoml.exceptions import BentoMLException
from starlette.types import ASGIApp

from bentos.door import Door
from bentos.guard import keys_of, log_requests
from bentos.settings import PREFIX, Settings, traced
from cortex_rec.errors import ConfigError, CortexRecError
from cortex_rec.experiments.config import load_experiment
from cortex_rec.releases import places, store

log: Final = logging.getLogger("bentoml.cortex_rec")
#: What is to be closed when the server ends.
_open: Final = contextlib.ExitStack()

# There is one worker, so its counters stay in memory; BentoML would have them in files that all servers of a user share.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)


def load_app() -> ASGIApp:
    """Load the release and build the API; the first requests find everything warm."""
    # Imported here so that the process which only supervises starts without them.
    from bentos.api import make_app
    from bentos.arms import Arms
    from bentos.current import Current, settle
    from bentos.desk import Desk
    from bentos.encoder import Encoder
    from bentos.kernel import Kernel
    from bentos.metrics import Metrics
    from cortex_rec import events
    from cortex_rec.events.exposure_log import ExposureLog

    settings = Settings.of(os.environ)
    keys = keys_of(settings)
    if not keys:
        log.warning("No API keys are set: whoever reaches this port may ask and write (docs/serving.md#keys)")
    if places.bucket_of(settings.releases) is not None and settings.state is None:
        log.warning("Added items, forgotten users and events stay on this machine, in %s (docs/releases.md#state)", settings.beside)
    happened = events.open(settings.events or settings.beside / "events.sqlite")
    current = Current(settings, happened)
    current.watch()
    log_requests()
    log.info("Serving release %s", current.loaded.release.id)
    arms = None if settings.experiment is None else Arms.load(settings, current, happened)
    exposures = None if settings.exposures is None else ExposureLog(settings.exposures)
    settle()
    metrics, traces = Metrics(), None
    if traced(os.environ):
        from bentos.traces import Traces

        traces = Traces()
    desk = Desk(settings, current, Kernel(settings, metrics), happened, Encoder(), metrics, traces, arms, exposures)
    _open.callback(desk.close)
    return make_app(desk, keys)


def _check_experiment(settings: Settings) -> None:
    """Raises `ConfigError` when the experiment, a release of its arms or the folder of exposures cannot be used."""
    if settings.exposures is not None:
        try:
            settings.exposures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"CORTEX_REC_EXPOSURES: {settings.exposures} cannot be a folder ({error}). Set another one.") from error
    if settings.experiment is None:
        return
    if settings.exposures is None:
        raise ConfigError("CORTEX_REC_EXPOSURES: an experiment without a log of what was shown tells nothing. Set a folder for it.")
    experiment = load_experiment(settings.experiment)
    for arm in experiment.arms:
        if arm.release == settings.release:
            continue  # has been verified
        try:
            store.open_release(settings.releases, arm.release, cache=settings.cache / "releases")
        except CortexRecError as error:
            raise ConfigError(f"{settings.experiment}: arm {arm.name!r} cannot be served. {error}") from error


door = Door(load_app)


@bentoml.service(
    workers=1,
    # Seconds until a request is given up with 504. BentoML keeps a timer this long for each request, so it also bounds what
    # full garbage collections walk; it does not end their stalls (docs/serving.md).
    traffic={"timeout": 5},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    envs=[{"name": name, "value": "1"} for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")],
)
@bentoml.asgi_app(door)
class Recommendations:
    """Recommendations from the release in production."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check_release() -> None:
        """Runs once, before the port is opened."""
        try:
            settings = Settings.of(os.environ)
            keys_of(settings)
            traced(os.environ)
            store.open_release(settings.releases, settings.release, cache=settings.cache / "releases")
            _check_experiment(settings)
        except CortexRecError as error:
            raise BentoMLException(str(error)) from error
        # Workers start elsewhere.
        os.environ[f"{PREFIX}RELEASES"] = places.absolute(settings.releases)
        for name in ("experiment", "exposures"):
            if (path := getattr(settings, name)) is not None:
                os.environ[PREFIX + name.upper()] = str(path.absolute())

    def __init__(self) -> None:
        door.load()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Runs once, when the last request has been answered."""
        _open.close()

    def __is_ready__(self) -> bool:
        return door.open
