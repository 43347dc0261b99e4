"""`cortex-rec items …`: new items that are recommended before the next training."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cortex_rec.cli_options import DEFAULT_RELEASES, AsJson, ReleasesPlace, print_json
from cortex_rec.errors import DataError

if TYPE_CHECKING:  # both are slow to import, and `--help` needs neither
    import polars as pl

app = typer.Typer(help="Add new items to the release in production, list and remove them.", no_args_is_help=True)


@app.command(
    epilog="Examples:  cortex-rec items add --id A17 --title 'Oat milk 1 l' --set department=DAIRY    cortex-rec items add --file new.csv"
)
def add(
    item: Annotated[str | None, typer.Option("--id", help="The item's id, one that is not in use.")] = None,
    title: Annotated[str | None, typer.Option(help="What it is called.")] = None,
    description: Annotated[str | None, typer.Option(help="What else is said of it.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture of it.")] = None,
    attributes: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A group or attribute.")] = None,
    file: Annotated[Path | None, typer.Option(help="Many items: CSV (.gz too) or Parquet, columns named as ours.")] = None,
    releases: ReleasesPlace = DEFAULT_RELEASES,
    as_json: AsJson = False,
) -> None:
    """Embed new items and keep them beside the releases: they can be recommended at once, before the next training."""
    from cortex_rec import columns
    from cortex_rec.catalogue import Catalogue
    from cortex_rec.encoding import check_new
    from cortex_rec.ids import IdMap
    from cortex_rec.releases import added, live, new_items, places, store

    single = {columns.ITEM: item, columns.TITLE: title, columns.DESCRIPTION: description, columns.IMAGE: image}
    given = [name for name, value in single.items() if value is not None]
    if (file is None) == (item is None) or (file is not None and (given or attributes)):
        raise DataError("items add: give one item with --id, or many with --file.", table="items")
    release = store.open_release(releases, check=False)
    items = _one(single, attributes or []) if file is None else _many(file)
    catalogue = Catalogue.load(release.path / "encoded" / "catalogue.parquet")
    unseen = catalogue.unseen(items)
    for known in (IdMap.load(release.path / "encoded" / "items.parquet"), IdMap(added.read(places.state_of(releases))[columns.ITEM])):
        check_new(items, known)
    added.add(places.state_of(releases), new_items.embed(items, live.embeddings_of(release)))
    if as_json:
        print_json({"added": items[columns.ITEM].to_list(), "unseen": unseen, "release": release.id})
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"Added {items.height:,}: {', '.join(items[columns.ITEM].head(5))}{' …' if items.height > 5 else ''}", markup=False)
    for name, values in unseen.items():
        console.print(
            f"No item of {release.id} has {name} {', '.join(values)}: it counts as unknown until the next training.", markup=False
        )
    console.print("`cortex-rec recommend` knows them now, a running service within a second.", markup=False)


@app.command("list", epilog="Example:  cortex-rec items list --json")
def list_items(releases: ReleasesPlace = DEFAULT_RELEASES, as_json: AsJson = False) -> None:
    """List what was added, and what became of it in the release in production."""
    from cortex_rec.embeddings.fusion import Fusion
    from cortex_rec.ids import IdMap
    from cortex_rec.releases import added, live, places, store
    from cortex_rec.terminal import items_table

    release, items = store.open_release(releases, check=False), added.read(places.state_of(releases))
    known, fusion = IdMap.load(release.path / "encoded" / "items.parquet"), Fusion.load(release.path / "fusion")
    state = live.states(items, known, fusion, release)
    rows = items.select(name for name in items.columns if ":" not in name).with_columns(state).to_dicts()
    if as_json:
        print_json(rows)
    elif rows:
        Console().print(items_table(rows))
    else:
        Console(soft_wrap=True).print(f"Nothing was added to {releases} yet. Add an item: cortex-rec items add --id … --title …")


@app.command(epilog="Example:  cortex-rec items remove A17")
def remove(item: Annotated[str, typer.Argument(help="The item's id.")], releases: ReleasesPlace = DEFAULT_RELEASES) -> None:
    """Forget an item that was added; items of a release stay."""
    from cortex_rec.releases import added, places

    added.remove(places.state_of(releases), item)
    Console(soft_wrap=True, highlight=False).print(f"Removed {item}.", markup=False)


def _one(given: "dict[str, str | Path | None]", attributes: list[str]) -> "pl.DataFrame":
    """One row of what the options say."""
    import polars as pl

    from cortex_rec import columns

    row = {name: str(value) for name, value in given.items() if value is not None}
    for pair in attributes:
        name, equals, value = pair.partition("=")
        if not name or not equals or name in row:
            wrong = "is given twice" if equals and name in row else "is no NAME=VALUE"
            raise DataError(f"items add: --set {pair!r} {wrong}. Write for example --set department=DAIRY.", table="items")
        row[name] = value
    if columns.IMAGE in row:
        row[columns.IMAGE] = os.path.abspath(row[columns.IMAGE])
    return pl.DataFrame([row], schema=dict.fromkeys(row, pl.String))


def _many(file: Path) -> "pl.DataFrame":
    from cortex_rec.sources.files import read_items

    items = read_items(file)
    if items.is_empty():
        raise DataError(f"{file}: no row after the header, so there is nothing to add.", table="items")
    return items
