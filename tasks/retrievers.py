"""Retrievers as of a moment."""

from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.fusion import PLACES
from tasks.stage import MINUTE, Report, run, stage_task


@stage_task(name="retrievers", task_run_name="retrievers {as_of}", timeout_seconds=120 * MINUTE)
def fit_retrievers(config: Config, encoded: StageOutput, fusion: StageOutput, as_of: int, start: StageOutput | None) -> StageOutput:
    """Fit every retriever on what was known before `as_of`, going on from the fit of an earlier moment."""
    from cortex_rec.splits import day_of

    def write(folder: Path, report: Report) -> None:
        from cortex_rec import snapshot
        from cortex_rec.embeddings.placed import Placed
        from cortex_rec.encoding import Encoded

        before = None if start is None else snapshot.Snapshot.load(start.path)
        content = Placed.load(fusion.path / PLACES)
        snapshot.fit(Encoded.load(encoded.path, mapped=True), content, config, as_of=as_of, start=before).save(folder)

    inputs = {"encoded": encoded, "fusion": fusion} | ({} if start is None else {"start": start})
    part = {"retrieval": config.retrieval.model_dump(mode="json"), "seed": config.seed, "threads": config.threads, "as_of": as_of}
    return run(config, "retrievers", inputs, part, __name__, write, label=day_of(as_of))
