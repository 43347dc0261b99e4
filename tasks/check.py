"""The tables' gates."""

from datetime import datetime
from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.ingest import LIVE_UNTIL
from tasks.stage import MINUTE, Report, quarantine, run, save_rules, stage_task


@stage_task(name="check", timeout_seconds=30 * MINUTE)
def check_tables(config: Config, dataset: StageOutput, *, whole: bool = True) -> StageOutput:
    """Hold every table to its suite; bad rows go to `<workspace>/quarantine`, too many end the run.

    `whole` is false for a night's purchases: they don't tell whether the catalogue's items are bought at all.
    """

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.dataset import Stream
        from cortex_rec.sources.known_by import known_by
        from tasks.table_gates import check_dataset

        clean, rules = check_dataset(
            Stream.load(dataset.path),
            now=max([known_by(config.source), *_live_until(dataset.path)]),
            allowance=config.quality.max_bad_rows,
            whole=whole,
            quarantine=quarantine(config),
            data_docs=Path(config.workspace) / "data-docs",
        )
        clean.save(folder)
        save_rules(folder, rules)

    suites = ["interactions", "items", "users", "promotions", "campaigns", "coupons", "attributes"]
    part = config.quality.model_dump(mode="json") | ({} if whole else {"whole": False})
    return run(config, "check", {"dataset": dataset}, part, __name__, write, suites=suites)


def _live_until(dataset: Path) -> list[datetime]:
    """The last live purchase, which the service's clock has seen."""
    told = dataset / LIVE_UNTIL
    return [datetime.fromisoformat(told.read_text(encoding="utf-8"))] if told.exists() else []
