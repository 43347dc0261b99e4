"""What filters and rules cost, for a terminal: the plain answers beside each variant."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from cortex_rec.evaluation.evaluate import MAIN, MAIN_K
from cortex_rec.evaluation.summary import number, percent

#: Columns beside the plain answers that eighty characters have room for.
_WIDE: Final = 4
#: Metric -> what it is called, and digits.
_METRICS: Final = {MAIN: (f"NDCG@{MAIN_K}", 4), "recall@20": ("recall@20", 4), f"new_items {MAIN}": (f"new NDCG@{MAIN_K}", 4)}


def tables(costs: Mapping[str, Any]) -> Iterator[Table]:
    """One table for up to four variants; more go into tables of their own, so that eighty characters are enough for each.

    Parameters
    ----------
    costs
        What `evaluation.rules.weigh` gives.
    """
    variants = list(costs["variants"].items())
    for at in range(0, len(variants), _WIDE):
        yield _table(costs, dict(variants[at : at + _WIDE]))


def _table(costs: Mapping[str, Any], variants: Mapping[str, Any]) -> Table:
    shown = {"plain": costs["plain"], **variants}
    table = Table(
        title=f"Test window {costs['test_week']}: {costs['users']:,} users, {costs['places']} places each",
        caption="Less the plain answers, with the 95 % paired interval: all of it below 0 is a cost. new: never bought before by the user.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("", no_wrap=True)
    for name in shown:
        table.add_column(Text(name), justify="right", overflow="fold", min_width=7)
    for metric, (label, digits) in _METRICS.items():
        table.add_row(label, *(number(one["metrics"][metric], digits) for one in shown.values()), style="bold" if metric == MAIN else None)
        table.add_row("  less plain", *(_difference(one, metric, "value") for one in shown.values()))
        for bound in ("low", "high"):
            table.add_row(f"  {bound}", *(_difference(one, metric, bound) for one in shown.values()), style="dim")
    table.add_section()
    table.add_row("diversity", *(number(one["diversity"]) for one in shown.values()))
    for label, key in (("coverage", "coverage"), ("new to the user", "new_share"), ("long tail", "tail_share")):
        table.add_row(label, *(percent(one[key]) for one in shown.values()))
    for group in costs["plain"]["distinct"]:
        table.add_row(Text(f"distinct {group}"), *(number(one["distinct"][group], 1) for one in shown.values()))
    table.add_section()
    table.add_row(f"answers below {costs['places']}", *(f"{one['short']:,}" for one in shown.values()))
    table.add_row("  empty", *(f"{one['empty']:,}" for one in shown.values()))
    table.add_row("answers widened for", *(f"{one['widened']['answers']:,}" for one in shown.values()))
    table.add_row("  times in all", *(f"{one['widened']['times']:,}" for one in shown.values()))
    return table


def _difference(figures: Mapping[str, Any], metric: str, part: str) -> str:
    """Empty for the plain answers, which differ from nothing."""
    if "difference" not in figures:
        return ""
    value = figures["difference"][metric][part]
    return number(value) if value is None else f"{value:+.4f}"
