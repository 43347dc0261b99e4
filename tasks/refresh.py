"""The release in production, taken up to the newest purchases: what is learned slowly stays, what is counted is counted anew."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from prefect import task
from prefect.cache_policies import NO_CACHE

from cortex_rec import columns
from cortex_rec.config import Config
from cortex_rec.errors import ConfigError, EmptyTrainingSetError, ReleaseNotFound
from cortex_rec.releases.promotion import Decision
from cortex_rec.releases.store import Release
from cortex_rec.stages import StageOutput
from tasks import progress
from tasks.embed import CONTENT
from tasks.evaluate import FEWEST_CANDIDATES, METRICS
from tasks.fusion import PLACES, keep_places
from tasks.promote import settle
from tasks.stage import MINUTE, Report, quarantine, run, save_rules, stage_task

if TYPE_CHECKING:
    from cortex_rec.recommender import Recommender

#: Settings that a refreshed release has from the one before it: another value of them needs `cortex-rec train`.
LEARNED: Final = ("source", "embeddings", "ranker", "ranking", "retrieval.graph.dimensions")
#: Fewer users than these are better or worse off by chance.
FEWEST_JUDGED: Final = 250


@task(name="open-production", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=10 * MINUTE)
def open_production(config: Config) -> Release:
    """Open the release that is to be refreshed.

    Raises
    ------
    ReleaseNotFound
        If nothing is in production yet.
    ConfigError
        If the configuration asks for other models than those of the release.
    """
    from cortex_rec.releases import store
    from tasks.release import recorded_config

    with progress.line("production"):
        try:
            found = store.open_release(config.releases)
        except ReleaseNotFound as error:
            raise ReleaseNotFound(f"{error} There is nothing to refresh before the first `cortex-rec train`.") from error
        asked, made_with = recorded_config(config), found.manifest.config
        different = [name for name in LEARNED if _setting(asked, name) != _setting(made_with, name)]
        if different:
            raise ConfigError(f"{different[0]}: is not what release {found.id} was made with. Run `cortex-rec train`.")
    return found


def _setting(config: Any, path: str) -> Any:
    """What stands at a path of names with dots between, None where there is nothing."""
    return reduce(lambda section, name: None if section is None else section.get(name), path.split("."), config)


def part_of(release: Release, name: str) -> StageOutput:
    """A folder of a release as if a stage had made it."""
    return StageOutput(name, release.id, release.path / name, release.id, True, 0.0, 0.0)


def newest_moment(config: Config, former: Release, tables: StageOutput) -> int:
    """The moment that the release is taken up to: `windows.end`, or midnight after the newest purchase of the tables.

    Raises
    ------
    EmptyTrainingSetError
        If there is no purchase since the release.
    ConfigError
        If `windows.end` is not after the release's moment.
    """
    from cortex_rec.dataset import Stream
    from cortex_rec.events import learning

    known = former.manifest.data.as_of
    newest = learning.newest(Stream.load(tables.path))
    if newest is None:
        raise EmptyTrainingSetError(
            f"interactions: there is no purchase since {known:%Y-%m-%d}, up to which release {former.id} knows all. "
            "Check that the newest files have come.",
            table="interactions",
        )
    end = config.windows.end or datetime(newest.year, newest.month, newest.day, tzinfo=UTC) + timedelta(days=1)
    if end.replace(tzinfo=None) <= known:
        raise ConfigError(
            f"windows.end: {end:%Y-%m-%d} is not after {known:%Y-%m-%d}, up to which release {former.id} knows all. Leave it out."
        )
    return int(end.replace(tzinfo=UTC).timestamp())


@stage_task(name="follow", timeout_seconds=60 * MINUTE)
def follow(config: Config, former: Release, tables: StageOutput) -> StageOutput:
    """Put the new purchases behind those that the release knows."""
    from cortex_rec.releases import forgotten, places
    from cortex_rec.releases.champion import released_at

    gone = forgotten.read(places.state_of(config.releases))

    def write(folder: Path, report: Report) -> None:
        from cortex_rec import encoding
        from cortex_rec.dataset import Dataset

        known = encoding.Encoded.load(former.path / "encoded", mapped=True)
        encoding.follow(known, released_at(former), Dataset.load(tables.path), folder, without=gone)

    part = {"forgotten": sorted(gone)}
    return run(config, "follow", {"release": part_of(former, "encoded"), "tables": tables}, part, __name__, write)


@stage_task(name="place", timeout_seconds=60 * MINUTE)
def place(config: Config, former: Release, content: StageOutput) -> StageOutput:
    """Place all items by the network of the release."""

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.embeddings.content import Content
        from cortex_rec.embeddings.fusion import Fusion

        keep_places(folder, Fusion.load(former.path / "fusion"), Content.load(content.path / CONTENT), config)

    inputs = {"release": part_of(former, "fusion"), "content": content}
    return run(config, "place", inputs, {}, __name__, write, suites=["embeddings"])


@stage_task(name="refresh", timeout_seconds=120 * MINUTE)
def refresh_retrievers(config: Config, former: Release, encoded: StageOutput, fusion: StageOutput, as_of: int) -> StageOutput:
    """Fit every retriever on what is known now, going on from the release's."""
    from cortex_rec.splits import day_of

    def write(folder: Path, report: Report) -> None:
        from cortex_rec import snapshot
        from cortex_rec.embeddings.placed import Placed
        from cortex_rec.encoding import Encoded

        data, known = (Encoded.load(path, mapped=True) for path in (encoded.path, former.path / "encoded"))
        content = Placed.load(fusion.path / PLACES)
        then = snapshot.Snapshot.load(former.path / "snapshot")
        start = then.restarted(known.users.rows(data.users.ids), known.items.rows(data.items.ids), content.vectors)
        snapshot.fit(data, content, config, as_of=as_of, start=start).save(folder)

    inputs = {"release": part_of(former, "snapshot"), "encoded": encoded, "fusion": fusion}
    part = {"retrieval": config.retrieval.model_dump(mode="json"), "seed": config.seed, "threads": config.threads, "as_of": as_of}
    return run(config, "refresh", inputs, part, __name__, write, label=day_of(as_of))


@stage_task(name="forward", timeout_seconds=60 * MINUTE)
def judge_forward(config: Config, former: Release, tables: StageOutput, as_of: int) -> StageOutput:
    """Judge the release, as it answered, by what was bought since: the gates of every evaluation, on days that nothing has seen."""
    from cortex_rec.releases.champion import released_at
    from cortex_rec.splits import Window, truth

    period = Window(released_at(former), as_of)

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.evaluation.evaluate import evaluate
        from cortex_rec.evaluation.judge import judge
        from tasks.stage_gates import check_candidates, check_metrics

        recommender = _with_what_came(former, tables, folder)
        if len(truth(recommender.data.histories, period, most=1)[0]) == 0:
            progress.note("none of its users bought since, so there is nothing to judge it by")
            save_rules(folder, [])
            (folder / METRICS).write_text(json.dumps({"users": 0}) + "\n", encoding="utf-8")
            return
        judged = judge(recommender, period, most=config.windows.users, seed=config.seed)
        fewest = min(judged.n_items, FEWEST_CANDIDATES)
        gates = check_candidates(judged.ranked, judged.n_items, at_least=fewest, quarantine=quarantine(config)).rules
        metrics = evaluate(judged, config.evaluation, seed=config.seed)
        if len(judged.users) >= FEWEST_JUDGED:
            gates += check_metrics(metrics, quarantine=quarantine(config)).rules
        else:
            progress.note(f"{len(judged.users)} of its users bought since, too few to judge it by ({FEWEST_JUDGED})")
        save_rules(folder, gates)
        (folder / METRICS).write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")

    part = {"evaluation": config.evaluation.model_dump(mode="json"), "seed": config.seed, "users": config.windows.users, "as_of": as_of}
    inputs = {"release": part_of(former, "release"), "tables": tables}
    return run(config, "forward", inputs, part, __name__, write, label=period.title, suites=["candidates", "metrics"])


def told_forward(forward: StageOutput) -> dict[str, float]:
    """How the former release did on the days since, and what the most popular items would have reached."""
    from cortex_rec.evaluation.evaluate import MAIN

    metrics = json.loads((forward.path / METRICS).read_text(encoding="utf-8"))
    if metrics["users"] == 0:
        return {"users": 0}
    told = {MAIN: metrics["metrics"][MAIN], f"popularity {MAIN}": metrics["baselines"]["popularity"][MAIN]}
    return told | {"users": metrics["users"]}


def _with_what_came(former: Release, tables: StageOutput, folder: Path) -> "Recommender":
    """The release with the new purchases, as far as it knows their users and items, behind those that it answers from.

    All of them are written into `folder` and mapped, which lasts when the file is gone.
    """
    from cortex_rec.dataset import Dataset
    from cortex_rec.encoding import Encoded, follow
    from cortex_rec.recommender import Recommender

    recommender, new = Recommender.load(former.path, mapped=True), Dataset.load(tables.path)
    data, bought = recommender.data, new.interactions
    known = bought.filter(bought[columns.USER].is_in(data.users.ids.implode()) & bought[columns.ITEM].is_in(data.items.ids.implode()))
    if known.is_empty():
        return recommender
    listed = new.items.filter(new.items[columns.ITEM].is_in(data.items.ids.implode()))
    with TemporaryDirectory(dir=folder) as place:
        follow(data, recommender.snapshot.as_of, replace(new, interactions=known, items=listed), Path(place))
        histories = Encoded.load(Path(place), mapped=True).histories
    return replace(recommender, data=replace(data, histories=histories))


@stage_task(name="promote-refreshed", timeout_seconds=60 * MINUTE)
def promote_refreshed(config: Config, former: Release, made: Release) -> Decision:
    """Point production to the refreshed release when it shows as much, as quickly, and is not much larger."""
    from cortex_rec.releases import gate

    return settle(config, made, lambda production: gate.decide_refreshed(production, former, made, config, clock=time.perf_counter))
