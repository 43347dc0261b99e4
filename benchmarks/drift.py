"""Drift on the grocery chain's year: alarms on ordinary days, and planted faults with the delay until each is seen.

A release a week, made of what was known before its Monday, is held against each day of its week, as a shop that trains at least weekly
would. Settings were chosen on the weeks from 10 July to 10 September (`--weeks 27 36`); what is reported are the 16 weeks from then on.
The release of `make demo` lends its content vectors and its ranker, which has learned from weeks after 13 November only: answers and
requests are judged in three weeks long before these.

`make bench NAME=drift`
"""

import argparse
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks import drift_faults as faults
from benchmarks.drift_requests import simulate
from benchmarks.harness import CONFIG, OUT, ROOT, Benchmark
from cortex_rec import columns, snapshot, sources
from cortex_rec.arrays import DAY
from cortex_rec.config import Config, load_config
from cortex_rec.embeddings.placed import Placed
from cortex_rec.encoding import Encoded
from cortex_rec.features import statistics as item_statistics
from cortex_rec.monitoring import answers, purchases
from cortex_rec.monitoring.check import Seen, check, truth_of
from cortex_rec.monitoring.known import Known
from cortex_rec.monitoring.raw import WEEK, Raw
from cortex_rec.monitoring.reference import Kept, Reference
from cortex_rec.monitoring.verdict import Verdict
from cortex_rec.recommender import Recommender
from cortex_rec.releases import store
from cortex_rec.splits import day_of
from flows.run import run_train

#: The first Monday with a whole week, seconds since 1970; weeks are counted from it.
FIRST: Final = 1_483_315_200
#: Weeks that are reported, and those of them whose answers and requests are judged too.
REPORTED: Final = (36, 52)
ANSWERED: Final = (37, 40)
#: Windows of answers that a reference has, as a run with the default `windows.training` keeps them.
WINDOWS: Final = 7
#: The weeks of Thanksgiving, of Christmas Eve and of Christmas, when the chain shuts: not ordinary, and reported apart.
HOLIDAYS: Final = frozenset({46, 50, 51})
#: Days on which faults begin: every fifth of the answered weeks, so that weekdays differ.
FAULTY: Final = tuple(FIRST + ANSWERED[0] * WEEK + 5 * number * DAY for number in range(4))
#: Days that a fault may go on until it is given up.
PATIENCE: Final = 4


@dataclass(frozen=True)
class Made:
    """A release of a week, and what a check of its days needs."""

    recommender: Recommender
    reference: Reference
    truth: Known


@dataclass(frozen=True)
class Shop:
    """The year, and what was seen of each of its days by a release of the day's week."""

    config: Config
    base: Recommender
    bought: pl.DataFrame
    items: pl.DataFrame
    purchases: list[tuple[int, int, Raw]]
    answers: list[tuple[int, int, Raw]]
    snapshots: dict[int, snapshot.Snapshot]
    exposures: pl.DataFrame
    events: pl.DataFrame

    def release(self, week: int) -> "Made":
        """What would have been served from the Monday of a week on, its reference, and what the purchases before say."""
        start, data = FIRST + week * WEEK, self.base.data
        if week in self.snapshots:
            fitted = self.snapshots[week]
        else:
            before = data.histories.before(start)
            codes = data.catalogue.codes[columns.SUBCATEGORY]
            fresh = item_statistics.fit(before, codes, len(data.items), len(data.stores), as_of=start)
            fitted = replace(self.base.snapshot, as_of=start, statistics=fresh)
        weeks = self.config.monitoring.weeks
        bought = Kept.of([day for day in self.purchases if week - weeks <= day[1] < week])
        answered = Kept.of([day for day in self.answers if week - WINDOWS <= day[1] < week and week in self.snapshots])
        truth = truth_of(self.bought, data, start)
        assert truth is not None
        return Made(replace(self.base, data=_known(data, start), snapshot=fitted), Reference(bought, answered), truth)

    def seen(self, day: int, *, requests: bool) -> Seen:
        """What the shop tells up to the end of a day; of the time before, as much as faults look at, since the truth is summed up."""
        moment = pl.col(columns.TIMESTAMP).dt.epoch("s")
        bought = self.bought.filter((moment < day + DAY) & (moment >= day - 40 * DAY))
        if not requests:
            return Seen(bought, self.items)
        shown, events = (frame.filter(pl.col("time") < day + DAY) for frame in (self.exposures, self.events))
        return Seen(bought, self.items, shown, events)


def main(weeks: tuple[int, int], releases: Path, *, answering: bool = True) -> None:
    """Judge every day of the weeks, then plant each fault on several days of them."""
    config = load_config(CONFIG)
    benchmark = Benchmark("drift", seed=config.seed)
    answered = (max(ANSWERED[0], weeks[0]), min(ANSWERED[1], weeks[1])) if weeks == REPORTED else (weeks[1] - 2, weeks[1])
    answered = answered if answering else (weeks[1], weeks[1])
    faulty = FAULTY if weeks == REPORTED else tuple(FIRST + (weeks[1] - 2) * WEEK + 5 * number * DAY for number in range(2))
    shop, read_seconds = prepare(config, releases, answered)
    ordinary, seconds, found = [], [], []
    for week in range(*weeks):
        made = shop.release(week)
        for day in range(FIRST + week * WEEK, FIRST + (week + 1) * WEEK, DAY):
            start = time.perf_counter()
            verdict = run(shop, made, day)
            seconds.append(time.perf_counter() - start)
            ordinary.append((week, verdict))
            print(_line(week, verdict), flush=True)
        for day in (each for each in faulty if (each - FIRST) // WEEK == week):
            found += [plant(shop, name, fault, day, made) for name, fault in faults_of(week in shop.snapshots).items()]
    finish(benchmark, shop, ordinary, found, seconds, read_seconds)


def faults_of(answered: bool) -> dict[str, faults.Fault]:
    """The faults that can be seen."""
    return faults.OF_PURCHASES | (faults.OF_ANSWERS | faults.OF_REQUESTS if answered else {})


def run(shop: Shop, made: Made, day: int, fault: faults.Fault | None = None, first: int = 0) -> Verdict:
    """One check, with a fault that began some days before, or without."""
    recommender, reference = made.recommender, made.reference
    given = faults.Day(shop.seen(day, requests=bool(len(reference.answers.days))), recommender, first)
    given = given if fault is None else fault(given)
    named, seed = str(recommender.snapshot.as_of), shop.config.seed
    return check(given.recommender, reference, given.seen, shop.config.monitoring, release=named, day=day, seed=seed, truth=made.truth)


def plant(shop: Shop, name: str, fault: faults.Fault, first: int, made: Made) -> dict[str, Any]:
    """Plant a fault on a day and look on, day by day, until there is an alarm; the release stays as it is meanwhile."""
    for days in range(1, PATIENCE + 1):
        verdict = run(shop, made, first + (days - 1) * DAY, fault, first)
        if verdict.alarm:
            break
    told = verdict.alarms[0] if verdict.alarm else None
    row = {"fault": name, "day": day_of(first), "delay": days if verdict.alarm else None}
    row |= {"seen_by": "" if told is None else f"{told.part}: {told.name}", "p": None if told is None else told.p}
    print(row, flush=True)
    return row


def prepare(config: Config, releases: Path, answered: tuple[int, int]) -> tuple[Shop, float]:
    """Read the year and see its weeks as releases of their Mondays would have."""
    if not store.release_ids(releases):
        releases = OUT / "drift" / "releases"
        run_train(str(CONFIG), workspace=str(OUT / "complete-journey"), releases=str(releases))
    start = time.perf_counter()
    base = Recommender.load(store.open_release(releases, store.release_ids(releases)[0]).path)
    dataset = sources.read(config.source, config.windows)
    # What a check of one day does besides: here each week's truth is summed up once.
    truth_of(dataset.interactions, base.data, FIRST + REPORTED[0] * WEEK)
    read_seconds = time.perf_counter() - start
    content = base.snapshot.content
    bought: list[tuple[int, int, Raw]] = []
    for week in range(REPORTED[1]):
        start_of = FIRST + week * WEEK
        own = purchases.of_histories(base.data, start_of, start_of + WEEK)
        n_items = len(base.data.items)
        known = Known.of(base.data.histories, n_items, len(base.data.stores), start_of, own.pairs(n_items))
        for day in range(start_of, start_of + WEEK, DAY):
            bought.append((day, week, purchases.raw(own.between(start_of, day + DAY), known, base.data, content, day, known)))
    some = answered[0] < answered[1]
    snapshots, given = answer(config, base, answered) if some else ({}, [])
    kept = {week: fitted for week, fitted in snapshots.items() if week >= answered[0]}
    shown, events = simulate(base.data, range(answered[0] - 8, answered[1]) if some else (), FIRST)
    shop = Shop(config, base, dataset.interactions, dataset.items, bought, given, kept, shown, events)
    print(f"prepared in {time.perf_counter() - start:.0f} s", flush=True)
    return shop, read_seconds


def answer(config: Config, base: Recommender, weeks: tuple[int, int]) -> tuple[dict[int, snapshot.Snapshot], list[tuple[int, int, Raw]]]:
    """Fit the retrievers as of every Monday that is answered or is a window of a reference, and answer the days of its week."""
    arrivals: Any = base.snapshot.union.retrievers["arrivals"]
    placed = Placed(base.snapshot.content, arrivals.content.appeal)
    snapshots: dict[int, snapshot.Snapshot] = {}
    days: list[tuple[int, int, Raw]] = []
    before = None
    for week in range(weeks[0] - WINDOWS, weeks[1]):
        start = FIRST + week * WEEK
        before = snapshots[week] = snapshot.fit(base.data, placed, config, as_of=start, start=before)
        recommender, own = replace(base, snapshot=before), purchases.of_histories(base.data, start, start + WEEK)
        for day in range(start, start + WEEK, DAY):
            one = answers.raw(recommender, own.between(day, day + DAY), day=day, users=config.monitoring.users, seed=config.seed)
            assert one is not None
            days.append((day, week, one))
        print(f"answered week {week}", flush=True)
    return snapshots, days


def _known(data: Encoded, start: int) -> Encoded:
    """The year's data with the ids alone that were there before a moment."""
    before = data.histories.before(start)
    users = np.flatnonzero(np.diff(before.pointer) == 0)
    stores = np.setdiff1d(np.arange(len(data.stores)), before.store)
    return replace(data, users=data.users.without(data.users.external(users)), stores=data.stores.without(data.stores.external(stores)))


def _line(week: int, verdict: Verdict) -> str:
    least = min((signal for part in verdict.parts for signal in part.signals), key=lambda one: one.p, default=None)
    if least is None:
        return f"week {week} {verdict.told()}"
    return (
        f"week {week} {verdict.day} {'ALARM' if verdict.alarm else 'ordinary'} p={least.p:.2g} {least.part}: {least.name} {least.value:.3g}"
    )


def really_shut(bought: pl.DataFrame, verdict: Verdict) -> bool:
    """Whether an alarm is about stores alone, each of which sold nothing in the two weeks after either: what it says is so."""
    if not verdict.alarm or any(one.part != "stores" for one in verdict.alarms):
        return False
    day = pl.lit(datetime.fromisoformat(verdict.day))
    after = bought.filter(pl.col(columns.TIMESTAMP).is_between(day, day + pl.duration(days=15)))[columns.STORE]
    return not any(one.name.removeprefix("silent/") in set(after) for one in verdict.alarms)


def finish(
    benchmark: Benchmark,
    shop: Shop,
    ordinary: list[tuple[int, Verdict]],
    found: list[dict[str, Any]],
    seconds: list[float],
    read_seconds: float,
) -> None:
    """Print one row a fault, and the weeks with an alarm."""
    rows = []
    for name in dict.fromkeys(row["fault"] for row in found):
        own = [row for row in found if row["fault"] == name]
        delays = [row["delay"] for row in own]
        seen = [row["seen_by"] for row in own if row["delay"] == 1]
        rows.append(
            {
                "method": name,
                "default": False,
                "planted": len(own),
                "within_one_day": sum(delay == 1 for delay in delays),
                "days_until_seen": ", ".join("-" if delay is None else str(delay) for delay in delays),
                "seen_by": max(set(seen), key=seen.count) if seen else "",
            }
        )
    weeks = {week for week, _ in ordinary}
    alarmed = {week for week, verdict in ordinary if verdict.alarm}
    false = {week for week, verdict in ordinary if verdict.alarm and not really_shut(shop.bought, verdict)}
    plain = weeks - HOLIDAYS
    # A store of a few baskets a day is silent by chance on many days: no test can tell it within one.
    due = [row for row in rows if row["method"] not in ("store missing, the 10th", "store missing, the 50th")]
    missed = sum(row["planted"] - row["within_one_day"] for row in due)
    told = {
        "false_alarm_share": len(false & plain) / max(len(plain), 1),
        "alarm_share_of_ordinary_weeks": len(alarmed & plain) / max(len(plain), 1),
        "alarm_share_of_all_weeks": len(alarmed) / max(len(weeks), 1),
        "missed_faults": missed,
        "planted_faults": sum(row["planted"] for row in due),
        "missed_smaller_stores": sum(row["planted"] - row["within_one_day"] for row in rows if row not in due),
        "ordinary_weeks": len(plain),
        "alarms": [
            {"week": week, "day": one.day, "holiday": week in HOLIDAYS, "shut": really_shut(shop.bought, one), "told": one.told()}
            for week, one in ordinary
            if one.alarm
        ],
        "seconds_a_check": {
            "median": float(np.median(seconds)),
            "longest": max(seconds),
            "to_read_release_and_source_and_sum_them_up": read_seconds,
        },
        "monitoring": shop.config.monitoring.model_dump(),
        "faults": found,
    }
    benchmark.finish(rows, **told)
    for each in told["alarms"]:
        print(f"alarm in week {each['week']}{' (holiday)' * each['holiday']}{' (really shut)' * each['shut']}: {each['told']}")
    shares = ("false_alarm_share", "alarm_share_of_ordinary_weeks", "alarm_share_of_all_weeks", "ordinary_weeks")
    for key in (*shares, "missed_faults", "planted_faults", "missed_smaller_stores", "seconds_a_check"):
        print(f"{key}: {told[key]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, nargs=2, default=REPORTED, metavar=("FROM", "TO"), help="weeks to judge, the last not counted")
    parser.add_argument("--without-answers", action="store_true", help="leave out answers and the simulated log")
    parser.add_argument("--releases", type=Path, default=ROOT / "releases", help="where the release of `make demo` is")
    given = parser.parse_args()
    main(tuple(given.weeks), given.releases, answering=not given.without_answers)
