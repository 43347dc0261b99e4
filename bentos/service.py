"""The BentoML service: check the release before a port is opened, load it beside the running server, hand over to the API."""

import gc
import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import bentoml
from bentoml.exceptions import BentoMLException
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.models import Json, Problem
from cortex_rec.errors import CortexRecError
from cortex_rec.releases import store
from cortex_rec.releases.store import Release

#: The folder of releases, and the one to serve: an id, or `latest`.
RELEASES: Final = "CORTEX_REC_RELEASES"
RELEASE: Final = "CORTEX_REC_RELEASE"
log = logging.getLogger("bentoml.cortex_rec")

# There is one worker, so its counters stay in memory: BentoML's files for several are shared with every other server of
# this user, and each start wipes them.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)


class Door:
    """The mounted app: 503 while the release loads, then the API over it."""

    def __init__(self) -> None:
        self._app: Future[ASGIApp] | None = None

    @property
    def open(self) -> bool:
        """Whether the release is loaded."""
        return self._app is not None and self._app.done() and self._app.exception() is None

    def load(self) -> None:
        """Start to load the release."""
        loader = ThreadPoolExecutor(1, "load")
        self._app = loader.submit(load_app)
        self._app.add_done_callback(_log_fault)
        loader.shutdown(wait=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._app is not None and self.open:
            await self._app.result()(scope, receive, send)
            return
        fault = self._app.exception() if self._app is not None and self._app.done() else None
        detail = "The release is still loading. Ask again in a second." if fault is None else f"The release cannot be loaded: {fault}"
        await Json(Problem(error="not_ready", detail=detail), 503)(scope, receive, send)


def open_release() -> Release:
    """The release that the environment names, every file checked."""
    return store.open_release(Path(os.environ.get(RELEASES, "releases")), os.environ.get(RELEASE, store.LATEST))


def load_app() -> ASGIApp:
    """Load the release and build the API; the first requests find everything warm."""
    # Imported here so that the process which only supervises starts without them.
    from bentos.api import make_app
    from cortex_rec.recommender import Recommender, Request

    release = open_release()
    recommender = Recommender.load(release.path)
    recommender.recommend([Request(recommender.data.users.external([0])[0]), Request()])
    # What is loaded stays: without this, full collections walk it about once a second and stall whoever asks just then.
    gc.collect()
    gc.freeze()
    log.info("Serving release %s", release.id)
    return make_app(release, recommender)


def _log_fault(loading: Future[ASGIApp]) -> None:
    fault = loading.exception()
    if fault is not None:
        log.error("The release cannot be loaded: %s", fault, exc_info=None if isinstance(fault, CortexRecError) else fault)


door = Door()


@bentoml.service(
    workers=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    envs=[{"name": name, "value": "1"} for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")],
)
@bentoml.asgi_app(door)
class Recommendations:
    """Recommendations from the latest release."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check_release() -> None:
        """Runs once, before the port is opened; the worker serves the release that was checked even if `latest` moves on."""
        try:
            release = open_release()
        except CortexRecError as error:
            raise BentoMLException(str(error)) from error
        os.environ[RELEASES] = str(release.path.parent.resolve())
        os.environ[RELEASE] = release.id

    def __init__(self) -> None:
        door.load()

    def __is_ready__(self) -> bool:
        return door.open
