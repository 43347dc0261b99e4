"""What requests did and what took how long, as OpenTelemetry spans; imported only where the environment asks for traces."""

import threading
from contextvars import ContextVar
from time import perf_counter, time_ns
from typing import Final

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, set_span_in_context
from starlette.datastructures import Headers

from bentos.kernel import Computed
from cortex_rec import __version__

#: Seconds for what is left to send when the service ends: a collector that is gone must not keep it.
PATIENCE: Final = 3.0
_CURRENT: Final[ContextVar[Span]] = ContextVar("span", default=INVALID_SPAN)


class Traces:
    """One span a request, with one for each stage of its answer; no ids of users or items.

    Where they are sent, how many are kept and what the service is called is told by OpenTelemetry's own variables (`OTEL_…`).
    """

    def __init__(self) -> None:
        # What the environment says goes before what is said here.
        resource = Resource.create({"service.name": "cortex-rec", "service.version": __version__}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("cortex_rec", __version__)

    def begin(self, method: str, headers: Headers) -> Span:
        """Note that a request has come; it is part of its caller's trace if it says so."""
        # From nothing, because BentoML has made a span of its own, which is not sent.
        caller = propagate.extract(headers, Context())
        span = self._tracer.start_span(method, caller, SpanKind.SERVER, {"http.request.method": method})
        _CURRENT.set(span)
        return span

    def end(self, span: Span, method: str, route: str | None, status: int) -> None:
        """Note that it has been answered; `route` is the template, None when there is none."""
        if route is not None:
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(StatusCode.ERROR)
        span.end()

    def released(self, release: str) -> None:
        """The answer to the current request comes from this release."""
        _CURRENT.get().set_attribute("cortex_rec.release", release)

    def computed(self, computed: Computed) -> None:
        """The recommendations for the current request have been computed."""
        span, watch = _CURRENT.get(), computed.watch
        if not span.is_recording():
            return
        span.set_attribute("cortex_rec.requests", len(computed.slates))
        span.set_attribute("cortex_rec.together", computed.together)
        span.set_attribute("cortex_rec.candidates", watch.candidates)
        span.set_attribute("cortex_rec.degraded", any(slate.degraded for slate in computed.slates))
        # Stages are timed by a clock that starts anywhere.
        zero = time_ns() - round(1e9 * perf_counter())
        begun = zero + round(1e9 * computed.asked_at)
        stages = {"wait": 1_000 * (computed.begun_at - computed.asked_at), **watch.milliseconds}
        within = set_span_in_context(span, Context())
        for stage, milliseconds in stages.items():
            ended = begun + round(1e6 * milliseconds)
            child = self._tracer.start_span(stage, within, start_time=begun)
            if stage == "retrieve":
                child.set_attributes({f"cortex_rec.proposed.{name}": n for name, n in watch.proposed.items()})
            child.end(ended)
            begun = ended

    def close(self) -> None:
        """Send what is left, as far as that is possible soon."""
        sending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        sending.start()
        sending.join(PATIENCE)
