"""The ranker."""

from collections.abc import Sequence
from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks import progress
from tasks.stage import GATES, MINUTE, Report, quarantine, run, save_rules, stage_task


@stage_task(name="ranker", timeout_seconds=120 * MINUTE)
def fit_ranker(config: Config, lists: Sequence[StageOutput]) -> StageOutput:
    """Fit the configured ranker on the lists of all training windows, and calibrate it."""

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.ranking import rankers, training
        from cortex_rec.ranking.training import TrainingLists
        from tasks.stage_gates import check_features, left_out

        windows = [TrainingLists.load(each.path) for each in lists]
        kept = training.informative(windows)
        every = training.named(windows)
        absent = [name for name in every if name not in kept]
        gate = check_features(windows, kept, quarantine=quarantine(config))
        save_rules(folder, [*gate.rules, left_out(absent, rows=len(every))])
        if absent:
            progress.note(f"{len(absent)} of {len(every)} features hardly vary here and are left out: see {GATES}")
        rankers.fit(windows, config).save(folder)

    part = {"ranker": config.ranker, "ranking": config.ranking.model_dump(mode="json"), "seed": config.seed, "threads": config.threads}
    return run(config, "ranker", {f"lists {i}": each for i, each in enumerate(lists)}, part, __name__, write, suites=["features"])
