"""Which moments the run looks at."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, Report, run, stage_task

WINDOWS = "windows.json"


class Plan(NamedTuple):
    """Moments in seconds since 1970."""

    training: list[tuple[int, int]]
    test: tuple[int, int]
    #: everything is known: the moment from which the release recommends
    end: int


@stage_task(name="windows", timeout_seconds=5 * MINUTE)
def lay_out_windows(config: Config, encoded: StageOutput) -> StageOutput:
    """Lay out the training windows, the test window and the end of the data."""

    def write(folder: Path, report: Report) -> None:
        from cortex_rec import splits
        from cortex_rec.encoding import Encoded

        histories = Encoded.load(encoded.path, mapped=True).histories
        training, test = splits.windows(config.windows, histories)
        splits.check_buyers(histories, [*training, test])
        plan = {"training": [asdict(window) for window in training], "test": asdict(test)}
        (folder / WINDOWS).write_text(json.dumps(plan, indent=1), encoding="utf-8")

    return run(config, "windows", {"encoded": encoded}, config.windows.model_dump(mode="json"), __name__, write)


def read_plan(windows: StageOutput) -> Plan:
    """Read what `lay_out_windows` wrote."""
    plan = json.loads((windows.path / WINDOWS).read_text(encoding="utf-8"))
    test = (plan["test"]["start"], plan["test"]["end"])
    return Plan([(window["start"], window["end"]) for window in plan["training"]], test, test[1])


def users_of(config: Config, encoded: StageOutput, window: tuple[int, int]) -> int:
    """How many users of a training window are learned from."""
    from cortex_rec import splits
    from cortex_rec.encoding import Encoded

    return len(splits.truth(Encoded.load(encoded.path, mapped=True).histories, splits.Window(*window), most=config.windows.users)[0])
