"""How good the models are on the test window, before a release is made of them."""

import json
from pathlib import Path
from typing import Any, Final

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.embed import CONTENT
from tasks.stage import MINUTE, Report, quarantine, run, save_rules, stage_task

METRICS: Final = "metrics.json"
PAGE: Final = "report.html"
CATALOGUE: Final = "catalogue.html"
#: Fewer candidates than this for anybody is a defect of retrieval.
FEWEST_CANDIDATES: Final = 50


@stage_task(name="evaluate", timeout_seconds=60 * MINUTE)
def evaluate(
    config: Config, encoded: StageOutput, content: StageOutput, snapshot: StageOutput, ranker: StageOutput, window: tuple[int, int]
) -> StageOutput:
    """Judge the test window as the service would answer it, with the baselines in the same table."""
    from cortex_rec.splits import Window

    period = Window(*window)

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.embeddings.content import Content
        from cortex_rec.encoding import Encoded
        from cortex_rec.evaluation import catalogue_page, compare
        from cortex_rec.evaluation.evaluate import evaluate
        from cortex_rec.evaluation.judge import explain, judge, shorten
        from cortex_rec.evaluation.report import render
        from cortex_rec.ranking.rankers import Calibrated
        from cortex_rec.recommender import Recommender
        from cortex_rec.retrieval import on_gpu
        from cortex_rec.snapshot import Snapshot
        from tasks.stage_gates import check_candidates, check_metrics

        data = Encoded.load(encoded.path, mapped=True)
        recommender = Recommender(data, Snapshot.load(snapshot.path), Calibrated.load(ranker.path), config.exploration.share)
        asked: dict[str, Any] = {"seed": config.seed, "most": config.windows.users}
        with on_gpu.searching():
            judged = judge(recommender, period, **asked)
        fewest = min(judged.n_items, FEWEST_CANDIDATES)
        gates = check_candidates(judged.ranked, judged.n_items, at_least=fewest, quarantine=quarantine(config)).rules
        with on_gpu.searching():
            influence, shortened = explain(recommender, period, **asked), shorten(recommender, period, **asked)
        metrics = evaluate(judged, config.evaluation, seed=config.seed, influence=influence, shortened=shortened)
        gates += check_metrics(metrics, quarantine=quarantine(config)).rules
        save_rules(folder, gates)
        (folder / METRICS).write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        compare.per_user(judged, data.users).write_parquet(folder / compare.PER_USER, statistics=False)
        header = {"name": config.name, "test window": period.label, "windows learned from": config.windows.training}
        header |= {"ranker": recommender.ranker.kind, "seed": config.seed}
        (folder / PAGE).write_text(render(metrics, header, catalogue=CATALOGUE), encoding="utf-8")
        items, vectors = data.items.ids.to_list(), judged.item_vectors
        page = catalogue_page.render(data.catalogue, items, Content.load(content.path / CONTENT), vectors, seed=config.seed)
        (folder / CATALOGUE).write_text(page, encoding="utf-8")

    part = {"name": config.name, "evaluation": config.evaluation.model_dump(mode="json"), "seed": config.seed, "window": window}
    part |= {"training": config.windows.training, "users": config.windows.users, "exploration": config.exploration.model_dump(mode="json")}
    inputs = {"encoded": encoded, "content": content, "snapshot": snapshot, "ranker": ranker}
    return run(config, "evaluate", inputs, part, __name__, write, label=period.label, suites=["candidates", "metrics"])
