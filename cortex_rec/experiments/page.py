"""An experiment as one self-contained HTML page: no script, no file beside it, the same bytes for the same figures."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import matplotlib as mpl

from cortex_rec.evaluation import charts
from cortex_rec.evaluation.report_parts import document, figure, section, table

_EXTRA = ".warn { border-left: 4px solid var(--personal-decay); } .warn li { margin: .3rem 0; }"


def told(result: Mapping[str, Any], compared: Mapping[str, Any]) -> str:
    """The verdict of one comparison in a sentence."""
    arm, control = compared["arm"], result["control"]
    primary = next(row for row in compared["metrics"] if row["metric"] == result["primary"])
    left = result["planned_days"] - result["days"]
    sentence = {
        "better": f"{arm} is better than {control}, since day {compared['decided_on']}.",
        "worse": f"{arm} is worse than {control}, since day {compared['decided_on']}.",
        "running": f"No difference found between {arm} and {control} yet; {left} of {result['planned_days']} days are to come.",
        "no difference found": f"No difference found between {arm} and {control} in the {result['planned_days']} days that were planned.",
        "none": f"Nothing can be said of {arm} and {control}; the warnings say why.",
    }[compared["verdict"]]
    if compared["verdict"] in ("better", "worse"):
        sentence += f" {primary['told'].capitalize()}: {relative(primary)}."
    broken = [name for name, state in compared["guardrails"].items() if state == "broken"]
    return sentence + (f" But a guardrail is broken: {', '.join(broken)}." if broken else "")


def relative(row: Mapping[str, Any]) -> str:
    """A difference with its interval, in per cent of the first arm where it has something to compare with."""
    if row["difference"] is None:
        return "too few people"
    figures = [row["difference"], row["low"], row["high"]]
    if row.get("base", row["control"]):
        base = row.get("base", row["control"])
        parts = ["?" if each is None else f"{each / base:+.1%}" for each in figures]
    else:
        parts = ["?" if each is None else f"{each:+.4f}" for each in figures]
    return f"{parts[0]} ({parts[1]} to {parts[2]})" if parts[1] != "?" else f"{parts[0]} (no interval yet)"


def render(result: Mapping[str, Any]) -> str:
    """Write the page of what `analysis.analyse` has found."""
    begun = f"{datetime.fromtimestamp(result['start'], UTC):%Y-%m-%d}"
    parts = [_warnings(result["warnings"])] if result["warnings"] else []
    for compared in result["comparisons"]:
        parts += [_daily(result, compared), _metrics(result, compared), _slices(compared)]
    parts.append(_people(result))
    kind = "Answers drafted by both" if result["kind"] == "interleaving" else "Each person answered from one arm"
    verdicts = "".join(f'<p class="verdict">{escape(told(result, compared))}</p>' for compared in result["comparisons"])
    return document(
        f"Experiment {escape(result['experiment'])}",
        f"<h1>Experiment {escape(result['experiment'])}</h1>\n"
        f'<p class="muted">{kind}; {result["people"]:,} people since {begun}, day {result["days"]} of {result["planned_days"]}.</p>\n'
        f"{verdicts}\n" + "\n".join(filter(None, parts)),
        style=_EXTRA,
    )


def _warnings(warnings: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(each)}</li>" for each in warnings)
    return f'<section class="warn"><h2>Before you trust this</h2><ul>{items}</ul></section>'


def _daily(result: Mapping[str, Any], compared: Mapping[str, Any]) -> str:
    primary = next(row for row in compared["metrics"] if row["metric"] == result["primary"])
    if all(each is None for each in primary["daily"]["difference"]):
        return ""
    caption = (
        f"{primary['told'].capitalize()} a person and day, {compared['arm']} less {result['control']}. The band may be looked at "
        "every day of the planned time, and the day on which it leaves zero decides; the dashed lines hold for ever."
    )
    return section(f"{escape(compared['arm'])}, day by day", "", figure(_plot(primary["daily"]), caption))


@mpl.rc_context(charts.SETTINGS)
def _plot(daily: Mapping[str, Sequence[float | None]]) -> str:
    drawing, axes = charts.canvas(2.9)
    days = [day for day, each in enumerate(daily["difference"], start=1) if each is not None]
    middle = [each for each in daily["difference"] if each is not None]
    # Early intervals are so wide that the rest would not be seen.
    widths = [width for width in daily["planned"] if width is not None] or [1.0]
    end = 1.3 * (sorted(widths)[len(widths) // 2] + max(abs(each) for each in middle[len(middle) // 2 :]))
    for name in ("planned", "always"):
        width = [daily[name][day - 1] for day in days]
        low = [each - (end * 9 if wide is None else wide) for each, wide in zip(middle, width, strict=True)]
        high = [each + (end * 9 if wide is None else wide) for each, wide in zip(middle, width, strict=True)]
        if name == "planned":
            axes.fill_between(days, low, high, color=charts.COLOURS["system"], alpha=0.2, linewidth=0)
        else:
            for side in (low, high):
                axes.plot(days, side, color=charts.COLOURS["muted"], linewidth=1, linestyle="--")
    axes.plot(days, middle, color=charts.COLOURS["system"], linewidth=1.8)
    axes.axhline(0, color=charts.COLOURS["ink"], linewidth=0.8)
    axes.set_ylim(-end, end)
    axes.set_xlim(1, max(len(daily["difference"]), 2))
    axes.set_xlabel("day")
    axes.grid(axis="y")
    return charts.svg(drawing)


def _metrics(result: Mapping[str, Any], compared: Mapping[str, Any]) -> str:
    rows = []
    for row in compared["metrics"]:
        role = "decides" if row["metric"] == result["primary"] else ""
        if row["metric"] in compared["guardrails"]:
            role = f"guardrail {row['allowed_loss']:.0%}: {compared['guardrails'][row['metric']]}"
        control = "" if row["control"] is None or result["kind"] == "interleaving" else f"{row['control']:.4f}"
        cut = "" if not row["reduction"] else f"{row['reduction']:.0%}"
        cells = [escape(row["told"]), control, _coloured(row), cut, role]
        rows.append((cells, "system" if role == "decides" else ""))
    return section(
        f"{escape(compared['arm'])} beside {escape(result['control'])}",
        "A person and day of the first arm, and the difference with an interval that holds although it is looked at every day. A decision "
        "keeps the interval of the day on which it fell. A guardrail holds when the loss is known to be less than allowed.",
        table(["", "first arm", "difference", "spared by CUPED", ""], rows),
    )


def _coloured(row: Mapping[str, Any]) -> str:
    text = escape(relative(row))
    if row["decided_on"] is None:
        return text
    return f'<span class="{"good" if (row["difference"] > 0) == row["more_is_better"] else "bad"}">{text}</span>'


def _slices(compared: Mapping[str, Any]) -> str:
    if not compared["slices"]:
        return ""
    rows = [
        ([row["slice"], f"{sum(row['users']):,}", escape(relative(row)), _p(row["p"]), _p(row["holm"])], "") for row in compared["slices"]
    ]
    return section(
        "By slice",
        "By visits in the eight weeks before the release. Each slice as if it were looked at once; Holm corrects for their number.",
        table(["", "people", "difference", "p", "p, Holm"], rows),
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _people(result: Mapping[str, Any]) -> str:
    if result["ratio"] is None:
        return ""
    ratio, names = result["ratio"], [result["control"], *(compared["arm"] for compared in result["comparisons"])]
    rows = [([escape(name), f"{n:,}", f"{due:,.0f}"], "") for name, n, due in zip(names, ratio["people"], ratio["expected"], strict=True)]
    verdict = "broken" if ratio["broken"] else "as it should be"
    return section("People by arm", f"Chi-square p = {ratio['p']:.3g}: {verdict}.", table(["", "people", "expected"], rows))
