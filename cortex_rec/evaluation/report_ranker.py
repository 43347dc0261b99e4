"""The report's sections about the ranker itself: whether its probabilities are true, and what it looks at."""

from collections.abc import Mapping
from html import escape
from typing import Any

from cortex_rec.evaluation import charts, ranker_charts
from cortex_rec.evaluation.evaluate import MAIN_K
from cortex_rec.evaluation.influence import REST, RETRIEVERS
from cortex_rec.evaluation.report_parts import figure, section, table
from cortex_rec.evaluation.summary import interval, number, percent

#: A step of the curve with fewer candidates is no example to give.
_ENOUGH = 200
_SHOWN = 20
_GROUPS = {
    "pair": "the user and this item",
    "department": "the user and the item's department",
    "category": "the user and the item's category",
    "subcategory": "the user and the item's subcategory",
    "brand": "the user and the item's brand",
    "taste": "brands and prices that the user buys",
    "user": "the user",
    "person": "what the users table says of the user",
    "item": "the item, for everyone",
    "store": "the item in the user's store",
    "offer": "display and mailer",
    "coupon": "coupons that the user was sent",
    "day": "the calendar",
    RETRIEVERS: "the retrievers' scores and ranks",
    REST: "the neural part, as a whole",
}


def probabilities(metrics: Mapping[str, Any]) -> str:
    """How true the calibrated probabilities are; nothing when there are none."""
    found = metrics["calibration"]
    if not found["candidates"]:
        return ""
    caption = (
        "Each point stands for the candidates that were given about the same probability. Across: what they were given. Up: how many of "
        "them were bought, with a 95 % interval. On the dashed line the promise was kept exactly, above it people bought more than was "
        "promised. Below: how many candidates. Both axes grow tenfold from line to line, because most probabilities are small."
    )
    first, spread = found[f"top_{MAIN_K}"], found["intervals"]
    rows = [
        ("Expected calibration error", number(found["ece"], 4), "", (number(found["ece_by_chance"], 4), "chance alone")),
        ("the same, first ten only", number(first["ece"], 4), "", (number(first["ece_by_chance"], 4), "chance alone")),
        ("AUC", number(found["auc"]), interval(spread["auc"]), (number(metrics["metrics"]["auc"]), "the score itself")),
        (
            "Log loss",
            number(found["log_loss"], 4),
            interval(spread["log_loss"], 4),
            (number(found["constant"]["log_loss"], 4), "the same for all"),
        ),
        (
            "Brier score",
            number(found["brier"], 4),
            interval(spread["brier"], 4),
            (number(found["constant"]["brier"], 4), "the same for all"),
        ),
    ]
    body = figure(ranker_charts.reliability(found["curve"]), caption, narrow=True)
    body += table(["", "", "beside it"], [([name, _over(value, under), _over(*beside)], "") for name, value, under, beside in rows])
    meanings = (
        "Expected calibration error: how far, on average, a probability lies from the share that was bought, over "
        f"{found['bins']} groups of as many candidates each. AUC: chance that a bought candidate is given more than another one of the "
        "same user. Log loss and Brier score: 0 for who knows the future; they fall when probabilities are both true and bold. Under a "
        "value: its 95 % interval; beside log loss and Brier score: those of who gives the same probability to all."
    )
    return section("Can the probabilities be believed?", _promise(found), body + f"<p class='muted range'>{meanings}</p>")


def _over(value: str, under: str) -> str:
    return f'{value}<br><span class="range">{under}</span>' if under else value


def _promise(found: Mapping[str, Any]) -> str:
    """The finding in two sentences; the second is about the most confident candidates."""
    first = found[f"top_{MAIN_K}"]
    text = (
        f"The ten items that each user would be shown first promise {first['expected']:.2f} purchases together; "
        f"{first['bought']:.2f} of them were bought"
    )
    bounds = first["intervals"]["ratio"]
    if first["ratio"] is None or bounds["low"] is None:
        text += "."
    else:
        text += (
            f", so the promise is off by {first['ratio'] - 1:+.0%} (95 % interval {bounds['low'] - 1:+.0%} to {bounds['high'] - 1:+.0%})."
        )
    steps = [step for step in found["curve"] if step["candidates"] >= _ENOUGH]
    if steps:
        step = steps[-1]
        text += (
            f" Of the {step['candidates']:,} candidates that were given {100 * step['from']:g} to {100 * step['to']:g} %, "
            f"{percent(step['bought'])} were bought, where {percent(step['predicted'])} were promised on average."
        )
    # A line of text must not end before the sign.
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def features(metrics: Mapping[str, Any]) -> str:
    """What moves the scores; nothing when the ranker cannot say."""
    found = metrics["influence"]
    total = sum(found["groups"].values()) if found else 0.0
    if total <= 0:
        return ""
    shown = [
        ranker_charts.Moved(
            feature["name"], feature["size"] / total, percent(feature["size"] / total), feature["bands"], feature["missing"]
        )
        for feature in found["features"][:_SHOWN]
    ]
    groups = [charts.Bar(_GROUPS.get(name, name), size / total, percent(size / total)) for name, size in found["groups"].items()]
    caption = (
        "Left: the feature's share of all pushes, up or down. Right: which way it pushes, from its smallest values to its largest: up and "
        "green lifts an item in the list, down and orange lowers it; “none” is where it had nothing to say. Each row fills its own height."
    )
    rows = [
        (
            [escape(feature["name"]), percent(feature["size"] / total), number(feature["size"]), percent(feature["gain"])],
            "",
        )
        for feature in found["features"]
    ]
    lead = (
        f"SHAP values: what each feature adds to an item's score or takes from it, for the first {MAIN_K} items of {found['users']:,} "
        "users. They say what the ranker uses, not what causes a purchase."
    )
    return section(
        "What the ranker looks at",
        lead,
        figure(charts.bars(groups, percent=True), "What the features of a kind push together, up or down, as a share of all.")
        + f"<h3>The first {len(shown)} features</h3>"
        + figure(ranker_charts.pushes(shown), caption, narrow=True)
        + f"<details><summary>All {len(rows)} features as numbers</summary>"
        + table(["feature", "share", "mean |SHAP|", "share of gain in training"], rows)
        + "</details>",
    )
