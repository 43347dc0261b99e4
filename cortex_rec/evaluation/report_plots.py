"""The report's sections that show plots."""

from collections.abc import Mapping
from html import escape
from typing import Any

from cortex_rec.evaluation import charts
from cortex_rec.evaluation.evaluate import MAIN
from cortex_rec.evaluation.report_parts import figure, section, table
from cortex_rec.evaluation.summary import LABELS, number, percent

_STAGES = {
    "bought": "bought in the window",
    "in_catalogue": "in the catalogue",
    "retrieved": "among the candidates",
}
_SLICES = {
    "repeat_items": "items bought before",
    "new_items": "items new to the user",
    "warm_items": "items sold before",
    "cold_items": "items never sold before",
    "light_users": "light users",
    "medium_users": "medium users",
    "heavy_users": "heavy users",
}
_MOST_DEPARTMENTS = 10


def by_length(metrics: Mapping[str, Any]) -> str:
    """NDCG of the release and its baselines by list length."""
    lengths = [int(name.split("@")[1]) for name in metrics["metrics"] if name.startswith("ndcg@")]
    names = [f"ndcg@{length}" for length in lengths]
    series = {LABELS["system"]: ("system", [metrics["metrics"][name] or 0.0 for name in names])}
    for baseline, figures in metrics["baselines"].items():
        series[LABELS.get(baseline, baseline)] = (_colour(baseline), [figures[name] or 0.0 for name in names])
    spread = [metrics["intervals"][name] for name in names]
    band = [bound["low"] or 0.0 for bound in spread], [bound["high"] or 0.0 for bound in spread]
    caption = (
        "NDCG@K is 1 when the K first items are all bought ones, and counts a hit less the further down it stands. Band: 95 % interval."
    )
    return section("Short lists and long ones", "", figure(charts.curves(lengths, series, band, "items shown (K)"), caption))


def loss(metrics: Mapping[str, Any]) -> str:
    """What is left of the purchases after each stage."""
    stages = metrics["stages"]
    total = max(stages[0]["items"], 1)
    drawn = [
        (
            _STAGES.get(stage["stage"], stage["stage"].replace("_", " ").replace("in top", "in the first")),
            stage["repeat_items"] / total,
            stage["new_items"] / total,
            stage["room"],
            f"{stage['items']:,}",
        )
        for stage in stages
    ]
    caption = (
        "Each bar is what is left of all purchases after a stage. A drop at the candidates is retrieval's loss, a drop after it the "
        "ranker's. The mark is what lists of that length could hold at best: many baskets have more than ten items."
    )
    return section("Where purchases are lost", "", figure(charts.stacked(drawn, ("bought before", "new to the user")), caption))


def retrieval(metrics: Mapping[str, Any]) -> str:
    """Each retriever's share of the candidates that were bought."""
    found = metrics["candidates"]
    alone = sorted(found["retrievers"].items(), key=lambda entry: -(entry[1]["recall"] or 0.0))
    if not alone:
        return ""
    drawn = [charts.Bar("all together", found["recall"] or 0.0, percent(found["recall"]), colour="bought")]
    drawn += [
        charts.Bar(name, figures["recall"] or 0.0, f"{percent(figures['recall'])}, only here {percent(figures['unique'])}")
        for name, figures in alone
    ]
    rows = [([escape(name), f"{f['mean_number']:.0f}", percent(f["recall"]), percent(f["unique"])], "") for name, f in alone]
    lengths = [([f"first {length}", percent(value)], "") for length, value in found["recall_at"].items()]
    caption = "Share of what a user bought that a retriever proposes by itself; “only here” is what would be lost without it."
    return section(
        "Who finds the candidates",
        "",
        figure(charts.bars(drawn, percent=True), caption)
        + "<details><summary>As numbers</summary>"
        + table(["retriever", "candidates a user", "recall alone", "only here"], rows)
        + table(["ranked candidates", "recall"], lengths)
        + "</details>",
    )


def slices(metrics: Mapping[str, Any]) -> str:
    """The main metric by kind of item, activity of the user, and department."""
    parts = metrics["slices"]
    main = charts.bars([_bar(label, parts[name]) for name, label in _SLICES.items()])
    departments = list(parts["departments"].items())[:_MOST_DEPARTMENTS]
    body = figure(
        main,
        "NDCG@10 with 95 % interval, and the users that it is a mean of. The first four judge one kind of item in a list of that kind "
        "only; light, medium and heavy are thirds of the users by order lines so far.",
    )
    if departments:
        drawn = charts.bars([_bar(name, figures) for name, figures in departments])
        body += "<h3>Departments</h3>" + figure(
            drawn, "The same list, judged only by what was bought in one department; the most bought first."
        )
    return section("For whom, and for what", "A good mean can hide a bad corner.", body)


def character(metrics: Mapping[str, Any]) -> str:
    """Popularity bias, breadth and variety of the lists."""
    lists = metrics["beyond_accuracy"]
    order = [name for name in ("bought", "system", *metrics["baselines"]) if name in lists]
    groups = list(lists["system"]["by_popularity"])
    series = {LABELS.get(name, name): (_colour(name), [lists[name]["by_popularity"][group] or 0.0 for group in groups]) for name in order}
    rows = [
        (
            [
                escape(LABELS.get(name, name)),
                percent(lists[name]["coverage"]),
                number(lists[name]["diversity"]),
                "–" if lists[name]["novelty"] is None else f"{lists[name]['novelty']:.1f} bits",
                percent(lists[name]["head_share"]),
                percent(lists[name]["unsold_share"]),
                number(lists[name]["gini"]),
                "–" if lists[name]["popularity_ratio"] is None else f"{lists[name]['popularity_ratio']:.2f} x",
            ],
            name,
        )
        for name in order
    ]
    headings = ["first ten items", "coverage", "diversity", "novelty", "head share", "never sold", "Gini", "popularity / own"]
    caption = (
        "Share of the places in the first ten that go to each part of the catalogue, from the best sellers down, beside what was "
        "really bought."
    )
    meanings = (
        "Coverage: share of the catalogue shown to anyone. Diversity: how unlike two items of a list are (0 the same, 1 unrelated). "
        "Novelty: how rare a shown item is. Head share: places of the 1 % best sellers. Never sold: places "
        "of products that nobody had bought before the window. Gini: 0 when all items are shown alike, 1 when one "
        "takes all. Popularity / own: sales of shown items against those of the user's own purchases."
    )
    return section(
        "Beyond being right",
        "",
        figure(charts.grouped(groups, series), caption) + table(headings, rows) + f"<p class='muted range'>{meanings}</p>",
    )


def _bar(label: str, figures: Mapping[str, Any]) -> charts.Bar:
    bounds = figures["intervals"][MAIN]
    return charts.Bar(f"{label} ({figures['users']:,})", figures[MAIN] or 0.0, number(figures[MAIN]), bounds["low"], bounds["high"])


def _colour(name: str) -> str:
    return name if name in charts.COLOURS else "bought"
