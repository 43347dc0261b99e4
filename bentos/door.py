"""What stands at the port while the release loads beside the running server."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.answered import Json
from bentos.problems import Problem
from cortex_rec.errors import CortexRecError

log = logging.getLogger("bentoml.cortex_rec")


class Door:
    """An app that answers 503 while another one loads, then hands over to it.

    Parameters
    ----------
    load
        Makes the other app; called once, in a thread of its own.
    """

    def __init__(self, load: Callable[[], ASGIApp]) -> None:
        self._load = load
        self._app: Future[ASGIApp] | None = None

    @property
    def open(self) -> bool:
        """Whether the app is loaded."""
        return self._app is not None and self._app.done() and self._app.exception() is None

    def load(self) -> Future[ASGIApp]:
        """Begin to load; what the future holds, this app serves."""
        loader = ThreadPoolExecutor(1, "load")
        self._app = loader.submit(self._load)
        self._app.add_done_callback(_log_fault)
        loader.shutdown(wait=False)
        return self._app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._app is not None and self.open:
            await self._app.result()(scope, receive, send)
            return
        fault = self._app.exception() if self._app is not None and self._app.done() else None
        detail = "The release is still loading. Ask again in a second." if fault is None else f"The release cannot be loaded: {fault}"
        await Json(Problem(error="not_ready", detail=detail), 503)(scope, receive, send)


def _log_fault(loading: Future[ASGIApp]) -> None:
    fault = loading.exception()
    if fault is not None:
        log.error("The release cannot be loaded: %s", fault, exc_info=None if isinstance(fault, CortexRecError) else fault)
