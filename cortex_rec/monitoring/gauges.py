"""The last check as Prometheus gauges: a text file that node-exporter's textfile collector reads, since a check is no service."""

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from cortex_rec.monitoring.verdict import Verdict

FILE = "cortex_rec_drift.prom"


def write(verdict: Verdict, folder: Path, *, checked_at: float) -> Path:
    """Replace the file in one step, so that none is read half.

    Parameters
    ----------
    folder
        What `--collector.textfile.directory` of node-exporter names; made when absent.
    checked_at
        Seconds since 1970, UTC: by this an alert knows that checks have stopped.
    """
    registry = CollectorRegistry()

    def gauge(name: str, told: str, *labels: str) -> Gauge:
        return Gauge(f"cortex_rec_drift_{name}", told, labels, registry=registry)

    gauge("alarm", "1 when the last day checked is unlike the weeks before the release.").set(verdict.alarm)
    gauge("judged", "1 when there was enough to judge the last day checked by.").set(verdict.judged)
    gauge("checked_timestamp_seconds", "When the last check was made.").set(checked_at)
    gauge("info", "The day that was checked, and the release.", "day", "release").labels(verdict.day, verdict.release).set(1)
    state = gauge("part_judged", "1 when a part of the day was judged; 0 when it is absent or too small.", "part")
    lowest = gauge("part_p", "How often an ordinary day would look as unlike in any signal: the smallest of a part.", "part")
    deviations = gauge("deviations", "Standard deviations of a signal from the ordinary.", "part", "signal")
    value = gauge("value", "A signal: a distance, or a figure of the day.", "part", "signal")
    for part in verdict.parts:
        state.labels(part.name).set(part.state == "judged")
        if part.state == "judged":
            lowest.labels(part.name).set(min((signal.p for signal in part.signals), default=1.0))
        # A store is a name of its own each: only what is an alarm is told.
        told = [signal for signal in part.signals if part.name != "stores" or signal.p < verdict.level]
        for signal in told:
            deviations.labels(part.name, signal.name).set(signal.deviations)
            value.labels(part.name, signal.name).set(signal.value)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    write_to_textfile(str(path), registry)
    return path
