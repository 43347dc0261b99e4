"""What the ranker learns from."""

from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, Report, run, stage_task


@stage_task(name="lists", task_run_name="lists {window}", timeout_seconds=120 * MINUTE)
def build_lists(config: Config, encoded: StageOutput, snapshot: StageOutput, window: tuple[int, int]) -> StageOutput:
    """Candidates of the retrievers as of the window's start, their features then, and what was bought in it."""
    from cortex_rec.splits import Window

    period = Window(*window)

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.encoding import Encoded
        from cortex_rec.ranking import training
        from cortex_rec.snapshot import Snapshot

        training.build(Snapshot.load(snapshot.path), Encoded.load(encoded.path), period, config).save(folder)

    part = {
        "ranking": config.ranking.model_dump(mode="json", include={"negatives"}),
        "retrieval": config.retrieval.model_dump(mode="json"),
        "seed": config.seed,
        "users": config.windows.users,
        "window": window,
    }
    return run(config, "lists", {"encoded": encoded, "snapshot": snapshot}, part, __name__, write, label=period.title)
