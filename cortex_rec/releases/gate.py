"""The promotion gate: the release just made against the one in production, on the newest window.

A person who knows better passes it by: `cortex-rec releases promote`. The gate itself never does.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from cortex_rec.config import Config
from cortex_rec.errors import ArtifactError, PromotionConflict
from cortex_rec.recommender import Recommender
from cortex_rec.releases import champion as champions
from cortex_rec.releases import channels, contest, promotion, store
from cortex_rec.releases.channels import PRODUCTION, Pointer
from cortex_rec.releases.promotion import Decision
from cortex_rec.releases.store import Release
from cortex_rec.splits import Window, drawn

#: Who moved the channel, in its log.
BY: Final = "promotion gate"
#: Users whom a refreshed release and the one before it are asked for.
ASKED: Final = 500


@dataclass(frozen=True)
class Challenger:
    """The release just made.

    Parameters
    ----------
    release
        As it is published.
    judged
        What the run judged: the same ranker, with tonight's data and a snapshot as of the start of `window`.
    window
        The newest window of tonight's data.
    """

    release: Release
    judged: Recommender
    window: Window


def settled(root: Path | str, new: str, production: Pointer | None) -> Decision | None:
    """The decision where there is nothing to judge, else None.

    Parameters
    ----------
    root
        The place of the releases.
    new
        The id of the release just made.
    production
        Where the channel points.
    """
    if production is None:
        return Decision(new, None, True, "the first release")
    if production.release == new:
        return Decision(new, new, True, "is in production already")
    leaving = next((move for move in channels.log(root) if move.channel == PRODUCTION and move.former == new), None)
    if leaving is not None and leaving.by != BY:
        when = f"{leaving.at:%Y-%m-%d %H:%M} UTC"
        why = f"{leaving.by} took it out of production at {when} ({leaving.why}), and only a person brings it back"
        return Decision(new, production.release, False, why)
    return None


def carry_out(root: Path | str, decision: Decision, production: Pointer | None, *, at: datetime) -> Decision:
    """Move production where that was decided.

    Parameters
    ----------
    production
        Where the channel pointed when it was decided.
    at
        Now.

    Returns
    -------
    Decision
        Not to promote, when somebody else moved production meanwhile: what was judged is not there any more.
    """
    if not decision.moved:
        return decision
    try:
        channels.move(root, PRODUCTION, decision.challenger, by=BY, why=decision.why, at=at, expected=production)
    except PromotionConflict as error:
        now = channels.read(root, PRODUCTION)
        return replace(decision, champion=None if now is None else now.release, promoted=False, why=str(error))
    return decision


def decide(root: Path | str, production: str, challenger: Challenger, config: Config, *, clock: Callable[[], float]) -> Decision:
    """Judge the challenger against production; nothing is moved.

    Parameters
    ----------
    root
        The place of the releases.
    production
        The id that production points to.
    config
        Its `promotion`, the bootstrap's samples and the seed.
    clock
        Gives seconds, for example `time.perf_counter`.

    Returns
    -------
    Decision
        Not to promote, with the cause, when production cannot be judged by this version of the code.
    """
    new = challenger.release
    try:
        former = store.open_release(root, production)
        released = Recommender.load(former.path, mapped=True)
        at_release = champions.figures(former)
        champion = champions.as_of_window(former, released, challenger.judged.data, challenger.window.start)
    except ArtifactError as error:
        return Decision(new.id, production, False, f"production cannot be judged: {error}")
    judged = challenger.judged
    asked = contest.questions(champion, judged.data, challenger.window, most=config.windows.users, seed=config.seed)
    took = contest.milliseconds([released, Recommender.load(new.path, mapped=True)], asked.users, clock=clock)
    first = contest.performance(champion, asked, took[0], _bytes(former))
    second = contest.performance(judged, asked, took[1], _bytes(new))
    drawn = {"samples": config.evaluation.bootstrap_samples, "seed": config.seed}
    return promotion.decide(new.id, production, promotion.judge(first, second, at_release, config.promotion, **drawn))


def decide_refreshed(production: str, former: Release, refreshed: Release, config: Config, *, clock: Callable[[], float]) -> Decision:
    """Judge a release that has the ranker of another one and newer purchases, by what both show the same users; nothing is moved.

    Parameters
    ----------
    production
        The id that production points to.
    former, refreshed
        The release that the new one was made from, and the new one.

    Raises
    ------
    ArtifactError
        If one of the two cannot be read.
    """
    if production != former.id:
        # Somebody moved it while the night's work went on: what that person chose is not undone.
        return Decision(refreshed.id, production, False, f"it was made from {former.id}, which is not in production any more")
    both = [Recommender.load(each.path, mapped=True) for each in (former, refreshed)]
    data = both[0].data
    buyers = np.flatnonzero(np.diff(data.histories.pointer)).astype(np.int32)
    users = data.users.external(drawn(buyers, ASKED, seed=config.seed))
    took = contest.milliseconds(both, users, clock=clock)
    n_items = max(len(each.data.items) for each in both)
    first, second = (
        contest.unjudged(recommender, users, n_items, milliseconds, _bytes(release))
        for recommender, milliseconds, release in zip(both, took, (former, refreshed), strict=True)
    )
    bootstrap = {"samples": config.evaluation.bootstrap_samples, "seed": config.seed}
    return promotion.decide(refreshed.id, former.id, promotion.judge_refreshed(first, second, config.promotion, **bootstrap))


def _bytes(release: Release) -> int:
    return sum(file.bytes for file in release.manifest.files.values())
