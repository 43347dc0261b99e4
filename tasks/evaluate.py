"""How good the models are on the test window, before a release is made of them."""

from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, Report, run, stage_task


@stage_task(name="evaluate", timeout_seconds=60 * MINUTE)
def evaluate(config: Config, encoded: StageOutput, snapshot: StageOutput, ranker: StageOutput, window: tuple[int, int]) -> StageOutput:
    """Judge the test window as the service would answer it, with the baselines in the same table."""
    from cortex_rec.splits import Window

    period = Window(*window)

    def write(folder: Path, report: Report) -> None:
        raise NotImplementedError

    part = {"evaluation": config.evaluation.model_dump(mode="json"), "seed": config.seed, "window": window}
    return run(config, "evaluate", {"encoded": encoded, "snapshot": snapshot, "ranker": ranker}, part, __name__, write, label=period.label)
