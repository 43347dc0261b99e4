"""What the service counts, in Prometheus text; labels are route templates, never raw paths, so their number is bounded."""

from collections import Counter as Count
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics, generate_latest

from cortex_rec import __version__
from cortex_rec.events.protocol import KINDS, Event
from cortex_rec.experiments.config import Experiment
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request, Slate
from cortex_rec.retrieval.union import REGISTRY
from cortex_rec.watch import Stopwatch

if TYPE_CHECKING:
    from bentos.desk import Desk

BUCKETS: Final = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5)
#: Of a stage of an answer: tenths of a millisecond to what is far too long.
STAGE_BUCKETS: Final = (1e-4, 2.5e-4, 5e-4, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0)
STAGES: Final = ("wait", "ask", "retrieve", "features", "rank", "rules", "explain")
BASES: Final = ("personal", "basket", "popular")


class Metrics:
    """Counters of one running service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        by = ("route", "status")
        self._requests = Counter("cortex_rec_requests", "Requests by route and status.", by, registry=self.registry)
        self._seconds = Histogram("cortex_rec_request_seconds", "Time to the answer's end.", by, registry=self.registry, buckets=BUCKETS)
        stages = Histogram(
            "cortex_rec_stage_seconds", "What each stage of an answer took.", ("stage",), registry=self.registry, buckets=STAGE_BUCKETS
        )
        # Found once: looking a label up takes longer than to count.
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        candidates = Counter("cortex_rec_candidates", "Items that each retriever proposed.", ("retriever",), registry=self.registry)
        self._candidates = {retriever: candidates.labels(retriever) for retriever in REGISTRY}
        self._answers = Counter("cortex_rec_answers", "Answers by what they rest on.", ("basis",), registry=self.registry)
        for basis in BASES:
            self._answers.labels(basis)
        self._degraded = Counter("cortex_rec_degraded", "Answers that went without something, by what.", ("part",), registry=self.registry)
        self._widened = Counter("cortex_rec_widened", "Answers for which retrieval looked further.", registry=self.registry)
        self._events = Counter(
            "cortex_rec_events", "Events that came, by kind; some may have been sent before.", ("kind",), registry=self.registry
        )
        for kind in KINDS:
            self._events.labels(kind)
        self._repeated = Counter("cortex_rec_events_repeated", "Events that had been sent before.", registry=self.registry)
        of = ("experiment", "arm")
        self._arms = Counter("cortex_rec_arm_answers", "Answers of an experiment.", (*of, "release"), registry=self.registry)
        self._followed = Counter(
            "cortex_rec_arm_events",
            "Events of who takes part in an experiment; some may have been sent before.",
            (*of, "kind"),
            registry=self.registry,
        )
        self._exposures = Gauge(
            "cortex_rec_exposures",
            "Answers kept in the log of exposures, and those that did not fit its queue or disk.",
            ("result",),
            registry=self.registry,
        )
        self._waiting = Gauge("cortex_rec_waiting", "Questions that wait for their turn.", registry=self.registry)
        self._swaps = Gauge("cortex_rec_swaps", "Releases taken up while running, and refused.", ("result",), registry=self.registry)
        self._release = Info("cortex_rec_release", "The release that answers.", registry=self.registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """One request has been answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route, str(status)).observe(seconds)

    def waited(self, seconds: float) -> None:
        """Somebody's turn has come after so long."""
        self._stages["wait"].observe(seconds)

    def computed(self, watch: Stopwatch, asked: int) -> None:
        """Answers have been computed together for so many who asked, each of whom waited for all of it."""
        for stage, milliseconds in watch.milliseconds.items():
            for _ in range(asked):
                self._stages[stage].observe(milliseconds / 1_000)
        for retriever, n in watch.proposed.items():
            self._candidates[retriever].inc(n)

    def answered(self, request: Request, slate: Slate) -> None:
        """One question for recommendations has been answered."""
        self._answers.labels("personal" if slate.fallback is None else "basket" if request.items else "popular").inc()
        for part in slate.degraded:
            # What stands before the colon is the part's name; what follows may tell more than a label should.
            self._degraded.labels(part.partition(":")[0]).inc()
        if slate.widened:
            self._widened.inc()

    def events(self, given: Sequence[Event], accepted: int) -> None:
        """Events came, so many of which were new."""
        self._repeated.inc(len(given) - accepted)
        for kind, n in Count(event.kind for event in given).items():
            self._events.labels(kind).inc(n)

    def assigned(self, experiment: str, arm: str, release: str) -> None:
        """An arm has answered."""
        self._arms.labels(experiment, arm, release).inc()

    def followed(self, experiment: Experiment, given: Sequence[Event]) -> None:
        """Events came; those of who takes part are counted by arm."""
        for (arm, kind), n in Count((experiment.label_of(event.user), event.kind) for event in given).items():
            if arm is not None:
                self._followed.labels(experiment.name, arm, kind).inc(n)

    def text(self, desk: "Desk") -> bytes:
        """All of it in the exposition format."""
        self._waiting.set(desk.kernel.waiting)
        for result in desk.current.swaps:
            self._swaps.labels(result).set(sum(current.swaps[result] for current in desk.served))
        if desk.exposures is not None:
            self._exposures.labels("written").set(desk.exposures.written)
            self._exposures.labels("dropped").set(desk.exposures.dropped)
        self._release.info(_told(desk.current.loaded.release))
        return generate_latest(self.registry)


def _told(release: Release) -> dict[str, str]:
    manifest = release.manifest
    return {"release": release.id, "name": manifest.name, "as_of": f"{manifest.data.as_of:%Y-%m-%d}", "library": __version__}
