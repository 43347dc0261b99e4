"""Experiments in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from cortex_rec.experiments.off_policy import OffPolicy
from cortex_rec.experiments.page import relative
from cortex_rec.experiments.power import Plan


def plan_table(plan: Plan, metric: str, effect: float, wanted: float) -> Table:
    """One row a length of the experiment; the shortest that is enough is bold."""
    needed = plan.needed(wanted)
    enough = "No length here is enough" if needed is None else f"It takes {needed} days"
    table = Table(
        min_width=78,
        title=f"{effect:.1%} more {metric}; a person and day brings {plan.rate:.4g} now",
        caption=f"{enough} for a power of {wanted:.0%}, looked at every day. CUPED spares {plan.reduction:.0%} of the people.",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("days", "people", "power", f"found at {wanted:.0%}"):
        table.add_column(heading, justify="right")
    for each in plan.horizons:
        style = "bold" if each.days == needed else None
        table.add_row(str(each.days), f"{each.users:,}", f"{each.power:.0%}", f"{each.detectable:.1%}", style=style)
    return table


def comparison_table(result: Mapping[str, Any], compared: Mapping[str, Any]) -> Table:
    """One row a metric; the one that decides is bold."""
    table = Table(
        min_width=78,
        title=f"{compared['arm']} beside {result['control']}, day {result['days']} of {result['planned_days']}",
        title_justify="left",
    )
    table.add_column("metric")
    for heading in ("first arm", "difference", "CUPED"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in compared["metrics"]:
        decides = row["metric"] == result["primary"]
        role = "decides" if decides else compared["guardrails"].get(row["metric"], "")
        control = "" if row["control"] is None or result["kind"] == "interleaving" else f"{row['control']:.4f}"
        table.add_row(row["metric"], control, relative(row), f"{row['reduction'] or 0:.0%}", role, style="bold" if decides else None)
    return table


def values_table(found: OffPolicy, release: str, arm: str, served: float, answers: int) -> Table:
    """One row an estimate, beside what the served answers have brought."""
    table = Table(
        min_width=78,
        title=f"What an answer of {release} would bring",
        caption=f"{answers:,} answers of {arm} bring {served:.4f} each; they tell as much as {found.effective:,.0f} of the release's own.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("estimate")
    for heading in ("an answer", "95 % interval"):
        table.add_column(heading, justify="right")
    for each in found.values:
        table.add_row(each.method, f"{each.value:.4f}", f"{each.low:.4f} to {each.high:.4f}")
    return table
