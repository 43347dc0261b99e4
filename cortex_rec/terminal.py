"""Tables for the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cortex_rec.releases.channels import Move
from cortex_rec.releases.manifest import Manifest
from cortex_rec.releases.retention import Fate

if TYPE_CHECKING:  # the request path is slow to import, and only one of the tables is about it
    from cortex_rec.releases.promotion import Guard
    from cortex_rec.requests import Recommendation

#: Metric -> its heading, broken where eighty columns need it.
_SHOWN: Final = {
    "ndcg@10": "ndcg@10",
    "recall@20": "recall@20",
    "map@10": "map@10",
    "hit_rate@10": "hit\nrate@10",
    "auc": "auc",
}


def evaluation_table(metrics: Mapping[str, Any]) -> Table:
    """The system and its baselines, one row each, on all purchases and on items new to the user.

    Parameters
    ----------
    metrics
        What `evaluation.evaluate` gives.
    """
    shown = [name for name in _SHOWN if name in metrics["metrics"]]
    table = Table(
        title=f"Test window {metrics['test_week']}: {metrics['users']:,} users",
        caption=f"Retrieval finds {metrics['candidate_recall']:.1%} of what was bought. 'new': items that the user never bought before."
        + _new_products(metrics),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("method", no_wrap=True)
    for name in shown:
        table.add_column(_SHOWN[name], justify="right")
    table.add_column("new\nndcg@10", justify="right")
    rows = {"CORTEX-Rec": metrics["metrics"] | {"slices": metrics["slices"]}} | metrics["baselines"]
    for method, figures in rows.items():
        new = figures.get("slices", {}).get("new_items", {}).get("ndcg@10")
        style = "bold" if method == "CORTEX-Rec" else None
        table.add_row(method.replace("_", " "), *(_figure(figures.get(name)) for name in shown), _figure(new), style=style)
    return table


def items_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Items that were added, one row each.

    Parameters
    ----------
    rows
        Mappings with `item_id`, `state`, and what else is known of an item; None where it is not.
    """
    table = Table()
    for heading in ("item", "title", "what else is known", "state"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        further = (f"{name} {value}" for name, value in row.items() if value and name not in ("item_id", "title", "state"))
        table.add_row(Text(row["item_id"]), Text(row.get("title") or ""), Text(", ".join(further)), row["state"])
    return table


def comparison_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """What `evaluation.compare` gives, one row a slice and metric; a difference whose interval excludes zero is bold.

    Parameters
    ----------
    rows
        Mappings with `slice`, `metric`, `users`, `first`, `second`, `difference`, `low`, `high`.
    """
    table = Table(title="second less first, 95 % paired interval", title_justify="left")
    for heading in ("slice", "metric"):
        table.add_column(heading, no_wrap=True)
    for heading in ("users", "first", "second", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("interval", justify="right", no_wrap=True)
    for row in rows:
        style = "bold" if row["low"] > 0 or row["high"] < 0 else None
        figures = (f"{row[name]:.4f}" for name in ("first", "second"))
        interval = f"{row['low']:+.4f} {row['high']:+.4f}"
        label = row["slice"].replace("_", " ")
        table.add_row(label, row["metric"], f"{row['users']:,}", *figures, f"{row['difference']:+.4f}", interval, style=style)
    return table


def promotion_table(guards: "Iterable[Guard]") -> Table:
    """What the promotion gate judged, one row a guard; those that stop the new release are bold.

    Parameters
    ----------
    guards
        Of a `Decision`.
    """
    table = Table(
        title="The new release against production on the newest window",
        caption="'interval': 95 %, paired, of the change. 'window': production's own figure when it was made, and now.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("guard", no_wrap=True)
    for heading in ("production", "new", "change", "interval", "allowed", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for guard in guards:
        bounds = [None if bound is None else f"{100 * bound:+.1f}" for bound in (guard.low, guard.high)]
        interval = " ".join(bound for bound in bounds if bound is not None)
        cells = (_four(guard.champion), _four(guard.challenger), _percent(guard.change), interval, guard.allowed(), guard.outcome)
        table.add_row(guard.name, *cells, style=None if guard.passed else "bold")
    return table


def recommendations_table(user: str, items: "Sequence[Recommendation]") -> Table:
    """Recommended items, best first, with what they are, how likely they are bought and why they are there.

    Parameters
    ----------
    user
        The user's id.
    items
        The slate's items.
    """
    table = Table(title=f"For user {user}", title_justify="left")
    table.add_column("", justify="right")
    table.add_column("item")
    table.add_column("what it is")
    table.add_column("score", justify="right")
    table.add_column("chance", justify="right", no_wrap=True)
    table.add_column("why")
    for place, item in enumerate(items, start=1):
        table.add_row(str(place), item.item, item.title, f"{item.score:.3f}", _chance(item.probability), "; ".join(item.reasons))
    return table


def releases_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Releases, the latest data first; a damaged one says so."""
    table = Table("release", "name", "data until", "ndcg@10", "")
    for row in rows:
        mark = ", ".join(f"[bold]{name}[/]" for name in row["channels"])
        if row["fault"]:
            table.add_row(row["release"], "", "", "", f"{mark} [red]damaged[/]".strip())
        else:
            table.add_row(row["release"], row["name"], row["as_of"], _figure(row["ndcg@10"]), mark)
    return table


def differences_table(first: str, second: str, rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows of `releases.differences.between`; each part is named once."""
    table = Table("", "", first, second)
    before = None
    for row in rows:
        table.add_row(row["part"] if row["part"] != before else "", row["name"], *(_said(row[side]) for side in ("first", "second")))
        before = row["part"]
    return table


def fates_table(fates: Iterable[Fate], *, dry_run: bool) -> Table:
    """What `releases.retention.gc` did, or would do."""
    table = Table("release", "MiB", "", "why")
    for fate in fates:
        done = "stays" if fate.stays else "would go" if dry_run else "[bold]removed[/]"
        table.add_row(fate.release, f"{fate.bytes / 2**20:,.1f}", done, fate.why)
    table.columns[1].justify = "right"
    return table


def moves_table(moves: Iterable[Move]) -> Table:
    """Rows of `releases.channels.log`."""
    table = Table("when (UTC)", "channel", "from", "to", "who", "why")
    for move in moves:
        table.add_row(f"{move.at:%Y-%m-%d %H:%M:%S}", move.channel, move.former or "", move.release, escape(move.by), escape(move.why))
    return table


def enriched_table(filled: Mapping[str, int], items: int, not_taken: Mapping[str, int]) -> Table:
    """How many items have each field now, and of how many its answer was not taken."""
    table = Table()
    for heading in ("field", "items with a value", "share", "not taken"):
        table.add_column(heading, justify="left" if heading == "field" else "right")
    for name, count in filled.items():
        table.add_row(name, f"{count:,}", f"{count / max(items, 1):.1%}", f"{not_taken.get(name, 0):,}")
    return table


def manifest_table(manifest: Manifest) -> Table:
    """What a release says about itself."""
    data = manifest.data
    size = sum(file.bytes for file in manifest.files.values())
    table = Table(show_header=False)
    for name, value in {
        "release": manifest.id,
        "digest": manifest.digest,
        "git commit": manifest.git_commit or "unknown",
        "data": f"{data.first} to {data.last}: {data.interactions:,} purchases, {data.users:,} users, {data.items:,} items",
        "recommends from": str(data.as_of),
        "features": f"{len(manifest.features)}",
        "files": f"{len(manifest.files)}, {size / 2**20:,.1f} MiB",
        "libraries": ", ".join(f"{name} {version}" for name, version in manifest.libraries.items()),
    }.items():
        table.add_row(name, value)
    return table


def _new_products(metrics: Mapping[str, Any]) -> str:
    """What was found of the purchases of products that nobody had bought before; nothing where releases did not tell it yet."""
    found = metrics.get("new_products")
    if not found or not found["purchases"]:
        return ""
    shares = {name: part["share"] for name, part in found["found"].items()}
    return (
        f" {found['purchases']:,} purchases ({found['share']:.1%} of all) were of {found['items']:,} products first sold in the window: "
        f"retrieval finds {shares['candidates']:.1%}, the first 20 hold {shares['top_20']:.1%}."
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _four(value: float | None) -> str:
    """Four digits."""
    return "" if value is None else f"{value:.4g}"


def _percent(change: float | None) -> str:
    return "" if change is None else f"{100 * change:+.1f} %"


def _said(value: Any) -> str:
    """A manifest's value in a cell; empty where there is none."""
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else escape(str(value))


def _chance(probability: float | None) -> str:
    if probability is None:
        return ""
    return f"{100 * probability:.{0 if probability >= 0.0995 else 1}f} %"
