"""Plots as inline SVG that follow the page's light or dark theme, the same bytes for the same numbers."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

#: Stand-in colours of the drawing, replaced by the page's CSS variables, so that one SVG serves both themes.
COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "system": "#040404",
    "popularity": "#050505",
    "personal_decay": "#060606",
    "bought": "#070707",
    "soft": "#080808",
}
#: What every drawing is made with; `Any` because matplotlib types the keys as one long literal.
SETTINGS: Any = {
    # a department may be called "$1 to $5"
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "cortex-rec",
    "font.size": 9,
    "text.color": COLOURS["ink"],
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 1.2,
}
#: Inches of a drawing as wide as the page, and of one that a phone shows whole.
WIDTH = 7.2
NARROW = 5.2


@dataclass(frozen=True)
class Bar:
    """One bar: its label, value, the interval around it where there is one, and the text at its end."""

    label: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    colour: str = "system"


@mpl.rc_context(SETTINGS)
def bars(rows: Sequence[Bar], *, percent: bool = False) -> str:
    """Horizontal bars, the first at the top, with whiskers for intervals."""
    figure, axes = canvas(0.34 * len(rows) + 0.45)
    end = max((row.high if row.high is not None else row.value for row in rows), default=0.0) or 1.0
    for place, row in enumerate(rows):
        axes.barh(place, row.value, height=0.62, color=COLOURS[row.colour])
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], color=COLOURS["ink"], linewidth=1.2, solid_capstyle="butt")
        axes.text((row.high or row.value) + 0.015 * end, place, row.text, va="center", color=COLOURS["muted"], fontsize=8.5)
    rows_of(axes, [row.label for row in rows])
    axes.set_xlim(0, end * 1.16)
    value_axis(axes, percent)
    return svg(figure)


@mpl.rc_context(SETTINGS)
def grouped(groups: Sequence[str], series: Mapping[str, tuple[str, Sequence[float]]]) -> str:
    """Bars side by side: for each group one bar of every series; a series has a colour and one share a group."""
    figure, axes = canvas(2.9)
    width = 0.8 / max(len(series), 1)
    for number, (name, (colour, values)) in enumerate(series.items()):
        at = [group + (number - (len(series) - 1) / 2) * width for group in range(len(groups))]
        axes.bar(at, values, width=width * 0.88, color=COLOURS[colour], label=name)
        for x, value in zip(at, values, strict=True):
            axes.text(x, value + 0.012, f"{value:.0%}", ha="center", fontsize=7.5, color=COLOURS["muted"])
    axes.set_xticks(range(len(groups)), groups)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.set_ylim(0, min(1.12, max((v for _, values in series.values() for v in values), default=1.0) * 1.18 or 1.0))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.legend(ncols=len(series), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return svg(figure)


@mpl.rc_context(SETTINGS)
def stacked(rows: Sequence[tuple[str, float, float, float, str]], names: tuple[str, str]) -> str:
    """Two-part horizontal bars: (label, first share, second share, share there was room for, text) a row."""
    figure, axes = canvas(0.4 * len(rows) + 0.75)
    for place, (_, first, second, room, text) in enumerate(rows):
        axes.barh(place, 1, height=0.62, color=COLOURS["soft"])
        axes.barh(place, first, height=0.62, color=COLOURS["system"], label=names[0] if place == 0 else None)
        axes.barh(place, second, left=first, height=0.62, color=COLOURS["personal_decay"], label=names[1] if place == 0 else None)
        if room < 1:
            axes.plot([room, room], [place - 0.42, place + 0.42], color=COLOURS["ink"], linewidth=1.4)
        axes.text(1.015, place, text, va="center", fontsize=8.5, color=COLOURS["muted"])
    rows_of(axes, [row[0] for row in rows])
    axes.set_xlim(0, 1.16)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return svg(figure)


@mpl.rc_context(SETTINGS)
def curves(
    x: Sequence[int | str], series: Mapping[str, tuple[str, Sequence[float]]], band: tuple[Sequence[float], Sequence[float]], x_label: str
) -> str:
    """Lines over steps of whatever width, the first with its interval as a band; each line is named at its right end."""
    figure, axes = canvas(2.9)
    at = list(range(len(x)))
    axes.fill_between(at, band[0], band[1], color=COLOURS["system"], alpha=0.16, linewidth=0)
    ends = _apart([values[-1] for _, values in series.values()], 0.07 * max(max(values) for _, values in series.values()))
    for (name, (colour, values)), end in zip(series.items(), ends, strict=True):
        axes.plot(at, values, color=COLOURS[colour], marker="o", markersize=4, linewidth=1.8)
        axes.text(at[-1] + 0.06, end, name, va="center", color=COLOURS[colour], fontsize=9)
    axes.set_xticks(at, [str(step) for step in x])
    axes.set_xlim(-0.15, at[-1] + 0.8)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(x_label)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y")
    return svg(figure)


def _apart(values: list[float], gap: float) -> list[float]:
    """Heights for labels at these values, moved up where two would overlap."""
    placed = list(values)
    below: float | None = None
    for index in sorted(range(len(values)), key=lambda i: values[i]):
        if below is not None:
            placed[index] = max(placed[index], below + gap)
        below = placed[index]
    return placed


def canvas(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A drawing, its size in inches; call it and `svg` within `SETTINGS`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def rows_of(axes: Axes, labels: Sequence[str]) -> None:
    """One row a label, the first at the top, with no frame around them."""
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)


def value_axis(axes: Axes, percent: bool) -> None:
    """A few round values along the bottom, with lines up from them."""
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if percent:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def svg(figure: Figure) -> str:
    """The figure as an SVG element whose colours are CSS variables."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    # Its style element would be the whole page's: report_style.py says the same for `svg *`.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    # Several drawings share one page: names that nothing refers to must not occur twice in it.
    text = re.sub(r' id="[a-z.]+(2d)?_\d+"', "", text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", text)
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name.replace('_', '-')})")
    return text
