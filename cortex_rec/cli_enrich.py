"""`cortex-rec enrich …`: further columns for the items, found in their words."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cortex_rec.cli_options import DEFAULT_CONFIG, AsJson, print_json
from cortex_rec.errors import ConfigError

if TYPE_CHECKING:
    from cortex_rec.enrichment.extract import Enriched

_OFF = "has no `enrichment`, which is off by default. Add `enrichment: {}`, or see docs/enrichment.md for its settings"


def enrich(
    config: Annotated[str, typer.Argument(help="The YAML file that describes the run.")] = DEFAULT_CONFIG,
    output: Annotated[Path, typer.Option("--output", "-o", help="The items file to write: .parquet or .csv.")] = Path("enriched.parquet"),
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first items, to try it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a language model find category, size, diet and the like in items' words. What was asked once is not asked again."""
    import time
    from datetime import UTC, datetime

    from cortex_rec import sources
    from cortex_rec.config import load_config
    from cortex_rec.enrichment.cache import AnswerCache
    from cortex_rec.enrichment.extract import Budget
    from cortex_rec.enrichment.extract import enrich as extract
    from cortex_rec.enrichment.provider import open_provider
    from cortex_rec.enrichment.schema import Schema
    from cortex_rec.enrichment.table import write

    run = load_config(config)
    if run.enrichment is None:
        raise ConfigError(f"{config}: {_OFF}.")
    settings, folder = run.enrichment, Path(run.workspace) / "enrichment"
    items = sources.read(run.source, run.windows).items
    schema = Schema.learned(settings, items)
    provider = open_provider(settings.provider, schema, threads=run.threads, folder=folder / "models")
    with AnswerCache(folder / "answers.sqlite") as cache:
        found = extract(
            items if limit is None else items.head(limit),
            schema,
            provider,
            cache=cache,
            budget=Budget(time.monotonic, settings.tokens, settings.seconds),
            given_at=datetime.now(UTC).isoformat(timespec="seconds"),
            letters=settings.letters,
            tries=settings.tries,
            progress=_told(as_json),
        )
    files = {name: str(path) for name, path in write(items, found, output).items()}
    filled = {name: found.columns[name].len() - found.columns[name].null_count() for name in schema.fields}
    if as_json:
        counts = {name: getattr(found, name) for name in ("asked", "cached", "left", "tokens", "seconds", "stopped")}
        print_json(counts | {"filled": filled, "quarantined": found.quarantine.height, "files": files})
    else:
        _show(found, filled, files)


def _told(silent: bool) -> Any:
    console = Console(stderr=True)
    return lambda done, total: None if silent or (done % 100 and done < total) else console.print(f"{done:,} of {total:,} items")


def _show(found: "Enriched", filled: dict[str, int], files: dict[str, str]) -> None:
    from cortex_rec import columns
    from cortex_rec.terminal import enriched_table

    console, further = Console(soft_wrap=True, highlight=False), [name for name in filled if name not in columns.ITEMS]
    not_taken = dict(found.quarantine.group_by("field").len().iter_rows())
    console.print(enriched_table(filled, found.columns.height, not_taken))
    console.print(
        f"{found.asked:,} items were asked about, {found.cached:,} were known: {found.tokens:,} tokens, {found.seconds:,.0f} s.",
        markup=False,
    )
    if found.stopped:
        console.print(f"Stopped: {found.stopped}; {found.left:,} items are left. Run it again to go on.", markup=False)
    for name, path in files.items():
        console.print(f"{name:<10}  {path}", markup=False)
    console.print(f"To learn from it: source.items: {{path: {files['items']}}}, source.attributes: [{', '.join(further)}]", markup=False)
