"""`cortex-rec experiment …`: how long one must run, who won, and what another release would have brought."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cortex_rec.cli_options import DEFAULT_RELEASES, PRODUCTION, AsJson, ReleaseId, ReleasesPlace, print_json

if TYPE_CHECKING:
    import polars as pl

app = typer.Typer(help="Plan an A/B test or an interleaving, and report on it.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="The YAML or JSON file of the experiment.")]
Exposures = Annotated[Path, typer.Option("--exposures", help="The service's folder of exposures.", envvar="CORTEX_REC_EXPOSURES")]
Events = Annotated[str, typer.Option("--events", help="Where live events are: a file, or redis://host:port.", envvar="CORTEX_REC_EVENTS")]


@app.command(epilog="Example:  cortex-rec experiment plan --effect 0.05 --metric spend")
def plan(
    effect: Annotated[float, typer.Option("--effect", min=1e-4, max=10, help="The relative difference to be found: 0.02 is 2 %.")] = 0.05,
    metric: Annotated[str, typer.Option("--metric", help="What a person and day brings: lines, spend, or visits.")] = "lines",
    power: Annotated[float, typer.Option("--power", min=0.5, max=0.99, help="The chance to find it.")] = 0.8,
    share: Annotated[float, typer.Option("--share", min=0.01, max=0.99, help="Of the second arm.")] = 0.5,
    traffic: Annotated[float, typer.Option("--traffic", min=0.001, max=1, help="Share of the people who take part.")] = 1.0,
    days: Annotated[int, typer.Option("--days", min=7, max=182, help="The longest that it may run.")] = 56,
    release: ReleaseId = PRODUCTION,
    releases: ReleasesPlace = DEFAULT_RELEASES,
    as_json: AsJson = False,
) -> None:
    """Tell from the release's last days how long an experiment must run."""
    from dataclasses import asdict

    from cortex_rec.encoding import Encoded
    from cortex_rec.experiments import history
    from cortex_rec.experiments.power import plan as planned
    from cortex_rec.experiments.tables import plan_table
    from cortex_rec.releases import store

    found = store.open_release(releases, release)
    past = history.last_days(Encoded.load(found.path / "encoded"), metric, days)
    made = planned(*past, effect=effect, wanted=power, share=share, traffic=traffic)
    if as_json:
        print_json(asdict(made) | {"release": found.id, "metric": metric, "effect": effect, "days": made.needed(power)})
    else:
        Console().print(plan_table(made, metric, effect, power))


@app.command(epilog="Example:  cortex-rec experiment report experiment.yaml --exposures /srv/exposures --events /srv/events.sqlite")
def report(
    file: File,
    exposures: Exposures,
    events: Events,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page to write.")] = Path("experiment.html"),
    until: Annotated[datetime | None, typer.Option("--until", help="Leave out this day and what is later.", formats=["%Y-%m-%d"])] = None,
    release: ReleaseId = PRODUCTION,
    releases: ReleasesPlace = DEFAULT_RELEASES,
    as_json: AsJson = False,
) -> None:
    """Compare the arms, day by day; may be looked at every day. The release tells what people did before."""
    from cortex_rec.encoding import Encoded
    from cortex_rec.experiments import analysis, page
    from cortex_rec.experiments.config import load_experiment
    from cortex_rec.experiments.outcomes import outcomes
    from cortex_rec.experiments.past import past_of
    from cortex_rec.experiments.tables import comparison_table
    from cortex_rec.releases import store
    from cortex_rec.releases.champion import released_at

    experiment = load_experiment(file)
    end = None if until is None else int(until.replace(tzinfo=UTC).timestamp())
    found = outcomes(experiment, *_logs(exposures, events, end), until=end)
    known = store.open_release(releases, release)
    result = analysis.analyse(experiment, found, *past_of(found.users, Encoded.load(known.path / "encoded"), released_at(known)))
    output.write_text(page.render(result), encoding="utf-8")
    if as_json:
        print_json(result)
        return
    console = Console(soft_wrap=True)
    for compared in result["comparisons"]:
        console.print(comparison_table(result, compared))
        console.print(page.told(result, compared), markup=False)
    for warning in result["warnings"]:
        console.print(f"[yellow]Warning:[/] {warning}")
    console.print(f"Page: {output}")


@app.command(
    epilog="Example:  cortex-rec experiment estimate experiment.yaml candidate --exposures /srv/exposures --events /srv/events.sqlite"
)
def estimate(
    file: File,
    release: Annotated[str, typer.Argument(help="The release that was not served: its id, or a channel.")],
    exposures: Exposures,
    events: Events,
    arm: Annotated[str | None, typer.Option("--arm", help="The arm that explored; the first one when absent.")] = None,
    clicks: Annotated[bool, typer.Option("--clicks", help="Count clicks instead of purchases.")] = False,
    releases: ReleasesPlace = DEFAULT_RELEASES,
    as_json: AsJson = False,
) -> None:
    """Estimate from an exploring arm's answers what another release would have brought, without serving it."""
    from dataclasses import asdict

    import polars as pl

    from cortex_rec.experiments.config import load_experiment
    from cortex_rec.experiments.off_policy import estimate as estimated
    from cortex_rec.experiments.replay import replay
    from cortex_rec.experiments.tables import values_table
    from cortex_rec.recommender import Recommender
    from cortex_rec.releases import store

    experiment = load_experiment(file)
    explored = arm or experiment.arms[0].name
    shown, happened = _logs(exposures, events, None)
    mine = shown.filter((pl.col("experiment") == experiment.name) & (pl.col("arm") == explored))
    other = store.open_release(releases, release)
    logged = replay(mine, happened, Recommender.load(other.path).recommend, kind="click" if clicks else "purchase")
    found, served = estimated(logged), float(logged.reward.sum(axis=1).mean())
    if as_json:
        print_json(asdict(found) | {"release": other.id, "arm": explored, "answers": len(logged.reward), "served": served})
        return
    console = Console(soft_wrap=True)
    console.print(values_table(found, other.id, explored, served, len(logged.reward)))
    for warning in found.warnings:
        console.print(f"[yellow]Warning:[/] {warning}")


def _logs(exposures: Path, events: str, end: int | None) -> "tuple[pl.DataFrame, pl.DataFrame]":
    """What was shown, and what followed."""
    from cortex_rec import events as store_of_events
    from cortex_rec.events import exposures as log
    from cortex_rec.experiments.outcomes import events_table

    shown = log.read(exposures, 0, 2**40 if end is None else end)
    first = shown["time"].min()
    with closing(store_of_events.open(events)) as kept:
        return shown, events_table(kept.since(first if isinstance(first, int) else 0, ["click", "purchase", "hide"]))
