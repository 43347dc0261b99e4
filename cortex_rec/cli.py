"""`cortex-rec …`: exit code 0 when it worked, 1 with one clear message when it did not, 2 for wrong usage."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cortex_rec import __version__, cli_enrich, cli_experiments, cli_items, cli_releases, cli_synth
from cortex_rec.cli_options import DEFAULT_CONFIG, DEFAULT_RELEASES, PRODUCTION, AsJson, ReleaseId, ReleasesPlace, print_json
from cortex_rec.errors import ConfigError, CortexRecError

if TYPE_CHECKING:
    from cortex_rec.releases.promotion import Decision
    from cortex_rec.releases.store import Release

app = typer.Typer(
    name="cortex-rec",
    help="A two-stage recommender for shops: from purchase history to a gated, versioned, served release.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)
app.add_typer(cli_releases.app, name="releases")
app.add_typer(cli_items.app, name="items")
app.add_typer(cli_experiments.app, name="experiment")

ConfigPath = Annotated[str, typer.Argument(help="The YAML file that describes the run.")]


def main() -> None:
    """Run the command line; an expected failure is one message on stderr, without a traceback."""
    try:
        app()
    except CortexRecError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]{type(error).__name__}[/]: ", end="")
        print(error, file=sys.stderr)  # noqa: T201  (as it is: a message may hold brackets that rich would take for markup)
        sys.exit(1)


@app.command(epilog="Example:  cortex-rec train configs/complete_journey.yaml --releases /srv/releases")
def train(
    config: ConfigPath = DEFAULT_CONFIG,
    workspace: Annotated[str | None, typer.Option(help="Where stages and logs go, instead of the YAML's.")] = None,
    releases: Annotated[str | None, typer.Option(help="Where the release goes, instead of the YAML's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train, gate, evaluate, release; promote what is not worse. What is unchanged is not run again; a stopped run goes on where it was."""
    from cortex_rec.config import load_config
    from cortex_rec.releases import store
    from cortex_rec.releases.promotion import Decision, decision_file
    from flows.run import run_train

    overrides = _given(workspace=workspace, releases=releases)
    made = run_train(config, **overrides)
    settings = load_config(config, **overrides)
    decision = Decision.load(decision_file(Path(settings.workspace), made))
    _show_report(store.open_release(settings.releases, made), as_json, decision)


@app.command(epilog="Example:  cortex-rec refresh configs/my_shop.yaml --json")
def refresh(
    config: ConfigPath = DEFAULT_CONFIG,
    workspace: Annotated[str | None, typer.Option(help="Where stages and logs go, instead of the YAML's.")] = None,
    releases: Annotated[str | None, typer.Option(help="Where the releases are, instead of the YAML's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take production up to the newest purchases without training the ranker: reads the new days only, in a small part of the time."""
    from cortex_rec.config import load_config
    from cortex_rec.releases import store
    from cortex_rec.releases.promotion import Decision, decision_file
    from flows.run import run_refresh

    overrides = _given(workspace=workspace, releases=releases)
    made = run_refresh(config, **overrides)
    settings = load_config(config, **overrides)
    decision = Decision.load(decision_file(Path(settings.workspace), made))
    release = store.open_release(settings.releases, made, check=False)
    if as_json:
        print_json({"release": made, **release.run(), "promotion": decision.to_dict()})
        return
    from cortex_rec.terminal import promotion_table

    run, console = release.run(), Console(soft_wrap=True, highlight=False)
    forward = run["forward"]
    console.print(
        f"{run['refreshed_from']} on the days since, {forward['users']:,} users: NDCG@10 {forward['ndcg@10']:.4f} "
        f"(most popular items: {forward['popularity ndcg@10']:.4f}).",
        markup=False,
    )
    console.print(f"Release {made}")
    if decision.guards:
        console.print(promotion_table(decision.guards))
    console.print(decision.told(), markup=False)


@app.command(epilog="Examples:  cortex-rec evaluate --json    cortex-rec evaluate --rules configs/rules/complete_journey.yaml")
def evaluate(
    config: ConfigPath = DEFAULT_CONFIG,
    workspace: Annotated[str | None, typer.Option(help="Where stages and logs go, instead of the YAML's.")] = None,
    rules: Annotated[Path | None, typer.Option(help="A YAML or JSON file of filters and rules: judge what they cost instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train and judge on the test window without making a release."""
    overrides = _given(workspace=workspace)
    if rules is not None:
        from flows.run import run_rules

        _show_costs(json.loads((run_rules(config, rules, **overrides) / "rules.json").read_text(encoding="utf-8")), as_json)
        return
    from flows.run import run_evaluate

    folder = run_evaluate(config, **overrides)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    if as_json:
        print_json(metrics)
    else:
        from cortex_rec.terminal import evaluation_table

        Console().print(evaluation_table(metrics))
        Console(soft_wrap=True).print(f"Report: {folder / 'report.html'}")


@app.command(epilog="Examples:  cortex-rec recommend 208 --n 5    cortex-rec recommend 208 --json | jq '.items[].item_id'")
def recommend(
    user: Annotated[str | None, typer.Argument(help="A user's id; the release's first user when absent.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, max=1000, help="How many items.")] = 10,
    session: Annotated[list[str] | None, typer.Option("--item", help="An item of the current session; may be repeated.")] = None,
    shop: Annotated[str | None, typer.Option("--store", help="Where the user shops now; their usual store when absent.")] = None,
    release: ReleaseId = PRODUCTION,
    releases: ReleasesPlace = DEFAULT_RELEASES,
    as_json: AsJson = False,
) -> None:
    """Recommend items to one user, with the reasons."""
    from cortex_rec.releases import live, places, store
    from cortex_rec.requests import Request
    from cortex_rec.terminal import recommendations_table

    found = store.open_release(releases, release)
    recommender = live.load(found, places.state_of(releases))
    user = recommender.data.users.external([0])[0] if user is None else user
    (slate,) = recommender.recommend([Request(user, tuple(session or ()), store=shop, n=n)])
    if as_json:
        items = [
            {"item_id": each.item, "title": each.title, "score": each.score, "probability": each.probability, "reasons": each.reasons}
            for each in slate.items
        ]
        print_json({"user": user, "items": items, "fallback": slate.fallback, "release": found.id})
        return
    Console().print(recommendations_table(user, slate.items))
    if slate.fallback is not None:
        Console(stderr=True, soft_wrap=True).print(f"[yellow]{slate.fallback}[/]")


@app.command(epilog="Examples:  cortex-rec score --n 20 --output lists    cortex-rec score --users newsletter.csv --explain")
def score(
    output: Annotated[str, typer.Option("--output", "-o", help="The folder that gets one of the release's id.")] = "lists",
    n: Annotated[int, typer.Option("--n", min=1, max=1000, help="How many items a user.")] = 20,
    users: Annotated[Path | None, typer.Option(help="CSV or Parquet with a column user_id, or .txt; everybody when absent.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Give each item's reasons, too.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="How many cores; each process holds the release.")] = 2,
    engine: Annotated[str, typer.Option(help="local, or dask: on the workers of a cluster.")] = "local",
    scheduler: Annotated[str | None, typer.Option(help="The cluster's tcp://host:port; workers of this machine when absent.")] = None,
    release: ReleaseId = PRODUCTION,
    releases: ReleasesPlace = DEFAULT_RELEASES,
    as_json: AsJson = False,
) -> None:
    """Make the lists of all users as Parquet files. A stopped run goes on where it was."""
    from flows.run import run_score_batch

    named = None if users is None else str(users)
    where: dict[str, Any] = {"processes": processes, "engine": engine, "scheduler": scheduler}
    told = run_score_batch(releases=releases, release=release, output=output, n=n, users=named, explain=explain, **where)
    if as_json:
        print_json(told)
    else:
        rate = f"{told['users_per_second']:g} users a second, {told['peak_rss_mb']:,} MiB a process"
        Console(soft_wrap=True, highlight=False).print(f"{told['users']:,} lists in {told['folder']}: {rate}.", markup=False)


@app.command(epilog="Example:  cortex-rec report --json | jq '.metrics[\"ndcg@10\"]'")
def report(release: ReleaseId = PRODUCTION, releases: ReleasesPlace = DEFAULT_RELEASES, as_json: AsJson = False) -> None:
    """Show a release's evaluation."""
    from cortex_rec.releases import store

    _show_report(store.open_release(releases, release, check=False), as_json)


@app.command(epilog="Examples:  cortex-rec compare production candidate   cortex-rec compare today.yaml tomorrow.yaml --json")
def compare(
    first: Annotated[str, typer.Argument(help="A release's id, a channel, or a YAML file, which is then trained and judged.")],
    second: Annotated[str, typer.Argument(help="The same; the difference is the second less the first.")],
    releases: ReleasesPlace = DEFAULT_RELEASES,
    as_json: AsJson = False,
) -> None:
    """Compare two releases or configurations user by user, with paired intervals by slice."""
    from cortex_rec.evaluation import compare as comparison

    rows = comparison.compare(*(comparison.read(_evaluation(given, releases)) for given in (first, second)))
    if as_json:
        print_json({"first": first, "second": second, "rows": rows})
    else:
        from cortex_rec.terminal import comparison_table

        Console().print(comparison_table(rows))


@app.command(epilog="Example:  cortex-rec drift configs/my_shop.yaml --day 2018-01-31 --json | jq '.alarms'")
def drift(
    config: ConfigPath = DEFAULT_CONFIG,
    day: Annotated[str | None, typer.Option(help="The day, YYYY-MM-DD; yesterday by the shop's clock when absent.")] = None,
    release: ReleaseId = PRODUCTION,
    exposures: Annotated[str | None, typer.Option(help="The service's log of answers; CORTEX_REC_EXPOSURES when absent.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Where the page goes, instead of the YAML's.")] = None,
    releases: Annotated[str | None, typer.Option(help="Where the release is, instead of the YAML's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a day with the weeks that a release learned from. An alarm is an answer, not a failure: the exit code stays 0."""
    from cortex_rec.monitoring.verdict import Verdict
    from flows.run import run_drift

    overrides = _given(workspace=workspace, releases=releases)
    folder = run_drift(config, overrides, release=release, exposures=exposures, day=day)
    verdict = Verdict.load(folder / "drift.json")
    if as_json:
        print_json(verdict.to_dict())
        return
    from cortex_rec.monitoring.terminal import drift_table

    console = Console(soft_wrap=True)
    console.print(drift_table(verdict))
    console.print(verdict.told(), markup=False)
    console.print(f"Page: {folder / 'drift.html'}")


@app.command(epilog="Example:  cortex-rec serve --port 8080")
def serve(
    port: Annotated[int, typer.Option(help="Where to listen.")] = 3000,
    host: Annotated[str, typer.Option(help="Which address to listen on.")] = "127.0.0.1",
    releases: ReleasesPlace = DEFAULT_RELEASES,
) -> None:
    """Serve the release in production over HTTP until Ctrl-C."""
    from cortex_rec.releases import places, store

    store.verify(releases, os.environ.get("CORTEX_REC_RELEASE") or PRODUCTION)
    environment = os.environ | {"CORTEX_REC_RELEASES": places.absolute(releases), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", "bentos.service:Recommendations", "--host", host, "--port", str(port)]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)  # a child would not hear the SIGTERM that is sent to us


@app.command(epilog="Example:  cortex-rec init orders.csv.gz --output configs/my_shop.yaml")
def init(
    orders: Annotated[Path, typer.Argument(help="Your orders: CSV (.gz too) or Parquet, one row a purchase.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The YAML file to write.")] = Path("my_shop.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a starting YAML from the header of your file."""
    from cortex_rec.starting_config import starting_config

    text = starting_config(orders)
    if output.exists() and not force:
        raise ConfigError(f"{output}: is there already. Choose another --output, or replace it with --force.")
    output.write_text(text, encoding="utf-8")
    Console(soft_wrap=True).print(f"{output} is written. Check its columns, then: cortex-rec train {output}")


app.command("enrich", epilog="Example:  cortex-rec enrich shop.yaml --limit 20 --output feed/enriched.parquet")(cli_enrich.enrich)
app.command(
    "synth", epilog="Example:  cortex-rec synth --events 14000000 --seed 1 --output ten_times && cortex-rec train ten_times/config.yaml"
)(cli_synth.synth)


@app.command()
def version() -> None:
    """Print the library's version."""
    Console().print(__version__)


def _given(**options: str | None) -> dict[str, str]:
    """The options that take the place of the YAML's keys."""
    return {key: value for key, value in options.items() if value is not None}


def _evaluation(given: str, releases: str) -> Path:
    """The folder of a release's evaluation, or of a configuration's after judging it."""
    if given.endswith((".yaml", ".yml")):
        from flows.run import run_evaluate

        return run_evaluate(given)
    from cortex_rec.releases import store

    return store.open_release(releases, given, check=False).path / "report"


def _show_report(release: "Release", as_json: bool, decision: "Decision | None" = None) -> None:
    metrics = release.manifest.metrics
    if as_json:
        promotion = {} if decision is None else {"promotion": decision.to_dict()}
        print_json({"release": release.id} | metrics | release.run() | promotion)
        return
    from cortex_rec.terminal import evaluation_table, promotion_table

    console = Console(soft_wrap=True)
    console.print(evaluation_table(metrics))
    console.print(f"Release {release.id}\nReport  {release.path / 'report' / 'report.html'}")
    if decision is not None:
        if decision.guards:
            console.print(promotion_table(decision.guards))
        console.print(decision.told(), markup=False)


def _show_costs(costs: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(costs)
        return
    from cortex_rec.evaluation.rules_table import tables

    for table in tables(costs):
        Console().print(table)


if __name__ == "__main__":
    main()
