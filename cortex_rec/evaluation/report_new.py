"""The report's sections about what is new: people of whom little is known, and products that nobody has bought yet."""

from collections.abc import Mapping
from typing import Any

from cortex_rec.evaluation import charts
from cortex_rec.evaluation.evaluate import MAIN
from cortex_rec.evaluation.report_parts import figure, section, table
from cortex_rec.evaluation.summary import LABELS, interval, number, percent

_DEPTHS = {
    "candidates": "among all candidates",
    "first_500": "in the first 500",
    "top_20": "in the first 20",
    "top_10": "in the first 10",
}


def people(metrics: Mapping[str, Any]) -> str:
    """Quality by the number of purchases that are known of a user; nothing when it was not asked."""
    found = metrics["by_interactions"]
    if not found or not found["users"]:
        return ""
    whole, popularity = found["whole"], found["popularity"]
    steps = [(str(step["interactions"]), step) for step in found["lengths"]] + [("all", whole)]
    series = {
        LABELS["system"]: ("system", [step[MAIN] or 0.0 for _, step in steps]),
        LABELS["popularity"]: ("popularity", [popularity[MAIN] or 0.0] * len(steps)),
    }
    spread = [step["intervals"][MAIN] for _, step in steps]
    band = [bound["low"] or 0.0 for bound in spread], [bound["high"] or 0.0 for bound in spread]
    caption = (
        f"NDCG@10 of the same {found['users']:,} users when only their latest purchases are known: none (a stranger), one, two … and all. "
        "Band: 95 % interval."
    )
    rows = [
        (
            [
                {"0": "none", "all": "all, and the user is known"}.get(label, label),
                *(_with_range(step, name) for name in (MAIN, "recall@20")),
                _gain(step["difference"][MAIN]),
            ],
            "system" if label == "all" else "",
        )
        for label, step in steps
    ]
    rows.append((["popularity, the same for everyone", *(_with_range(popularity, name) for name in (MAIN, "recall@20")), ""], ""))
    lead = (
        "How soon does a newcomer get good answers? Here users whom the shop knows well are answered as if they were new: with their "
        "latest purchases and nothing else, no vector of theirs in the graph, no line in the users table, and not as their own neighbours."
    )
    headings = ["purchases known", "NDCG@10", "Recall@20", "NDCG@10 above popularity"]
    drawn = charts.curves([label for label, _ in steps], series, band, "purchases known")
    return section("From a stranger to a regular", lead, figure(drawn, caption) + table(headings, rows))


def products(metrics: Mapping[str, Any]) -> str:
    """How much of what was sold for the first time in the window was found."""
    found = metrics["new_products"]
    share = metrics["beyond_accuracy"]["system"]["unsold_share"]
    shown = f" Of the places in the first ten, {percent(share)} went to products that nobody had bought." if share is not None else ""
    if not found["purchases"]:
        return section("New products", f"Nothing was sold for the first time in the window.{shown}", "")
    lead = (
        f"{found['purchases']:,} purchases ({percent(found['share'])} of all) were of {found['items']:,} products that nobody had bought "
        f"before the window; the catalogue lists {found['listed']:,} of them. Nothing but what they say and show leads there.{shown}"
    )
    steps = [(label, found["found"][name]) for name, label in _DEPTHS.items()]
    drawn = charts.bars(
        [charts.Bar(label, step["share"], percent(step["share"]), step["low"], step["high"]) for label, step in steps], percent=True
    )
    caption = "Share of these purchases that a user's list had, by how far down it is looked at, with 95 % interval."
    rows = [([label, f"{step['purchases']:,}", f"{step['items']:,}", percent(step["share"])], "") for label, step in steps]
    return section("New products", lead, figure(drawn, caption) + table(["", "purchases", "products", "share"], rows))


def _with_range(step: Mapping[str, Any], name: str) -> str:
    return f'{number(step[name])}<br><span class="range">{interval(step["intervals"][name])}</span>'


def _gain(difference: Mapping[str, float | None]) -> str:
    value, low, high = (difference[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return number(None)
    kind = "good" if low > 0 else "bad" if high < 0 else ""
    return f'<span class="{kind}">{value:+.3f}</span><br><span class="range">{low:+.3f} to {high:+.3f}</span>'
