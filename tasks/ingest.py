"""From the source's files to four tables."""

from pathlib import Path
from typing import Any

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, Report, run, stage_task


def passing_trouble(task: Any, run: Any, state: Any) -> bool:
    """Whether a second try may end better: a disk or share that did not answer, not a file with wrong content."""
    error = state.result(raise_on_failure=False)
    return any(isinstance(cause, TimeoutError | ConnectionError | BlockingIOError) for cause in (error, getattr(error, "__cause__", None)))


@stage_task(name="ingest", timeout_seconds=60 * MINUTE, retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=passing_trouble)
def ingest(config: Config) -> StageOutput:
    """Read the source into one dataset."""
    from cortex_rec.sources.fingerprint import fingerprint

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.sources import read

        read(config.source, config.windows).save(folder)

    part = {"source": config.source.model_dump(mode="json"), "windows": config.windows.model_dump(mode="json")}
    return run(config, "ingest", {}, part, __name__, write, files=fingerprint(config.source))
