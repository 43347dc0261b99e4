"""The comparison of a release with its baselines: one table for the terminal and the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from cortex_rec.evaluation.evaluate import MAIN, MAIN_K

LABELS: Mapping[str, str] = {
    "system": "this release",
    "popularity": "popularity",
    "personal_decay": "personal decay",
    "bought": "really bought",
}
#: Metric keys and what to call them, in the order of the table.
HEADINGS: Mapping[str, str] = {
    MAIN: f"NDCG@{MAIN_K}",
    "new_items": f"NDCG@{MAIN_K}, new items only",
    f"recall@{2 * MAIN_K}": f"Recall@{2 * MAIN_K}",
    f"map@{MAIN_K}": f"MAP@{MAIN_K}",
    f"mrr@{MAIN_K}": f"MRR@{MAIN_K}",
    f"hit_rate@{MAIN_K}": f"Hit rate@{MAIN_K}",
    "auc": "AUC",
    "coverage": "Coverage",
}


@dataclass(frozen=True)
class Row:
    """A system or baseline: its key, what to call it, one text for each of `HEADINGS`, and the interval of the first."""

    key: str
    label: str
    cells: tuple[str, ...]
    spread: str


def rows(metrics: Mapping[str, Any]) -> list[Row]:
    """The release first, then its baselines.

    Parameters
    ----------
    metrics
        What `evaluate` returned.
    """
    own = {**metrics["metrics"], "intervals": metrics["intervals"], "slices": metrics["slices"]}
    return [_row("system", own, metrics)] + [_row(name, figures, metrics) for name, figures in metrics["baselines"].items()]


def table(metrics: Mapping[str, Any]) -> Table:
    """The comparison for a terminal, a column for each system, so that 80 characters are enough.

    Parameters
    ----------
    metrics
        What `evaluate` returned.
    """
    compared = rows(metrics)
    result = Table(title=f"Test window {metrics['test_week']}: {metrics['users']:,} users with a purchase, all items ranked")
    result.add_column("", no_wrap=True)
    for row in compared:
        result.add_column(row.label, justify="right", style="bold" if row.key == "system" else None)
    for place, heading in enumerate(HEADINGS.values()):
        result.add_row(heading, *(row.cells[place] for row in compared))
        if place == 0:
            result.add_row("  95 % interval", *(row.spread for row in compared))
    return result


def number(value: float | None, digits: int = 3) -> str:
    """Fixed digits after the point, a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share in percent with at least two digits that say something."""
    if value is None:
        return "–"
    if abs(value) >= 0.0995:
        return f"{100 * value:.0f} %"
    return f"{100 * value:.1f} %" if abs(value) >= 0.001 or value == 0 else f"{100 * value:.2g} %"


def interval(bounds: Mapping[str, float | None], digits: int = 3) -> str:
    """Low to high of an interval."""
    return f"{number(bounds['low'], digits)} to {number(bounds['high'], digits)}"


def _row(key: str, figures: Mapping[str, Any], metrics: Mapping[str, Any]) -> Row:
    texts = {
        "new_items": number(figures["slices"]["new_items"][MAIN], 4),
        "coverage": percent(metrics["beyond_accuracy"][key]["coverage"]),
    }
    cells = tuple(texts[name] if name in texts else number(figures.get(name)) for name in HEADINGS)
    return Row(key, LABELS.get(key, key), cells, interval(figures["intervals"][MAIN]))
