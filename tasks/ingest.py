"""From the source's files to four tables."""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cortex_rec import columns
from cortex_rec.config import Config, Events, FilesSource
from cortex_rec.stages import StageOutput
from tasks import progress
from tasks.stage import MINUTE, Report, run, stage_task

if TYPE_CHECKING:  # polars is imported where a stage runs, not where it is found unchanged
    from datetime import datetime

    import polars as pl

    from cortex_rec.dataset import Stream

#: The time of the last live purchase that joined, ISO 8601: the source's own gate knows nothing of it.
LIVE_UNTIL: Final = "live_until.txt"


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
def ingest(config: Config, since: "datetime | None" = None, known: StageOutput | None = None) -> StageOutput:
    """Read the source into one dataset: with what was bought since, by the live events, and without who asked to be forgotten.

    With `since`, of the purchases only those of this moment or later; then `known` is what was encoded of those before.
    """
    from cortex_rec.releases import forgotten, places
    from cortex_rec.sources.fingerprint import fingerprint

    gone = forgotten.read(places.state_of(config.releases))
    live = None if config.events is None else _live(config.events, since)

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.events import learning
        from cortex_rec.sources import stream

        dataset = learning.without(stream(config.source, config.windows, since=since), gone)
        _tell(dataset.rest.items)
        if config.events is not None and live is not None:
            dataset = _joined(dataset, live, config, config.events, known, folder)
        dataset.save(folder)

    part: dict[str, Any] = {
        "source": config.source.model_dump(mode="json"),
        "windows": config.windows.model_dump(mode="json", exclude={"users"}),
    }
    part |= {} if since is None else {"since": since.isoformat()}
    files = fingerprint(config.source)
    if gone:
        files["forgotten"] = hashlib.sha256("\n".join(sorted(gone)).encode()).hexdigest()
    if live is not None:
        files["events"] = hashlib.sha256(live.write_csv().encode()).hexdigest()
    return run(config, "ingest", {} if known is None else {"known": known}, part, __name__, write, files=files)


def _live(section: Events, since: "datetime | None") -> "pl.DataFrame":
    """All live purchases of this moment: read once, so that the stage's key and what it learns from are of the same."""
    from cortex_rec import events
    from cortex_rec.events.learning import purchases

    with closing(events.open(section.store)) as store:
        bought = purchases(store)
    return bought if since is None else bought.filter(bought[columns.TIMESTAMP] >= since)


def _joined(dataset: "Stream", live: "pl.DataFrame", config: Config, section: Events, known: StageOutput | None, folder: Path) -> "Stream":
    """The dataset with the live purchases; events that are too old to be of use are removed from their store."""
    from cortex_rec import events
    from cortex_rec.events import learning
    from cortex_rec.ids import IdMap
    from cortex_rec.sources.known_by import known_by

    # A line that is dated to come, which the gate sets aside, is later than any live purchase and must not keep them out.
    last = learning.newest(dataset, before=known_by(config.source))
    items = None
    if known is not None and isinstance(config.source, FilesSource) and config.source.items is None:
        items = IdMap.load(known.path / "items.parquet").ids
    longer, added, unlisted = learning.join(dataset, live, last, known=items)
    progress.note(
        f"{added.height:,} live purchases joined the source's" + (f", {unlisted:,} of unlisted items did not" if unlisted else "")
    )
    if added.height:
        (folder / LIVE_UNTIL).write_text(str(added[columns.TIMESTAMP].max()), encoding="utf-8")
    with closing(events.open(section.store)) as store:
        learning.keep(store, last, section.keep_days)
    return longer
