"""The tables' gates."""

import json
from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, run, stage_task


@stage_task(name="check", timeout_seconds=30 * MINUTE)
def check_tables(config: Config, dataset: StageOutput) -> StageOutput:
    """Hold every table to its suite; bad rows go to `<workspace>/quarantine`, too many end the run."""

    def write(folder: Path) -> None:
        from cortex_rec.dataset import Dataset
        from tasks.gates import check_dataset

        clean, results = check_dataset(
            Dataset.load(dataset.path), allowance=config.quality.max_bad_rows, quarantine=Path(config.workspace) / "quarantine"
        )
        clean.save(folder)
        (folder / "gates.json").write_text(json.dumps(results, indent=1), encoding="utf-8")

    return run(config, "check", {"dataset": dataset}, config.quality.model_dump(mode="json"), __name__, write)
