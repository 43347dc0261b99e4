"""From the shop's purchases to a release, as one sentence a line."""

from prefect import flow

from cortex_rec.config import load_config
from flows.artifacts import show_run
from tasks.check import check_tables
from tasks.embed import embed_text
from tasks.encode import encode
from tasks.evaluate import evaluate
from tasks.ingest import ingest
from tasks.lists import build_lists
from tasks.ranker import fit_ranker
from tasks.release import release
from tasks.retrievers import fit_retrievers
from tasks.windows import lay_out_windows, read_plan


@flow(name="train", persist_result=False)
def train(config_path: str = "configs/complete_journey.yaml", overrides: dict[str, str] | None = None) -> str:
    """Train, gate, evaluate and release.

    Parameters
    ----------
    config_path
        The YAML file that describes the run.
    overrides
        Top-level keys that replace those of the file, for example `workspace`.

    Returns
    -------
    str
        The id of the release, which `latest` now points to.
    """
    config = load_config(config_path, **(overrides or {}))
    dataset = ingest(config)
    tables = check_tables(config, dataset)
    encoded = encode(config, tables)
    text = embed_text(config, encoded)
    windows = lay_out_windows(config, encoded)
    plan = read_plan(windows)

    retrievers, lists, fits = None, [], []
    for window in plan.training:
        retrievers = fit_retrievers(config, encoded, text, window[0], retrievers)
        lists.append(build_lists(config, encoded, retrievers, window))
        fits.append(retrievers)
    ranker = fit_ranker(config, lists)
    at_test = fit_retrievers(config, encoded, text, plan.test[0], retrievers)
    report = evaluate(config, encoded, at_test, ranker, plan.test)
    at_end = fit_retrievers(config, encoded, text, plan.end, at_test)

    stages = [dataset, tables, encoded, text, windows, *fits, *lists, ranker, at_test, report, at_end]
    parts = {"encoded": encoded, "snapshot": at_end, "ranker": ranker, "report": report}
    made = release(config, parts, plan.end, stages)
    show_run(made, stages)
    return made.id
