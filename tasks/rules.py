"""What filters and rules cost, judged on the same window and by the same models as the report."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from cortex_rec.config import Config
from cortex_rec.evaluation.variants import Variant
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, Report, run, stage_task

COSTS: Final = "rules.json"


@stage_task(name="rules", timeout_seconds=120 * MINUTE)
def weigh_rules(
    config: Config, encoded: StageOutput, snapshot: StageOutput, ranker: StageOutput, window: tuple[int, int], variants: Sequence[Variant]
) -> StageOutput:
    """Answer the test window plainly and under each variant."""
    from cortex_rec.splits import Window

    period = Window(*window)

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.encoding import Encoded
        from cortex_rec.evaluation.rules import weigh
        from cortex_rec.ranking.rankers import Calibrated
        from cortex_rec.recommender import Recommender
        from cortex_rec.snapshot import Snapshot

        parts = Encoded.load(encoded.path, mapped=True), Snapshot.load(snapshot.path), Calibrated.load(ranker.path)
        recommender = Recommender(*parts, config.exploration.share)
        costs = weigh(recommender, period, variants, config.evaluation, seed=config.seed, report=report, most=config.windows.users)
        (folder / COSTS).write_text(json.dumps(costs, indent=1) + "\n", encoding="utf-8")

    asked = [{"name": one.name, "filters": asdict(one.filters), "rules": asdict(one.rules)} for one in variants]
    part = {"variants": asked, "evaluation": config.evaluation.model_dump(mode="json"), "seed": config.seed, "window": window}
    part |= {"users": config.windows.users, "exploration": config.exploration.model_dump(mode="json")}
    return run(config, "rules", {"encoded": encoded, "snapshot": snapshot, "ranker": ranker}, part, __name__, write, label=period.label)
