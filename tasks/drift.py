"""One day held against the reference of the release in production."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from cortex_rec.config import Config
from tasks import progress
from tasks.stage import MINUTE, ended, stage_task

if TYPE_CHECKING:  # polars and scipy are imported where a day is checked
    from cortex_rec.monitoring.verdict import Verdict

PAGE: Final = "drift.html"
FIGURES: Final = "drift.json"


class Checked(NamedTuple):
    """A day's verdict, the folder with its page and figures, and whether it is an alarm that no earlier check of the day gave."""

    verdict: "Verdict"
    folder: Path
    news: bool


@stage_task(name="drift", timeout_seconds=30 * MINUTE)
def check_day(config: Config, release: str, exposures: str | None, day: int, *, at: float, textfiles: str | None) -> Checked:
    """Judge a day and write page, figures and gauges; a day may be judged again when more of it is known.

    Parameters
    ----------
    release
        Its id, or the channel that points to it.
    exposures
        The folder of the service's log of answers, None where none is kept.
    day
        Its first second, on the shop's own wall clock.
    at
        Now, seconds since 1970.
    textfiles
        The folder that node-exporter reads gauges from; `<workspace>/drift` when absent.
    """
    from cortex_rec import folders
    from cortex_rec.monitoring import gauges, report
    from cortex_rec.monitoring.check import check
    from cortex_rec.monitoring.looking import look
    from cortex_rec.monitoring.reference import Reference
    from cortex_rec.monitoring.verdict import Verdict
    from cortex_rec.releases import live, places, store
    from cortex_rec.splits import day_of

    with progress.line("drift"):
        found = store.open_release(config.releases, release)
        reference = Reference.load(found.path)
        recommender = live.load(found, places.state_of(config.releases))
        seen = look(config, None if exposures is None else Path(exposures), day)
        verdict = check(recommender, reference, seen, config.monitoring, release=found.id, day=day, seed=config.seed)
        home = Path(config.workspace) / "drift"
        folder = home / found.id / day_of(day)
        told = (folder / FIGURES).exists() and Verdict.load(folder / FIGURES).alarm
        with folders.replace_file(folder / PAGE) as page:
            page.write_text(report.render(verdict, reference), encoding="utf-8")
        verdict.save(folder / FIGURES)
        gauges.write(verdict, home if textfiles is None else Path(textfiles), checked_at=at)
    return ended(Checked(verdict, folder, verdict.alarm and not told), cached=False, message=verdict.told())
