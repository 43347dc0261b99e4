"""From questions to what is shown: which release answers whom, what chance changes, and the record of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from bentos.arms import Arms
from bentos.current import Current
from bentos.desk import Desk
from bentos.people import on_the_clock
from cortex_rec.events.exposures import Exposure
from cortex_rec.experiments.exploration import explore
from cortex_rec.experiments.interleaving import team_draft
from cortex_rec.requests import Request, Rules, Slate


@dataclass(frozen=True)
class Assignment:
    """The experiment and the arm that an answer is part of."""

    experiment: str
    arm: str


@dataclass(frozen=True)
class Shown:
    """An answer, and how it came about; without propensities chance had no part in it."""

    slate: Slate
    release: str
    impression: str
    assigned: Assignment | None = None
    propensities: tuple[float, ...] = ()
    teams: tuple[str, ...] = ()


async def show(desk: Desk, requests: Sequence[Request]) -> list[Shown]:
    """Answer requests, each from the release that is its user's, and keep what was shown."""
    answered: list[Shown | None] = [None] * len(requests)
    turns: dict[str | None, list[int]] = {}
    for i, request in enumerate(requests):
        turns.setdefault(_label(desk.arms, request), []).append(i)

    async def take(label: str | None, mine: list[int]) -> None:
        for i, shown in zip(mine, await _turn(desk, label, [requests[i] for i in mine]), strict=True):
            answered[i] = shown

    await asyncio.gather(*(take(label, mine) for label, mine in turns.items()))
    shown = [each for each in answered if each is not None]
    for request, each in zip(requests, shown, strict=True):
        desk.metrics.answered(request, each.slate)
        if each.assigned is not None:
            desk.metrics.assigned(each.assigned.experiment, each.assigned.arm, each.release)
    if desk.exposures is not None:
        now = on_the_clock(desk.clock(desk.settings.zone), desk.settings.zone)
        desk.exposures.append([_exposure(request, each, now) for request, each in zip(requests, shown, strict=True)])
    return shown


def _label(arms: Arms | None, request: Request) -> str | None:
    """The arm of a request. Rules hold for the list of one ranking: with rules nothing is interleaved."""
    if arms is None or (arms.experiment.kind == "interleaving" and request.rules != Rules()):
        return None
    return arms.experiment.label_of(request.user)


async def _turn(desk: Desk, label: str | None, requests: Sequence[Request]) -> list[Shown]:
    """Answers of one arm, or of none."""
    if desk.arms is None or label is None:
        return [Shown(slate, release, uuid4().hex) for slate, release in await _computed(desk, desk.current, requests)]
    arms, experiment = desk.arms, desk.arms.experiment
    assigned = Assignment(experiment.name, label)
    if experiment.kind == "interleaving":
        first, second = await asyncio.gather(*(_computed(desk, current, requests) for current in arms.currents.values()))
        return [_drafted(arms, assigned, *both) for both in zip(first, second, strict=True)]
    answered = await _computed(desk, arms.currents[label], [_wider(arms, request) for request in requests])
    return [_explored(arms, assigned, request, *each) for request, each in zip(requests, answered, strict=True)]


async def _computed(desk: Desk, current: Current, requests: Sequence[Request]) -> list[tuple[Slate, str]]:
    loaded = current.loaded
    computed = await desk.kernel.recommend(loaded.recommender, requests)
    if desk.traces is not None:
        desk.traces.released(loaded.release.id)
        desk.traces.computed(computed)
    return [(slate, loaded.release.id) for slate in computed.slates]


def _explores(arms: Arms, request: Request) -> bool:
    """Rules are promises, and a trace tells of the ranking itself: chance leaves both alone."""
    return arms.experiment.exploration is not None and request.rules == Rules() and not request.trace


def _wider(arms: Arms, request: Request) -> Request:
    """The request with places for what may be drawn from below the list."""
    exploration = arms.experiment.exploration
    if exploration is None or not _explores(arms, request):
        return request
    return replace(request, n=request.n + exploration.among)


def _explored(arms: Arms, assigned: Assignment, request: Request, slate: Slate, release: str) -> Shown:
    exploration, impression = arms.experiment.exploration, uuid4().hex
    if exploration is None or not _explores(arms, request):
        return Shown(slate, release, impression, assigned)
    explored = explore(request.n, len(slate.items), exploration, arms.experiment.salt, impression)
    chosen = tuple(slate.items[rank] for rank in explored.ranks)
    return Shown(replace(slate, items=chosen), release, impression, assigned, explored.propensities)


def _drafted(arms: Arms, assigned: Assignment, first: tuple[Slate, str], second: tuple[Slate, str]) -> Shown:
    """One list that both arms have drafted in turns."""
    (one, one_release), (other, other_release) = first, second
    impression, n = uuid4().hex, max(len(one.items), len(other.items))
    by_item = [{each.item: each for each in slate.items} for slate in (one, other)]
    items, teams = team_draft(list(by_item[0]), list(by_item[1]), n, arms.experiment.salt, impression)
    names = [arm.name for arm in arms.experiment.arms]
    slate = Slate(
        tuple(by_item[team][item] for item, team in zip(items, teams, strict=True)),
        one.fallback if one.fallback == other.fallback else one.fallback and other.fallback,
        tuple(dict.fromkeys(one.degraded + other.degraded)),
        max(one.widened, other.widened),
        None if one.trace is None else {names[0]: one.trace, names[1]: other.trace},
    )
    return Shown(slate, f"{one_release}+{other_release}", impression, assigned, teams=tuple(names[team] for team in teams))


def _exposure(request: Request, shown: Shown, now: int) -> Exposure:
    items = shown.slate.items
    return Exposure(
        impression=shown.impression,
        time=now,
        user=request.user or "",
        store=request.store or "",
        release=shown.release,
        experiment="" if shown.assigned is None else shown.assigned.experiment,
        arm="" if shown.assigned is None else shown.assigned.arm,
        items=tuple(each.item for each in items),
        scores=tuple(each.score for each in items),
        probabilities=tuple(each.probability for each in items),
        propensities=shown.propensities or (1.0,) * len(items),
        retrievers=tuple(each.retrievers for each in items),
        teams=shown.teams,
        fallback=shown.slate.fallback or "",
    )
