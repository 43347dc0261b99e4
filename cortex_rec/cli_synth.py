"""`cortex-rec synth`: purchases for measuring how the system scales."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def synth(
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder that is not there yet, or empty.")],
    events: Annotated[int | None, typer.Option(help="Lines of all baskets; 1,442,237 when nothing is said.")] = None,
    users: Annotated[int | None, typer.Option(help="How many; they grow with the events when absent.")] = None,
    items: Annotated[
        int | None, typer.Option(help="How many are listed; they grow with the square root of the events when absent.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same numbers give the same bytes.")] = 0,
) -> None:
    """Make a year of purchases of any size, in the likeness of Complete Journey's, with a YAML that trains on them."""
    from cortex_rec.synthesis import write
    from cortex_rec.synthesis.shape import Shape

    size = write.sized(Shape.load(), users, items, events)
    write.write(size, output, seed=seed)
    console = Console(soft_wrap=True, highlight=False)
    told = f"{size.events:,} events of {size.users:,} users, {size.items:,} items listed."
    console.print(f"{told} Train on them: cortex-rec train {output / 'config.yaml'}", markup=False)
