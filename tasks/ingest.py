"""From the source's files to four tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex_rec import columns
from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks import progress
from tasks.stage import MINUTE, Report, run, stage_task

if TYPE_CHECKING:  # polars is imported where a stage runs, not where it is found unchanged
    import polars as pl


def passing_trouble(task: Any, run: Any, state: Any) -> bool:
    """Whether a second try may end better: a disk or share that did not answer, not a file with wrong content."""
    error = state.result(raise_on_failure=False)
    return any(isinstance(cause, TimeoutError | ConnectionError | BlockingIOError) for cause in (error, getattr(error, "__cause__", None)))


def _tell(items: "pl.DataFrame") -> None:
    """Say how many items lack what others have."""
    for column, what in ((columns.TITLE, "title"), (columns.DESCRIPTION, "description"), (columns.IMAGE, "picture")):
        lacking = items[column].null_count() if column in items.columns else 0
        if lacking:
            progress.note(f"{lacking:,} of {items.height:,} items have no {what}")


@stage_task(name="ingest", timeout_seconds=60 * MINUTE, retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=passing_trouble)
def ingest(config: Config) -> StageOutput:
    """Read the source into one dataset."""
    from cortex_rec.sources.fingerprint import fingerprint

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.sources import read

        dataset = read(config.source, config.windows)
        _tell(dataset.items)
        dataset.save(folder)

    part = {"source": config.source.model_dump(mode="json"), "windows": config.windows.model_dump(mode="json")}
    return run(config, "ingest", {}, part, __name__, write, files=fingerprint(config.source))
