"""A check as one self-contained HTML page: no script, no file beside it, the same bytes for the same figures."""

from html import escape
from typing import Final

import numpy as np

from cortex_rec.arrays import F64
from cortex_rec.evaluation import charts
from cortex_rec.evaluation.report_parts import document, figure, section, table
from cortex_rec.monitoring.reference import Reference
from cortex_rec.monitoring.verdict import Part, Signal, Verdict
from cortex_rec.splits import day_of

#: Signals of a part that are drawn and shown before the rest is folded away.
_SHOWN: Final = 12
_HEADINGS: Final = ("signal", "on the day", "expected", "deviations", "as far off by chance")
#: Weeks of the reference that are shown, and the figures of them.
_WEEKS: Final = 10
_SERIES: Final = {
    "purchases": ("lines", "buyers", "items_a_line", "best_seller_lines", "unsold_items", "surprise_bits"),
    "answers": ("candidates", "candidate_recall", "hits", "items_shown", "best_sellers_shown", "log_bought_of_promised"),
}
_LEADS: Final = {
    "purchases": "What was bought, beside the same weekday of the weeks before, and beside what the release knew of items and buyers.",
    "answers": "What the release would answer to a sample of the day's buyers, beside its answers in its training and test windows.",
    "features": "Ranking features of which all candidates of all buyers have one value, by how many had the most frequent one before.",
    "stores": "Stores without any purchase on the day, by how many baskets each was expected to have.",
    "requests": "What the service was asked and what came of it, beside the log's own weeks before.",
}


def render(verdict: Verdict, reference: Reference) -> str:
    """Write the page.

    Parameters
    ----------
    verdict
        What was found.
    reference
        What it was held against: its weeks are shown beside the day.

    Returns
    -------
    str
        A whole HTML document.
    """
    parts = [_part(part, verdict) for part in verdict.parts]
    return document(
        f"Drift, {escape(verdict.day)}",
        f"<h1>Is {escape(verdict.day)} like the weeks before?</h1>\n{_introduction(verdict)}\n{_cards(verdict)}\n"
        + "\n".join([_alarms(verdict), *parts, _over_time(verdict, reference), _meaning(verdict)]),
    )


def _introduction(verdict: Verdict) -> str:
    kind = "bad" if verdict.alarm else "good" if verdict.judged else "muted"
    answer = "No: an alarm." if verdict.alarm else "Yes, an ordinary day." if verdict.judged else "There is too little to tell."
    return (
        f'<p class="muted">Release {escape(verdict.release)}, whose data end before {escape(verdict.as_of)}.</p>\n'
        f'<p class="verdict"><b class="{kind}">{answer}</b> {escape(verdict.told())}</p>'
    )


def _cards(verdict: Verdict) -> str:
    def card(part: Part) -> str:
        lowest = min((signal.p for signal in part.signals), default=1.0)
        value = _often(lowest) if part.state == "judged" else "not judged"
        note = f"{part.size:,} of the day, {part.told}" if part.state == "judged" else part.told
        return (
            f'<div class="card"><span class="name">{escape(part.name)}</span><b>{value}</b><span class="note">{escape(note)}</span></div>'
        )

    return '<div class="cards">' + "".join(card(part) for part in verdict.parts) + "</div>"


def _alarms(verdict: Verdict) -> str:
    if not verdict.alarm:
        return ""
    rows = [([signal.part, *_row(signal, verdict)[0]], "") for signal in verdict.alarms[:_SHOWN]]
    lead = f"Signals that ordinary days show less than once in {1 / verdict.level:.0f} days, the least ordinary first."
    return section("What is unlike", lead, table(["part", *_HEADINGS], rows))


def _part(part: Part, verdict: Verdict) -> str:
    lead = _LEADS[part.name]
    if part.state != "judged":
        return section(part.name.capitalize(), lead, f'<p class="verdict muted">Not judged: {escape(part.told)}.</p>')
    first, rest = part.signals[:_SHOWN], part.signals[_SHOWN:]
    if not first:
        return section(part.name.capitalize(), lead, "<p>Nothing to show: none is.</p>")
    bars = [charts.Bar(one.name, max(one.deviations, 0.0), f"{one.deviations:.1f}", colour=_colour(one, verdict)) for one in first]
    body = figure(charts.bars(bars), "Standard deviations from the ordinary, the signals that are furthest from it.")
    body += table(list(_HEADINGS), [_row(one, verdict) for one in first])
    if rest:
        body += f"<details><summary>{len(rest)} more signals</summary>" + table(list(_HEADINGS), [_row(one, verdict) for one in rest])
        body += "</details>"
    if part.lacking:
        body += f'<p class="muted range">Not known on this day: {escape(", ".join(part.lacking))}.</p>'
    return section(part.name.capitalize(), lead, body)


def _row(signal: Signal, verdict: Verdict) -> tuple[list[str], str]:
    kind = "system" if signal.p < verdict.level else ""
    expected = "" if "/" in signal.name and signal.part not in ("stores", "features") else f"{signal.expected:.4g}"
    return [escape(signal.name), f"{signal.value:.4g}", expected, f"{signal.deviations:.1f}", _often(signal.p)], kind


def _often(p: float) -> str:
    """A chance a day, in words."""
    if p >= 0.1:
        return f"{p:.0%} of days"
    return f"1 in {1 / p:,.0f} days" if p > 1e-6 else "never"


def _colour(signal: Signal, verdict: Verdict) -> str:
    return "personal_decay" if signal.p < verdict.level else "system"


def _over_time(verdict: Verdict, reference: Reference) -> str:
    """Volume, breadth and popularity, week by week of the reference, and on the day."""
    body = ""
    for name, kept in (("purchases", reference.purchases), ("answers", reference.answers)):
        days, shown = kept.days, _SERIES[name]
        today = {one.name: one.value for part in verdict.parts if part.name == name for one in part.signals}
        if not len(days) or not all(figure in days.numbers for figure in shown):
            continue
        weeks = np.unique(days.block)[-_WEEKS:]
        rows = [
            ([day_of(int(days.start[days.block == week][0])), *(_mean(days.numbers[one][days.block == week]) for one in shown)], "")
            for week in weeks
        ]
        rows.append(([escape(verdict.day), *(f"{today[one]:.4g}" if one in today else "–" for one in shown)], "system"))
        body += f"<h3>{name.capitalize()}, mean of a day</h3>" + table(["week from", *(one.replace("_", " ") for one in shown)], rows)
    return section("Over time", "The last weeks that the release keeps, and the day below them.", body) if body else ""


def _mean(values: F64) -> str:
    known = values[np.isfinite(values)]
    return f"{known.mean():.4g}" if len(known) else "–"


def _meaning(verdict: Verdict) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in verdict.notes)
    told = (
        "<p>Every signal is measured in standard deviations of the reference's own days, each beside the weeks before it. “As far off by "
        "chance” is how often the furthest of all signals of an ordinary day would be as far off: it holds for all signals together, "
        f"however many there are. An alarm is less than once in {1 / verdict.level:.0f} days.</p>"
        "<p>psi/…: population stability index; by custom, below 0.1 is no shift and above 0.25 a large one. js/…: Jensen-Shannon distance, "
        "0 the same, 1 nothing in common. cosine/…: how far the mean vector of the items has turned. Other names: a figure of the day "
        "beside the mean of the days that it is compared with.</p>"
    )
    return section("How to read it", "", told + (f"<h3>Not compared</h3><ul>{notes}</ul>" if notes else ""))
