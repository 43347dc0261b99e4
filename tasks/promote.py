"""The gate between a release and the shoppers."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.releases.promotion import Decision, decision_file
from cortex_rec.releases.store import Release
from cortex_rec.stages import StageOutput
from tasks import progress
from tasks.stage import MINUTE, ended, stage_task


@stage_task(name="promote", timeout_seconds=60 * MINUTE)
def promote(
    config: Config, made: Release, encoded: StageOutput, snapshot: StageOutput, ranker: StageOutput, window: tuple[int, int]
) -> Decision:
    """Point production to the new release when it is not worse than the one there, on the window that the run judged.

    It depends on what production points to, which is no stage's output: it is judged anew unless the release is in production already.
    """
    from cortex_rec.encoding import Encoded
    from cortex_rec.ranking.rankers import Calibrated
    from cortex_rec.recommender import Recommender
    from cortex_rec.releases import gate
    from cortex_rec.releases.gate import Challenger
    from cortex_rec.snapshot import Snapshot
    from cortex_rec.splits import Window

    def judge(production: str) -> Decision:
        parts = Encoded.load(encoded.path, mapped=True), Snapshot.load(snapshot.path), Calibrated.load(ranker.path)
        challenger = Challenger(made, Recommender(*parts, config.exploration.share), Window(*window))
        return gate.decide(config.releases, production, challenger, config, clock=time.perf_counter)

    return settle(config, made, judge)


def settle(config: Config, made: Release, judge: Callable[[str], Decision]) -> Decision:
    """Judge a release against production, unless there is nothing to judge, and move production where that is decided; ends the task.

    Parameters
    ----------
    judge
        Given the id that production points to, decides.
    """
    from cortex_rec.releases import channels, gate

    root = config.releases
    with progress.line("promote") as line:
        production = channels.read(root, channels.PRODUCTION)
        decision = gate.settled(root, made.id, production)
        line.cached = production is not None and production.release == made.id
        if decision is None and production is not None:
            decision = judge(production.release)
        assert decision is not None
        decision = gate.carry_out(root, decision, production, at=datetime.now(UTC))
        decision.save(decision_file(Path(config.workspace), made.id))
    return ended(decision, cached=line.cached, message=f"{'promoted' if decision.promoted else 'kept as a candidate'}: {decision.why}")
