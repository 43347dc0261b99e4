"""A check as a table for the terminal."""

from typing import Final

from rich.markup import escape
from rich.table import Table

from cortex_rec.monitoring.verdict import Verdict

#: Signals of each part that are shown, but for alarms, of which all are.
_SHOWN: Final = 5


def drift_table(verdict: Verdict) -> Table:
    """The signals that are furthest from the ordinary, part by part; alarms are bold."""
    table = Table(title=f"{verdict.day} beside the weeks before {verdict.as_of}", title_justify="left")
    table.add_column("part", no_wrap=True)
    table.add_column("signal", overflow="fold")
    for heading in ("on the day", "expected", "deviations", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    for part in verdict.parts:
        if part.state != "judged":
            table.add_row(part.name, f"[dim]{escape(part.told)}[/]")
        for place, one in enumerate(part.signals):
            alarm = one.p < verdict.level
            if place < _SHOWN or alarm:
                figures = (f"{one.value:.4g}", f"{one.expected:.4g}", f"{one.deviations:.1f}", f"{one.p:.2g}")
                table.add_row(part.name, escape(one.name), *figures, style="bold" if alarm else None)
        table.add_section()
    return table
