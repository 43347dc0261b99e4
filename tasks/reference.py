"""What days to come will be compared with."""

from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, Report, run, stage_task


@stage_task(name="reference", timeout_seconds=60 * MINUTE)
def keep_reference(
    config: Config, encoded: StageOutput, fits: list[StageOutput], ranker: StageOutput, windows: list[tuple[int, int]], as_of: int
) -> StageOutput:
    """Profile the days of the weeks before the release's moment, and the answers in the windows that each fit begins."""

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.encoding import Encoded
        from cortex_rec.monitoring import reference
        from cortex_rec.ranking.rankers import Calibrated
        from cortex_rec.recommender import Recommender
        from cortex_rec.snapshot import Snapshot
        from cortex_rec.splits import Window

        data, model = Encoded.load(encoded.path, mapped=True), Calibrated.load(ranker.path)
        periods = [Window(*window) for window in windows]
        content = Snapshot.load(fits[-1].path).content
        bought = reference.of_purchases(data, content, as_of=as_of, weeks=config.monitoring.weeks)
        # One snapshot is in memory at a time.
        answering = (
            (Recommender(data, Snapshot.load(fit.path), model, config.exploration.share), period)
            for fit, period in zip(fits, periods, strict=True)
        )
        answered = reference.of_answers(answering, users=config.monitoring.users, seed=config.seed)
        reference.Reference(bought, answered).save(folder)

    part = {"weeks": config.monitoring.weeks, "users": config.monitoring.users, "seed": config.seed, "as_of": as_of, "windows": windows}
    part |= {"exploration": config.exploration.model_dump(mode="json")}
    inputs = {"encoded": encoded, "ranker": ranker} | {f"fit {number}": fit for number, fit in enumerate(fits)}
    return run(config, "reference", inputs, part, __name__, write)
