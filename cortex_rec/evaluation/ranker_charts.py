"""Plots of the ranker itself: how true its probabilities are, and which features move its scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from cortex_rec.evaluation.charts import COLOURS, NARROW, SETTINGS, canvas, rows_of, svg, value_axis

#: Powers of ten that the axes of the reliability plot begin with at the most and at the least: 0.01 % and 0.0001 %.
_FLOORS = (-4, -6)


@dataclass(frozen=True)
class Moved:
    """A feature: its share of all that moves scores, and the mean push of each band of its values, the smallest values first.

    `missing` is the push where it had nothing to say; None where a band or the absence does not occur.
    """

    label: str
    share: float
    text: str
    bands: Sequence[float | None]
    missing: float | None


@mpl.rc_context(SETTINGS)
def reliability(curve: Sequence[Mapping[str, Any]]) -> str:
    """Promised against kept, one point a step of the curve with its interval, on axes that grow tenfold."""
    figure, axes = canvas(3.7, NARROW)
    axes.set_xscale("log")
    axes.set_yscale("log")
    decades = range(_floor(curve), 1)
    floor = 10.0 ** decades[0]
    axes.plot([floor, 1], [floor, 1], color=COLOURS["muted"], linewidth=1, linestyle=(0, (4, 3)))
    axes.text(0.35, 0.52, "exactly as promised", color=COLOURS["muted"], fontsize=8.5, ha="right", va="bottom")
    for place, step in enumerate(curve):
        x, y, low, high = (max(step[name] or 0.0, floor) for name in ("predicted", "bought", "low", "high"))
        axes.plot([x, x], [low, high], color=COLOURS["system"], linewidth=1.6, solid_capstyle="butt")
        axes.plot([x], [y], color=COLOURS["system"], marker="o", markersize=6, clip_on=False, zorder=3)
        _below(axes, x, floor, _short(step["candidates"]), row=place % 2, side="center")
    _below(axes, floor * 0.93, floor, "candidates", row=1, side="right")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([10.0**decade for decade in decades]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.tick_params(axis="x", pad=22)
    axes.set_xlim(floor, 1)
    axes.set_ylim(floor, 1)
    axes.set_xlabel("probability that was given")
    axes.set_ylabel("share that was bought")
    axes.grid()
    axes.set_axisbelow(True)
    return svg(figure)


@mpl.rc_context(SETTINGS)
def pushes(features: Sequence[Moved]) -> str:
    """A bar for how much each feature moves scores, and beside it small bars: up or down, from its smallest values to its largest."""
    height = 0.34 * len(features) + 0.75
    figure = Figure(figsize=(NARROW, height), layout="constrained")
    sizes, signs = figure.subplots(1, 2, width_ratios=(0.8, 1))
    end = max((feature.share for feature in features), default=0.0) or 1.0
    for place, feature in enumerate(features):
        sizes.barh(place, feature.share, height=0.62, color=COLOURS["system"])
        sizes.text(feature.share + 0.02 * end, place, feature.text, va="center", color=COLOURS["muted"], fontsize=8.5)
        _push(signs, place, feature)
    rows_of(sizes, [feature.label for feature in features])
    sizes.set_xlim(0, end * 1.22)
    value_axis(sizes, True)
    rows_of(signs, [""] * len(features))
    bands = max((len(feature.bands) for feature in features), default=0)
    signs.set_xlim(-0.7, bands + 1.6)
    signs.set_xticks([])
    _head(sizes, 0, "share of all pushes", "left")
    _head(signs, -0.5, "small values", "left")
    _head(signs, bands - 0.5, "large values", "right")
    _head(signs, bands + 0.9, "none", "center")
    return svg(figure)


def _below(axes: Axes, x: float, y: float, text: str, *, row: int, side: str) -> None:
    """A small text under the axis, in one of two rows, so that neighbours do not touch."""
    axes.annotate(
        text,
        (x, y),
        (0, -3 - 8 * row),
        textcoords="offset points",
        color=COLOURS["muted"],
        fontsize=7,
        ha=side,
        va="top",
        annotation_clip=False,
    )


def _floor(curve: Sequence[Mapping[str, Any]]) -> int:
    """The power of ten below the smallest value that is drawn, with room for what is written at it."""
    drawn = [step[name] for step in curve for name in ("predicted", "bought") if step[name]]
    most, least = _FLOORS
    return max(least, min(most, math.floor(math.log10(min(drawn, default=1.0)) - 0.15)))


def _push(axes: Axes, place: int, feature: Moved) -> None:
    """The row's largest bar fills it: how large a feature's pushes are is what the bar beside says."""
    given = [*enumerate(feature.bands), (len(feature.bands) + 0.9, feature.missing)]
    known = [(at, push) for at, push in given if push is not None]
    largest = max((abs(push) for _, push in known), default=0.0) or 1.0
    axes.plot([-0.5, len(feature.bands) + 1.35], [place, place], color=COLOURS["line"], linewidth=0.8, zorder=0)
    for at, push in known:
        colour = COLOURS["system" if push > 0 else "personal_decay"]
        # The rows count downwards.
        axes.bar(at, -0.42 * push / largest, bottom=place, width=0.82, color=colour)


def _head(axes: Axes, x: float, text: str, side: str) -> None:
    axes.text(x, -0.75, text, color=COLOURS["muted"], fontsize=8.5, ha=side, va="bottom")


def _short(count: int) -> str:
    if count >= 999_500:
        return f"{count / 1e6:.1f}M"
    return f"{count / 1e3:.0f}k" if count >= 1_000 else str(count)
