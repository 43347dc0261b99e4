"""What the service counts, in Prometheus text; labels are route templates, never raw paths, so their number is bounded."""

from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, disable_created_metrics, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cortex_rec import __version__
from cortex_rec.releases.store import Release

#: Label of a request that no route matches.
NO_ROUTE: Final = "(none)"
BUCKETS: Final = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5)


class Metrics:
    """Counters of one running service."""

    def __init__(self, release: Release) -> None:
        self.registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        by = ("route", "status")
        self.requests = Counter("cortex_rec_requests", "Requests by route and status.", by, registry=self.registry)
        self.seconds = Histogram("cortex_rec_request_seconds", "Time to the answer's end.", by, registry=self.registry, buckets=BUCKETS)
        self.answers = Counter("cortex_rec_answers", "Answers by what they rest on.", ("basis",), registry=self.registry)
        for basis in ("personal", "basket", "popular"):
            self.answers.labels(basis)
        info = Info("cortex_rec_release", "The loaded release.", registry=self.registry)
        manifest = release.manifest
        info.info({"release": release.id, "name": manifest.name, "as_of": f"{manifest.data.as_of:%Y-%m-%d}", "library": __version__})

    def text(self) -> bytes:
        """All of it in the exposition format."""
        return generate_latest(self.registry)


class Measured:
    """Counts and times every request of the app inside."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; the inner router leaves the matched route in `scope`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        # BentoML's own router has left its mount there.
        scope.pop("route", None)
        try:
            await self.app(scope, receive, noted)
        finally:
            route = scope.get("route")
            labels = (NO_ROUTE if route is None else route.path.replace(":path", ""), str(status))
            self.metrics.requests.labels(*labels).inc()
            self.metrics.seconds.labels(*labels).observe(perf_counter() - start)
