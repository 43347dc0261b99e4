"""What the ranker learns from."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, Report, run, stage_task


@stage_task(name="lists", task_run_name="lists {window}", timeout_seconds=120 * MINUTE)
def build_lists(
    config: Config, encoded: StageOutput, snapshot: StageOutput, window: tuple[int, int], parts: Sequence[StageOutput] = ()
) -> StageOutput:
    """Candidates of the retrievers as of the window's start, their features then, and what was bought in it.

    What `build_part` made of the whole window's users is joined, where it is given: the same, bit by bit.
    """
    from cortex_rec.splits import Window

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.encoding import Encoded
        from cortex_rec.ranking import training
        from cortex_rec.ranking.training import TrainingLists
        from cortex_rec.retrieval import on_gpu
        from cortex_rec.snapshot import Snapshot

        if parts:
            training.joined([TrainingLists.load(each.path) for each in parts]).save(folder)
        else:
            data = Snapshot.load(snapshot.path), Encoded.load(encoded.path, mapped=True)
            with on_gpu.searching():
                training.build(*data, Window(*window), config).save(folder)

    inputs = {"encoded": encoded, "snapshot": snapshot}
    return run(config, "lists", inputs, _part(config, window), __name__, write, label=Window(*window).title)


@stage_task(name="lists-part", task_run_name="lists {window} blocks {blocks}", timeout_seconds=120 * MINUTE)
def build_part(
    config: Config, encoded: StageOutput, snapshot: StageOutput, window: tuple[int, int], blocks: tuple[int, int]
) -> StageOutput:
    """The lists of some of a window's blocks of users, from the first number to before the second."""
    from cortex_rec.splits import Window

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.encoding import Encoded
        from cortex_rec.ranking import training
        from cortex_rec.retrieval import on_gpu
        from cortex_rec.snapshot import Snapshot

        data = Snapshot.load(snapshot.path), Encoded.load(encoded.path, mapped=True)
        with on_gpu.searching():
            training.build(*data, Window(*window), config, slice(*blocks)).save(folder)

    inputs, part = {"encoded": encoded, "snapshot": snapshot}, {**_part(config, window), "blocks": blocks}
    return run(config, "lists-part", inputs, part, __name__, write, label=Window(*window).title)


def drop_parts(parts: Sequence[StageOutput]) -> None:
    """Free the disk of parts whose lists are there."""
    for part in parts:
        shutil.rmtree(part.path, ignore_errors=True)


def _part(config: Config, window: tuple[int, int]) -> Mapping[str, Any]:
    """What the lists of a window depend on."""
    return {
        "ranking": config.ranking.model_dump(mode="json", include={"negatives"}),
        "retrieval": config.retrieval.model_dump(mode="json"),
        "seed": config.seed,
        "users": config.windows.users,
        "window": window,
    }
