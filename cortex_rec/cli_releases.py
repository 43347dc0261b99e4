"""`cortex-rec releases …`: what is there, which one is in production, and how to change that."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from cortex_rec.cli_options import DEFAULT_CONFIG, DEFAULT_RELEASES, PRODUCTION, AsJson, ReleasesPlace, print_json
from cortex_rec.errors import ArtifactError

app = typer.Typer(help="List, compare and verify releases, and say which one is in production.", no_args_is_help=True)

Named = Annotated[str, typer.Argument(help="A release's id, or the channel that points to it.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the log.")]
By = Annotated[str | None, typer.Option("--by", help="Who says so; your login name when absent.")]


@app.command("list", epilog="Example:  cortex-rec releases list --json")
def list_releases(releases: ReleasesPlace = DEFAULT_RELEASES, as_json: AsJson = False) -> None:
    """List all releases, the latest data first."""
    from cortex_rec.releases import channels, store
    from cortex_rec.terminal import releases_table

    pointers = {channel: channels.read(releases, channel) for channel in channels.CHANNELS}
    rows = []
    for name in store.release_ids(releases):
        named = [channel for channel, pointer in pointers.items() if pointer is not None and pointer.release == name]
        row: dict[str, Any] = {"release": name, "channels": named}
        try:
            manifest = store.manifest_of(releases, name)
            row |= {"name": manifest.name, "as_of": f"{manifest.data.as_of:%Y-%m-%d}", "fault": None}
            row["ndcg@10"] = manifest.metrics["metrics"].get("ndcg@10")
        except ArtifactError as error:
            row["fault"] = str(error)
        rows.append(row)
    if as_json:
        print_json(rows)
    elif rows:
        Console().print(releases_table(rows))
    else:
        Console(soft_wrap=True).print(f"No release in {releases} yet. Make one: cortex-rec train {DEFAULT_CONFIG}")


@app.command(epilog="Example:  cortex-rec releases show candidate --json")
def show(release: Named = PRODUCTION, releases: ReleasesPlace = DEFAULT_RELEASES, as_json: AsJson = False) -> None:
    """Show a release's manifest."""
    from cortex_rec.releases import store
    from cortex_rec.terminal import manifest_table

    manifest = store.manifest_of(releases, release)
    if as_json:
        print_json(manifest.model_dump(mode="json"))
    else:
        Console().print(manifest_table(manifest))


@app.command(epilog="Example:  cortex-rec releases diff production candidate")
def diff(first: Named, second: Named, releases: ReleasesPlace = DEFAULT_RELEASES, as_json: AsJson = False) -> None:
    """Show side by side in what two releases differ: data, settings, features, metrics, libraries."""
    from cortex_rec.releases import differences, store
    from cortex_rec.terminal import differences_table

    one, other = (store.manifest_of(releases, name) for name in (first, second))
    rows = differences.between(one, other)
    if as_json:
        print_json({"first": one.id, "second": other.id, "differences": rows})
    elif rows:
        Console().print(differences_table(one.id, other.id, rows))
    else:
        Console(soft_wrap=True).print(f"{one.id} and {other.id} say the same of themselves.")


@app.command(epilog="Example:  cortex-rec releases verify && make serve")
def verify(release: Named = PRODUCTION, releases: ReleasesPlace = DEFAULT_RELEASES) -> None:
    """Compare every file of a release with its manifest; exit code 1 names the one that is damaged."""
    from cortex_rec.releases import store

    found = store.verify(releases, release)
    Console(soft_wrap=True).print(f"{found.id}: all {len(found.manifest.files)} files are as released.")


@app.command(epilog="Example:  cortex-rec releases promote candidate --why 'better on new items, looked at by hand'")
def promote(release: Named, why: Why, by: By = None, releases: ReleasesPlace = DEFAULT_RELEASES) -> None:
    """Put a release into production, after a look at all its files."""
    from cortex_rec.releases import channels, store

    found, before = store.verify(releases, release), channels.read(releases, PRODUCTION)
    moved = channels.promote(releases, found.id, by=by or channels.login(), why=why, at=datetime.now(UTC))
    console = Console(soft_wrap=True)
    if moved == before:
        console.print(f"{moved.release} is in production already, since {moved.at:%Y-%m-%d %H:%M} UTC ({moved.why}).", markup=False)
    else:
        console.print(f"{moved.release} is in production{'' if before is None else f' in place of {before.release}'}.", markup=False)


@app.command(epilog="Example:  cortex-rec releases rollback --why 'recommends sold-out items'")
def rollback(why: Why, by: By = None, releases: ReleasesPlace = DEFAULT_RELEASES) -> None:
    """Put the release into production that was there before; a second time takes the first back."""
    from cortex_rec.releases import channels

    moved = channels.rollback(releases, by=by or channels.login(), why=why, at=datetime.now(UTC))
    Console(soft_wrap=True).print(f"{moved.release} is in production again, in place of {moved.former}.", markup=False)


@app.command(epilog="Example:  cortex-rec releases push production --to s3://shop-releases/main")
def push(
    release: Named,
    to: Annotated[str, typer.Option("--to", help="The other place: a folder, or s3://bucket/prefix.")],
    releases: ReleasesPlace = DEFAULT_RELEASES,
) -> None:
    """Copy a release to another place, or go on with a copy that was interrupted; no channel is moved there."""
    from cortex_rec.releases import store

    found = store.push(releases, to, release)
    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"{found.id} is in {to}. Serve it from there: cortex-rec releases promote {found.id} --why … --releases {to}", markup=False
    )


@app.command(epilog="Example:  cortex-rec releases gc --keep 7 --dry-run")
def gc(
    keep: Annotated[int, typer.Option("--keep", min=1, help="How many of the newest stay.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    releases: ReleasesPlace = DEFAULT_RELEASES,
    as_json: AsJson = False,
) -> None:
    """Remove old releases; the newest, those that a channel points to, and the one that a rollback would go to stay."""
    from dataclasses import asdict

    from cortex_rec.releases import retention
    from cortex_rec.terminal import fates_table

    fates = retention.gc(releases, keep=keep, dry_run=dry_run)
    if as_json:
        print_json([asdict(fate) for fate in fates])
    elif fates:
        Console().print(fates_table(fates, dry_run=dry_run))
    else:
        Console(soft_wrap=True).print(f"No release in {releases} yet.")


@app.command(epilog="Example:  cortex-rec releases log --json | jq '.[0]'")
def log(releases: ReleasesPlace = DEFAULT_RELEASES, as_json: AsJson = False) -> None:
    """List who moved which channel from where to where, when and why; the newest first."""
    from dataclasses import asdict

    from cortex_rec.releases import channels
    from cortex_rec.terminal import moves_table

    moves = channels.log(releases)
    if as_json:
        print_json([asdict(move) | {"at": move.at.isoformat()} for move in moves])
    elif moves:
        Console().print(moves_table(moves))
    else:
        Console(soft_wrap=True).print(f"No channel of {releases} was ever moved.")
