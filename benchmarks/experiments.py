"""Experiments on simulated shoppers: errors as rare and effects found as often as is said, and what CUPED and interleaving spare.

`make bench NAME=experiments`, or with the release of another place `python -m benchmarks.experiments --releases PLACE`. Shoppers are
fitted to the release's own history; arms are its lists and worse ones, so that the truth is known.
"""

import argparse
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np

from benchmarks.harness import Benchmark
from cortex_rec.arrays import DAY, F64, I64, Array, Bool
from cortex_rec.encoding import Encoded
from cortex_rec.experiments import history
from cortex_rec.experiments.estimates import Estimates, Followed, alone, compare
from cortex_rec.experiments.exploration import propensity
from cortex_rec.experiments.interleaving import team_draft
from cortex_rec.experiments.off_policy import Logged, OffPolicy, estimate
from cortex_rec.experiments.past import past_of
from cortex_rec.experiments.power import plan
from cortex_rec.experiments.sequential import anytime, bounds
from cortex_rec.queries import ask
from cortex_rec.recommender import Recommender
from cortex_rec.releases import store
from cortex_rec.simulation import shoppers
from cortex_rec.simulation.fidelity import fidelity
from cortex_rec.simulation.shopping import EMPTY, Listed, listed, looks, simulate

SEED: Final = 0
DAYS: Final = 28
PLACES: Final = 10
#: Below the list: what exploration draws from.
AMONG: Final = 5
EXPERIMENTS: Final = 1_000
LOGS: Final = 500
#: Of each case with poor overlap, which have no target.
POOR_LOGS: Final = 100
#: Whole runs whose mean is the truth.
TRUTH: Final = 60
#: Pairs of an A/B test and an interleaving, and drafts of a person's list that days draw from.
COMPARED: Final = 60
DRAFTS: Final = 8
#: In a log: answers, and how many of them are one person's.
ANSWERS: Final = 60_000
EACH: Final = 4
NORMAL: Final = 1.959963984540054


T = TypeVar("T")
_CALL: list[Callable[[int], Any]] = []


class World:
    """People with their habits, lists and past."""

    def __init__(self, releases: str, release: str) -> None:
        found = store.open_release(releases, release)
        recommender = Recommender.load(found.path)
        self.data, self.as_of = recommender.data, recommender.snapshot.as_of
        self.n_items = len(self.data.items)
        fitted = shoppers.fit(self.data.histories, self.n_items, self.as_of)
        self.who = np.flatnonzero(fitted.visits > 0)
        self.shoppers = fitted.take(self.who)
        self.before = past_of(self.data.users.external(self.who), self.data, self.as_of)[0]
        self.lists = _lists(recommender, self.who)
        self.appeals = _appeal(self, self.lists)


def main() -> None:
    """Print a table a question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", default="releases")
    parser.add_argument("--release", default="production")
    given = parser.parse_args()
    benchmark = Benchmark("experiments", seed=SEED)
    world = World(given.releases, given.release)
    rows: list[dict[str, Any]] = []
    rows += fit_of(world)
    rows += cuped_on_history(world.data)
    good, worse = world.lists[:, :PLACES], degraded(world.lists, 0.3)
    on = listed(world.shoppers, [good, worse])
    rows += no_difference(world, on)
    rows += planted(world, on)
    rows += interleaved(world, good, worse)
    rows += off_policy(world)
    benchmark.finish(rows, days=DAYS, people=len(world.who), experiments=EXPERIMENTS)


def each(n: int, call: Callable[[int], T]) -> list[T]:
    """Call with 0 to n - 1, on all cores; every call has its own seed."""
    _CALL[:] = [call]
    # Forked: what the call holds need not travel.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
        return list(pool.map(_called, range(n), chunksize=10))


def _called(number: int) -> Any:
    return _CALL[0](number)


def row(question: str, figure: str, value: float, target: str = "", holds: bool | None = None) -> dict[str, Any]:
    """One line of the table; bold when it misses its target."""
    told = "" if holds is None else "yes" if holds else "NO"
    return {"method": f"{question}: {figure}", "default": holds is False, "value": round(float(value), 4), "target": target, "holds": told}


def _lists(recommender: Recommender, who: I64) -> I64:
    """(people, PLACES + AMONG) items, best first."""
    lists, width = np.full((len(who), PLACES + AMONG), EMPTY), 256
    for start in range(0, len(who), width):
        rows = who[start : start + width].astype(np.int32)
        ranked = recommender.rank(ask(recommender.data.histories, rows, recommender.snapshot.as_of, len(recommender.data.items)))
        for i in range(len(rows)):
            own = ranked.lists[i][: PLACES + AMONG]
            lists[start + i, : len(own)] = own
    return lists


def degraded(lists: I64, share: float) -> I64:
    """The same lists for most people; for a share of them with the second half of the list first."""
    worse = lists[:, :PLACES].copy()
    hit = np.random.default_rng(SEED).random(len(lists)) < share
    worse[hit] = np.roll(worse[hit], PLACES // 2, axis=1)
    return worse


def days_in(came: Bool) -> F64:
    """(people, days) days since the first visit, that one included."""
    first = np.where(came.any(axis=1), came.argmax(axis=1), DAYS)
    return np.maximum(0.0, np.arange(1, DAYS + 1)[None, :] - first[:, None])


def fit_of(world: World) -> list[dict[str, Any]]:
    """Weeks that the fit has not seen beside simulated ones."""
    found = fidelity(world.data.histories, world.n_items, world.as_of - DAYS * DAY, DAYS, seed=SEED)
    return [
        {"method": f"four weeks, real and simulated: {name}", "value": round(real, 4), "target": f"{simulated:.4f}"}
        for name, (real, simulated) in found.items()
    ]


def cuped_on_history(data: Encoded) -> list[dict[str, Any]]:
    """How much of the variance of four real weeks the eight before explain."""
    rows = []
    for metric in history.METRICS:
        found = plan(*history.last_days(data, metric, DAYS), effect=0.05)
        rows.append(row("CUPED on the real history", f"people spared, {metric}", found.reduction))
        rows.append(row("real history", f"days for 5 % more {metric}, power 80 % (0: not in {DAYS})", found.needed(0.8) or 0))
        rows.append(row("real history", f"smallest effect found in {DAYS} days, {metric}", found.horizons[-1].detectable))
    return rows


def run(world: World, on: Listed, policy: Array, seed: tuple[int, ...], treated: Bool) -> Estimates:
    """One simulated experiment."""
    bought, came = simulate(world.shoppers, on, policy, DAYS, np.random.default_rng(seed))
    return compare(Followed(bought.cumsum(axis=1), days_in(came), treated, world.before))


def found_by(series: Estimates) -> tuple[bool, bool, bool]:
    """Whether daily looks find a difference: as planned, without an end, and as if each look were the only one."""
    size, error = np.abs(np.nan_to_num(series.difference)), np.sqrt(np.nan_to_num(series.variance, nan=np.inf))
    score = np.divide(size, error, out=np.zeros(len(size)), where=np.isfinite(error))
    width = anytime(series.information, series.information[0] * DAYS)
    return bool((score > bounds(series.information, DAYS).bound).any()), bool((size > width).any()), bool((score > NORMAL).any())


def no_difference(world: World, on: Listed) -> list[dict[str, Any]]:
    """A/A: nobody may win but by the error that is stated."""
    wins = np.sum(each(EXPERIMENTS, partial(_without_difference, world, on)), axis=0)
    share = wins / EXPERIMENTS
    half = NORMAL * np.sqrt(0.05 * 0.95 / EXPERIMENTS)
    target = f"{0.05 - half:.3f} to {0.05 + half:.3f}"
    asked = f"A/A, {EXPERIMENTS} experiments, looked at daily"
    return [
        row(asked, "false positives, planned length", share[0], target, bool(abs(share[0] - 0.05) <= half)),
        row(asked, "false positives, without an end", share[1], "at most 0.05", bool(share[1] <= 0.05)),
        row(asked, "false positives of a plain test", share[2]),
    ]


def _without_difference(world: World, on: Listed, number: int) -> tuple[bool, bool, bool]:
    treated = np.random.default_rng((SEED, 1, number)).random(len(world.who)) < 0.5
    return found_by(run(world, on, np.zeros(len(treated), np.int64), (SEED, 2, number), treated))


def truth(world: World, on: Listed) -> tuple[float, float]:
    """What a person and day of the first policy brings, and how much more one of the second."""
    totals = np.sum(each(TRUTH, partial(_both, world, on)), axis=0)
    rates = totals[:, 0] / totals[:, 1]
    return float(rates[0]), float(rates[1] - rates[0])


def _both(world: World, on: Listed, number: int) -> list[tuple[float, float]]:
    """What everybody brings under each policy, and the days of all."""
    totals = []
    for policy in range(2):
        bought, came = simulate(world.shoppers, on, np.full(len(world.who), policy), DAYS, np.random.default_rng((SEED, 3, number)))
        totals.append((float(bought.sum()), float(days_in(came)[:, -1].sum())))
    return totals


def _with_difference(world: World, on: Listed, number: int) -> tuple[bool, bool]:
    """Whether daily looks find it with what is known from before, and without."""
    treated = np.random.default_rng((SEED, 5, number)).random(len(world.who)) < 0.5
    bought, came = simulate(world.shoppers, on, treated.astype(np.int64), DAYS, np.random.default_rng((SEED, 6, number)))
    value, days = bought.cumsum(axis=1), days_in(came)
    with_past, without = (found_by(compare(Followed(value, days, treated, past)))[0] for past in (world.before, world.before[:, :0]))
    return with_past, without


def planted(world: World, on: Listed) -> list[dict[str, Any]]:
    """A planted difference: the power that is computed from weeks before, and the share of experiments that find it."""
    rate, difference = truth(world, on)
    rows = [row("planted", "true difference, relative", difference / rate)]
    # The weeks before the experiment: everybody is shown the first list.
    bought, came = simulate(world.shoppers, on, np.zeros(len(world.who), np.int64), DAYS, np.random.default_rng((SEED, 4)))
    found = np.mean(each(EXPERIMENTS, partial(_with_difference, world, on)), axis=0)
    for name, past, share in zip(("with CUPED", "without"), (world.before, world.before[:, :0]), found, strict=True):
        computed = plan(bought.cumsum(axis=1), days_in(came), past, effect=abs(difference) / rate)
        power = computed.horizons[-1].power
        rows.append(row(f"planted, {name}", "power computed", power))
        rows.append(row(f"planted, {name}", f"found in {EXPERIMENTS}", share, "within 0.03", bool(abs(share - power) <= 0.03)))
        if past.shape[1]:
            rows.append(row(f"planted, {name}", "people spared by CUPED", computed.reduction))
    return rows


def interleaved(world: World, good: I64, worse: I64) -> list[dict[str, Any]]:
    """How many people A/B and interleaving need for the same difference: by the squares of their z-values with the same people."""
    drafts, credits = [], []
    for number in range(DRAFTS):
        items, credit = np.full_like(good, EMPTY), np.zeros(good.shape)
        for user in range(len(good)):
            one, other = ([str(item) for item in lists[user] if item != EMPTY] for lists in (good, worse))
            drafted, teams = team_draft(one, other, PLACES, "benchmark", f"{number}-{user}")
            items[user, : len(drafted)], credit[user, : len(teams)] = [int(item) for item in drafted], [2 * team - 1 for team in teams]
        drafts.append(items)
        credits.append(credit)
    on, both = listed(world.shoppers, [good, worse]), listed(world.shoppers, drafts, credits)
    scores = np.array(each(COMPARED, partial(_scores, world, on, both)))
    strength = np.abs(scores.mean(axis=0))
    return [
        row("interleaving", "z-value of A/B with CUPED, all people", strength[0]),
        row("interleaving", "z-value of interleaving, all people", strength[1]),
        row("interleaving", "times fewer people than A/B", (strength[1] / strength[0]) ** 2, "above 1", bool(strength[1] > strength[0])),
    ]


def _scores(world: World, on: Listed, both: Listed, number: int) -> tuple[float, float]:
    """The z-values of an A/B test and of an interleaving with the same people."""
    rng = np.random.default_rng((SEED, 7, number))
    treated = rng.random(len(world.who)) < 0.5
    apart = run(world, on, treated.astype(np.int64), (SEED, 8, number), treated)
    # Each day's answer is drafted anew.
    chosen = rng.integers(0, DRAFTS, (len(world.who), DAYS))
    credit, came = simulate(world.shoppers, both, chosen, DAYS, rng)
    together = alone(credit.cumsum(axis=1), days_in(came))
    first, second = (float(found.difference[-1] / np.sqrt(found.variance[-1])) for found in (apart, together))
    return first, second


def off_policy(world: World) -> list[dict[str, Any]]:
    """Intervals of estimates from logged propensities, and the truth."""
    best = world.lists
    swapped = best.copy()
    swapped[:, :4] = best[:, [1, 0, 3, 2]]
    popular = np.tile(np.argsort(-world.shoppers.popularity)[:PLACES], (len(best), 1))
    rows = []
    for name, target, epsilon in (
        ("good overlap", swapped, 1.0),
        ("poor overlap, little chance", swapped, 0.01),
        ("poor overlap, other items", popular, 1.0),
    ):
        good = name == "good overlap"
        logs = LOGS if good else POOR_LOGS
        runs = each(logs, partial(_estimated, world, target[:, :PLACES], epsilon))
        true = _value(world, target[:, :PLACES])
        warned = float(np.mean([bool(each.warnings) for each in runs]))
        rows.append(row(name, f"effective answers of {ANSWERS:,}", np.mean([each.effective for each in runs])))
        rows.append(row(name, "share of logs with a warning", warned, "0" if good else "1", bool(warned == (0.0 if good else 1.0))))
        for at, method in enumerate(("ips", "snips", "dr")):
            values = [each.values[at] for each in runs]
            covered = float(np.mean([value.low <= true <= value.high for value in values]))
            wide = float(np.mean([value.high - value.low for value in values])) / true
            rows.append(
                row(
                    name,
                    f"{method}, intervals of {logs} that hold the truth",
                    covered,
                    "0.92 to 0.98" if good else "",
                    _within(covered) if good else None,
                )
            )
            rows.append(row(name, f"{method}, width over the truth", wide))
    return rows


def _estimated(world: World, target: I64, epsilon: float, number: int) -> OffPolicy:
    return estimate(_log(world, target, epsilon, number))


def _within(covered: float) -> bool:
    return 0.92 <= covered <= 0.98


def _appeal(world: World, shown: I64) -> F64:
    """(people, places) the chance that each shown item is bought when it is looked at, on the first day."""
    habits = world.shoppers
    key, width = habits.owner * world.n_items + habits.item, world.n_items
    wanted = np.arange(len(shown))[:, None] * width + shown
    at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    known = key[at] == wanted
    chance = np.where(known, habits.chance[at] * habits.effect[shoppers.step_of(habits.since[at], habits.gap[at])], 0.0)
    other = habits.novelty[:, None] * habits.popularity[np.maximum(shown, 0)]
    chance = np.minimum(np.where(known, chance, np.where(shown == EMPTY, 0.0, other)), 1.0)
    return chance + (1 - chance) * habits.impulse * chance


def _value(world: World, shown: I64) -> float:
    return float((_appeal(world, shown) * looks(PLACES, world.shoppers.attention)).sum(axis=1).mean())


def _log(world: World, target: I64, epsilon: float, number: int) -> Logged:
    """Answers with one pair of items swapped by chance, a few a person; the same chance as `exploration.explore` has."""
    rng = np.random.default_rng((SEED, 10, number))
    person = np.repeat(rng.integers(0, len(world.who), ANSWERS // EACH), EACH)
    # Two persons with one set of habits are two persons.
    label = np.repeat(np.arange(ANSWERS // EACH), EACH)
    pool, every = PLACES + AMONG, np.arange(ANSWERS)
    rank = np.tile(np.arange(pool), (ANSWERS, 1))
    place = rng.integers(0, PLACES, ANSWERS)
    other = place + 1 + (rng.random(ANSWERS) * (pool - 1 - place)).astype(np.int64)
    hit = rng.random(ANSWERS) < epsilon
    rank[every[hit], place[hit]], rank[every[hit], other[hit]] = other[hit], place[hit]
    rank = rank[:, :PLACES]
    chance = np.array([[propensity(at, of, PLACES, pool, epsilon) for of in range(pool)] for at in range(PLACES)])
    shown = np.take_along_axis(world.lists[person], rank, axis=1)
    look, wanted = looks(PLACES, world.shoppers.attention), target[person]
    reward = rng.random(shown.shape) < world.appeals[person[:, None], rank] * look
    # A rough model of rewards: what an item of a rank brings on average at the first place, times the attention to the place.
    model = world.appeals.mean(axis=0)
    in_pool = (world.lists[:, None, :] == target[:, :, None]) & (target != EMPTY)[:, :, None]
    expected = np.where(in_pool.any(axis=2), model[in_pool.argmax(axis=2)], model[-1])[person] * look
    return Logged(
        label,
        reward.astype(np.float64),
        chance[np.arange(PLACES)[None, :], rank],
        (shown == wanted).astype(np.float64),
        model[rank] * look,
        expected,
    )


if __name__ == "__main__":
    main()
