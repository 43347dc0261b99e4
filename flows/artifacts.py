"""What a run leaves at the Prefect dashboard: tables, a summary and a link to the report."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from cortex_rec.errors import GateFailed
from cortex_rec.monitoring.verdict import Verdict
from cortex_rec.releases.promotion import Decision
from cortex_rec.releases.store import Release
from cortex_rec.stages import StageOutput
from tasks.stage import GATES

#: Signals of a day in its table.
_SIGNALS: Final = 20


def show_stages(stages: list[StageOutput]) -> None:
    """Leave the gates' results and the seconds of every stage."""
    gates = [row for output in stages for row in _gates(output.path)]
    if gates:
        create_table_artifact(key="gates", table=gates, description="Every rule that a table or a stage's output was held to.")
    seconds = [
        {"stage": output.name, "seconds": output.seconds, "peak_rss_mb": output.peak_rss_mb, "cached": output.cached} for output in stages
    ]
    create_table_artifact(key="stages", table=seconds, description="What each stage took when it last really ran.")


@contextmanager
def failed_gate_shown() -> Iterator[None]:
    """Leave the rules of the gate that ends a run, which no stage's folder keeps."""
    try:
        yield
    except GateFailed as failure:
        if failure.rules:
            description = f"The run ended here: {failure.table} broke more rules than allowed."
            create_table_artifact(key="gates", table=[dict(rule) for rule in failure.rules], description=description)
        raise


def show_release(made: Release) -> None:
    """Leave the metrics and a link to the report."""
    create_markdown_artifact(key="metrics", markdown=summary(made), description=f"Release {made.id}")
    report = made.path / "report" / "report.html"
    create_link_artifact(key="report", link=report.resolve().as_uri(), link_text="report.html", description="The evaluation with plots.")


def show_promotion(decision: Decision) -> None:
    """Leave the table of reasons why the release is in production, or only a candidate."""
    if decision.guards:
        create_table_artifact(key="promotion", table=decision.rows(), description=decision.told())
    else:
        create_markdown_artifact(key="promotion", markdown=decision.told())


def show_drift(verdict: Verdict, folder: Path) -> None:
    """Leave the signals of a day that are furthest from the ordinary, and a link to its page."""
    signals = sorted((one for part in verdict.parts for one in part.signals), key=lambda one: one.p)[:_SIGNALS]
    rows = [asdict(one) | {"alarm": one.p < verdict.level} for one in signals]
    rows += [{"part": part.name, "name": part.state, "told": part.told} for part in verdict.parts if part.state != "judged"]
    create_table_artifact(key="drift", table=rows, description=verdict.told())
    page = folder / "drift.html"
    create_link_artifact(
        key="drift-page", link=page.resolve().as_uri(), link_text="drift.html", description=f"All signals of {verdict.day}."
    )


def summary(made: Release) -> str:
    """The main figures of a release as Markdown."""
    metrics = made.manifest.metrics
    lines = [f"## {made.manifest.name}: {made.id}", "", "| metric | value |", "|---|---|"]
    lines += [f"| {name} | {value:.4f} |" for name, value in metrics["metrics"].items() if isinstance(value, float)]
    return "\n".join(lines)


def _gates(folder: Path) -> list[dict[str, object]]:
    path = folder / GATES
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []
