"""The evaluation as one self-contained HTML page: no script, no file beside it, the same bytes for the same figures."""

from collections.abc import Mapping
from html import escape
from typing import Any

from cortex_rec.evaluation import report_new, report_plots, report_ranker, summary
from cortex_rec.evaluation.evaluate import MAIN
from cortex_rec.evaluation.report_parts import document, section, table
from cortex_rec.evaluation.summary import LABELS, interval, number, percent


def render(metrics: Mapping[str, Any], header: Mapping[str, object], *, catalogue: str | None = None) -> str:
    """Write the page.

    Parameters
    ----------
    metrics
        What `evaluate` returned.
    header
        Facts of the release in the order to print them, for example its id, data window, configuration and commit.
    catalogue
        Where `catalogue_page.render`'s page is, relative to this one; it is linked when given.

    Returns
    -------
    str
        A whole HTML document.
    """
    sections = [
        _comparison(metrics),
        report_plots.by_length(metrics),
        report_plots.loss(metrics),
        report_plots.retrieval(metrics),
        report_plots.slices(metrics),
        report_new.people(metrics),
        report_new.products(metrics),
        report_plots.character(metrics),
        report_ranker.probabilities(metrics),
        report_ranker.features(metrics),
        _all_figures(metrics),
        _facts(header),
    ]
    week = escape(str(metrics["test_week"]))
    return document(
        f"Evaluation, test window {week}",
        f"<h1>How good are the recommendations?</h1>\n{_introduction(metrics)}\n{_cards(metrics)}\n{_link(catalogue)}"
        + "\n".join(filter(None, sections)),
    )


def _link(catalogue: str | None) -> str:
    if catalogue is None:
        return ""
    return (
        f'<p><a href="{escape(catalogue)}">The catalogue, as the models see it</a>: nearest neighbours of a dozen items, and a map.</p>\n'
    )


def _introduction(metrics: Mapping[str, Any]) -> str:
    start, end = (moment[:10] for moment in metrics["window"])
    return (
        f'<p class="muted">Test window {escape(str(metrics["test_week"]))}, from {start} to before {end}. '
        f"{metrics['users']:,} users who bought in it and were known before. The models saw nothing from {start} on; "
        "every item of the catalogue could be recommended.</p>\n"
        f'<p class="verdict">{_verdict(metrics)}</p>'
    )


def _verdict(metrics: Mapping[str, Any]) -> str:
    """The result in a sentence or two, as far as the intervals allow one."""
    hit = metrics["metrics"]["hit_rate@10"] or 0.0
    text = f"Of 100 users, <b>{100 * hit:.0f}</b> bought at least one of the ten items that would have been shown first. "
    known = {name: figures["lift"][MAIN] for name, figures in metrics["baselines"].items() if figures["lift"][MAIN]["value"] is not None}
    if not known:
        return text
    name = max(known, key=lambda baseline: metrics["baselines"][baseline][MAIN])
    gain = known[name]
    against = f"the strongest baseline, {escape(LABELS.get(name, name))}"
    if gain["low"] > 0:
        said = f'is <b class="good">{percent(gain["value"])} better</b> than {against}'
    elif gain["high"] < 0:
        said = f'is <b class="bad">{percent(-gain["value"])} worse</b> than {against}'
    else:
        said = f"cannot be told apart from {against} by this test: {gain['value']:+.1%}"
    return f"{text}The order of the list (NDCG@10) {said} (95 % interval {gain['low']:+.1%} to {gain['high']:+.1%})."


def _cards(metrics: Mapping[str, Any]) -> str:
    flat, spread = metrics["metrics"], metrics["intervals"]
    new, popular = metrics["slices"]["new_items"], metrics["baselines"].get("popularity")
    beside = f"popularity: {number(popular['slices']['new_items'][MAIN], 4)}" if popular else "what the user never bought before"
    cards = (
        ("NDCG@10", number(flat[MAIN]), interval(spread[MAIN])),
        ("New items NDCG@10", number(new[MAIN], 4), beside),
        ("Recall@20", percent(flat["recall@20"]), "of what a user bought is in the first 20"),
        ("Candidate recall", percent(metrics["candidate_recall"]), f"is among the {metrics['candidates']['mean_number']:.0f} candidates"),
        ("AUC", number(flat["auc"]), "chance that a bought candidate is above another"),
    )
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card"><span class="name">{name}</span><b>{value}</b><span class="note">{note}</span></div>'
            for name, value, note in cards
        )
        + "</div>"
    )


def _comparison(metrics: Mapping[str, Any]) -> str:
    body = [
        ([escape(row.label), f'{row.cells[0]}<br><span class="range">{row.spread}</span>', *row.cells[1:]], row.key)
        for row in summary.rows(metrics)
    ]
    return section(
        "Beside its baselines",
        "Popularity shows everyone the best sellers of the last four weeks; personal decay shows each user their own purchases, "
        "the latest and most frequent first. A recommender has to beat both. Intervals: 95 %, bootstrap over users.",
        table(["", *summary.HEADINGS.values()], body),
    )


def _all_figures(metrics: Mapping[str, Any]) -> str:
    lengths = [name.split("@")[1] for name in metrics["metrics"] if name.startswith("ndcg@")]
    names = {"ndcg": "NDCG", "recall": "Recall", "map": "MAP", "mrr": "MRR", "hit_rate": "Hit rate"}

    def cell(name: str) -> str:
        return f"{number(metrics['metrics'][name])}<br><span class='range'>{interval(metrics['intervals'][name])}</span>"

    rows = [([label, *(cell(f"{name}@{k}") for k in lengths)], "") for name, label in names.items()]
    return section(
        "Every metric",
        "",
        "<details><summary>Metrics at every list length, with 95 % intervals</summary>"
        + table(["", *(f"K = {k}" for k in lengths)], rows)
        + "</details>",
    )


def _facts(header: Mapping[str, object]) -> str:
    if not header:
        return ""
    entries = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in header.items())
    return section("What was judged", "", f"<dl>{entries}</dl>")
