"""From the shop's purchases to a release, as one sentence a line."""

from pathlib import Path
from typing import Any, NamedTuple

from prefect import flow

from cortex_rec.config import Config, load_config
from cortex_rec.evaluation.variants import read as read_variants
from cortex_rec.stages import StageOutput
from flows.alarm import tell_failure
from flows.artifacts import failed_gate_shown, show_stages
from flows.engine import LOCAL, Engine, Pending, training_engine
from flows.promotion import tell_the_end
from tasks.check import check_tables
from tasks.embed import embed_items
from tasks.encode import encode
from tasks.evaluate import evaluate
from tasks.fusion import fuse
from tasks.ingest import ingest
from tasks.promote import promote
from tasks.ranker import fit_ranker
from tasks.reference import keep_reference
from tasks.release import release
from tasks.retrievers import fit_retrievers
from tasks.rules import weigh_rules
from tasks.windows import Plan, lay_out_windows, read_plan


class Learned(NamedTuple):
    """What a release is made of, and the stages that made it."""

    encoded: StageOutput
    content: StageOutput
    fusion: StageOutput
    fits: list[StageOutput]
    ranker: StageOutput
    report: StageOutput
    plan: Plan
    stages: list[StageOutput]


class Seen(NamedTuple):
    """The past, window by window; `fits` has one entry more than `lists`, for the test window."""

    encoded: StageOutput
    content: StageOutput
    fusion: StageOutput
    fits: list[StageOutput]
    lists: list[StageOutput]
    plan: Plan
    stages: list[StageOutput]


@flow(name="train", persist_result=False, on_failure=[tell_failure], on_crashed=[tell_failure])
def train(config_path: str = "configs/complete_journey.yaml", overrides: dict[str, Any] | None = None) -> str:
    """Train, gate, evaluate, release, and promote what is not worse than production.

    Parameters
    ----------
    config_path
        The YAML file that describes the run.
    overrides
        Top-level keys that replace those of the file, for example `workspace`.

    Returns
    -------
    str
        The id of the release, which now is in production, or a candidate where the promotion gate kept it.
    """
    config = load_config(config_path, **(overrides or {}))
    learned = learn(config)
    encoded, ranker, plan, at_test = learned.encoded, learned.ranker, learned.plan, learned.fits[-1]
    at_end = fit_retrievers(config, encoded, learned.fusion, plan.end, at_test)
    reference = keep_reference(config, encoded, learned.fits, ranker, [*plan.training, plan.test], plan.end)
    parts = {"encoded": encoded, "fusion": learned.fusion, "snapshot": at_end, "ranker": ranker, "report": learned.report}
    stages = [*learned.stages, at_end, reference]
    made = release(config, parts | {"reference": reference}, plan.end, stages)
    decision = promote(config, made, encoded, at_test, ranker, plan.test)
    tell_the_end(made, decision, stages, flow="train")
    return made.id


@flow(name="evaluate", persist_result=False)
def evaluate_only(config_path: str = "configs/complete_journey.yaml", overrides: dict[str, Any] | None = None) -> Path:
    """Train and judge the test window; `train` goes on from the same stages. Returns the report's folder."""
    learned = learn(load_config(config_path, **(overrides or {})))
    show_stages(learned.stages)
    return learned.report.path


@flow(name="rules", persist_result=False)
def evaluate_rules(rules_path: str, config_path: str = "configs/complete_journey.yaml", overrides: dict[str, Any] | None = None) -> Path:
    """Train, and judge what the filters and rules of a file cost in the test window. Returns the folder with `rules.json`."""
    config, variants = load_config(config_path, **(overrides or {})), read_variants(Path(rules_path))
    with failed_gate_shown():
        with training_engine(config) as (config, engine):
            seen = look_back(config, engine)
            (ranker,) = engine.results([engine.run(fit_ranker, config, seen.lists)])
        costs = weigh_rules(config, seen.encoded, seen.fits[-1], ranker, seen.plan.test, variants)
    show_stages([*seen.stages, ranker, costs])
    return costs.path


@failed_gate_shown()
def learn(config: Config) -> Learned:
    """Gate the tables, learn from window after window, and judge the test window."""
    with training_engine(config) as (config, engine):
        seen = look_back(config, engine)
        (ranker,) = engine.results([engine.run(fit_ranker, config, seen.lists)])
    report = evaluate(config, seen.encoded, seen.content, seen.fits[-1], ranker, seen.plan.test)
    return Learned(seen.encoded, seen.content, seen.fusion, seen.fits, ranker, report, seen.plan, [*seen.stages, ranker, report])


def look_back(config: Config, engine: Engine = LOCAL) -> Seen:
    """Gate the tables, and see each training window as it would have been served: candidates, features, and what was bought."""
    dataset = ingest(config)
    tables = check_tables(config, dataset)
    encoded = encode(config, tables)
    content = embed_items(config, encoded)
    windows = lay_out_windows(config, encoded)
    plan = read_plan(windows)
    fusion = fuse(config, encoded, content, plan.training[0][0])

    pending: list[Pending] = []
    fit = None
    for window in plan.training:
        fit = engine.run(fit_retrievers, config, encoded, fusion, window[0], fit)
        pending += [fit, engine.lists(config, encoded, fit, window)]
    pending.append(engine.run(fit_retrievers, config, encoded, fusion, plan.test[0], fit))
    made = engine.results(pending)
    fits, lists = made[::2], made[1::2]
    return Seen(encoded, content, fusion, fits, lists, plan, [dataset, tables, encoded, content, windows, fusion, *fits, *lists])
