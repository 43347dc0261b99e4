"""Recall of candidates on Complete Journey by how many there are: each retriever, all together, and the best 500 of all.

The order of the shortlist is learned on the weeks before those that are judged. `VALIDATION=1` judges weeks 44 to 48, by which everything
was chosen; without it weeks 49 to 53 are. `EVERY=4` judges every fourth household alone.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import faiss
import numpy as np

from benchmarks.harness import CONFIG, OUT, VALIDATION, Benchmark, end_of, whole_numbers
from cortex_rec.arrays import F32, F64, Bool, Ragged, is_in
from cortex_rec.config import Config, load_config
from cortex_rec.encoding import Encoded
from cortex_rec.features.assemble import assemble
from cortex_rec.queries import Queries, ask
from cortex_rec.ranking import shortlist, training
from cortex_rec.ranking.lambdarank import LambdaRank
from cortex_rec.snapshot import Snapshot
from cortex_rec.splits import Window, distinct, truth, windows
from flows.environment import prepare

LEARNED: Final = (40, 41, 42, 43) if VALIDATION else (44, 45, 46, 47, 48)
JUDGED: Final = (44, 45, 46, 47, 48) if VALIDATION else (49, 50, 51, 52, 53)
#: The first week that retrievers are fitted for; items are placed by what was bought before it.
FIRST: Final = 40
#: What each retriever is asked for, so that the shortlist has enough to choose from: all own purchases, and of others what pays.
WIDE: Final = {
    "repeats": 4_000,
    "copurchase": 500,
    "neighbours": 1_500,
    "graph": 600,
    "vector": 100,
    "popular": 1_000,
    "favourites": 1_000,
    "promoted": 600,
    "arrivals": 30,
}
#: Lengths at which a retriever's own list is judged, and those of the shortlist.
LENGTHS: Final = (30, 100, 300, 600, 1_000)
SHORT: Final = (100, 250, 500, 750, 1_000, 1_500)
MEASURED: Final = (500, 1_000)
EVERY: Final = whole_numbers("EVERY", "1")[0]
#: Households asked at once, and those whose answers are timed.
BLOCK: Final = 100
TIMED: Final = 500


@dataclass(frozen=True)
class Week:
    """What was found for everybody who bought in a week, and how the shortlist orders it.

    Parameters
    ----------
    found, ranks, order
        The candidates, each retriever's rank of them, and their score in the shortlist.
    share, new_share
        What a candidate adds to the recall of all that was bought, and of what its buyer had never bought before.
    """

    number: int
    found: Ragged
    ranks: F32
    order: F32
    share: F64
    new_share: F64

    def judge(self, kept: Bool) -> dict[str, float]:
        """Candidates a user, `candidate_recall` as docs/evaluation.md has it, and the same of what was new to the user."""
        return {
            "candidates": float(kept.sum() / len(self.found)),
            "candidate_recall": float(self.share[kept].sum()),
            "new_items_recall": float(self.new_share[kept].sum()),
        }

    def within(self, sizes: Mapping[str, int], names: Sequence[str]) -> Bool:
        """Which candidates some retriever finds when each may return so many."""
        inside: Bool = np.any(self.ranks <= np.array([sizes.get(name, 0) for name in names]), axis=1)
        return inside

    def shortest(self, n: int) -> Bool:
        """The `n` best of each user by the shortlist's order."""
        kept = np.zeros(len(self.order), np.bool_)
        kept[self.found.leading(self.order, n)] = True
        return kept


def main() -> None:
    """Print recall by retriever and length, of all together, of the shortlist week by week, and what an answer's retrieval takes."""
    faiss.omp_set_num_threads(1)
    span = {"end": end_of(53), "training": 53 - FIRST}
    config = load_config(CONFIG, workspace=str(OUT / "candidates"), windows=span)
    benchmark = Benchmark("candidates", seed=config.seed)
    data, snapshots = fitted(config)
    before, last = windows(config.windows, data.histories)
    at = dict(zip(range(FIRST, 54), (*before, last), strict=True))
    lists = [training.build(wide(snapshots(week)), data, at[week], config) for week in LEARNED]
    order = shortlist.fit(lists, seed=config.seed, threads=1)
    weeks = []
    for week in JUDGED:
        weeks.append(judged(data, wide(snapshots(week)), at[week], week, order))
        print(f"week {week}: shortlist of 500, {weeks[-1].judge(weeks[-1].shortest(500))}", flush=True)
    latest = snapshots(JUDGED[-1])
    names, sizes = latest.union.names, dict(latest.union.sizes)
    rows = [*shortlist_rows(weeks), *union_rows(weeks, sizes, names), *retriever_rows(weeks, sizes, names)]
    benchmark.finish([*rows, *timed(data, latest, at[JUDGED[-1]])], learned=list(LEARNED), judged=list(JUDGED), every=EVERY)


def fitted(config: Config) -> tuple[Encoded, Callable[[int], Snapshot]]:
    """The data, and the retrievers as of the start of a week; the stages are those of a training run."""
    prepare(OUT / "candidates")
    from tasks.check import check_tables
    from tasks.embed import embed_items
    from tasks.encode import encode
    from tasks.fusion import fuse
    from tasks.ingest import ingest
    from tasks.retrievers import fit_retrievers
    from tasks.windows import lay_out_windows, read_plan

    encoded = encode(config, check_tables(config, ingest(config)))
    content = embed_items(config, encoded)
    plan = read_plan(lay_out_windows(config, encoded))
    fusion = fuse(config, encoded, content, plan.training[0][0])
    fits = []
    for start, _ in [*plan.training, plan.test]:
        fits.append(fit_retrievers(config, encoded, fusion, start, fits[-1] if fits else None))
    return Encoded.load(encoded.path), lambda week: Snapshot.load(fits[week - FIRST].path)


def wide(snapshot: Snapshot) -> Snapshot:
    """The same retrievers, each asked for what `WIDE` says."""
    return replace(snapshot, union=replace(snapshot.union, sizes=WIDE))


def judged(data: Encoded, snapshot: Snapshot, window: Window, number: int, order: LambdaRank) -> Week:
    """Everything found for the buyers of a week, in the shortlist's order."""
    users, bought = truth(data.histories, window)
    users, bought = users[::EVERY], bought.take(np.arange(0, len(users), EVERY))
    lists, ranks, scores = [], [], []
    for first in range(0, len(users), BLOCK):
        queries = ask(data.histories, users[first : first + BLOCK], window.start, len(data.items))
        candidates = snapshot.union.retrieve(queries)
        lists.append(candidates.lists)
        ranks.append(candidates.ranks)
        scores.append(order.score(assemble(queries, candidates, snapshot, data.catalogue)))
    found, before = Ragged.joined(lists), distinct(data.histories.before(window.start).take(users))
    hit, new = is_in(found, bought), ~is_in(found, before)
    share = hit * (1 / np.diff(bought.pointer) / len(users))[found.owner]
    n_new = np.bincount(bought.owner[~is_in(bought, before)], minlength=len(users))
    new_share = (hit & new) * (1 / np.maximum(n_new, 1) / np.count_nonzero(n_new))[found.owner]
    return Week(number, found, np.concatenate(ranks), np.concatenate(scores), share, new_share)


def shortlist_rows(weeks: Sequence[Week]) -> list[dict[str, Any]]:
    """Recall of the best 500 and 1,000, all weeks and each one; then at each length, also of what was new to the user."""
    figures = [{f"candidate_recall@{n}": week.judge(week.shortest(n))["candidate_recall"] for n in MEASURED} for week in weeks]
    means = {name: float(np.mean([row[name] for row in figures])) for name in figures[0]}
    rows: list[dict[str, Any]] = [{"method": "shortlist", "default": True, "week": "mean"} | means]
    rows += [{"method": "shortlist", "default": False, "week": week.number} | row for week, row in zip(weeks, figures, strict=True)]
    rows += [_mean(f"shortlist, {n}", weeks, lambda week, n=n: week.judge(week.shortest(n))) for n in SHORT]
    return [_rounded(row) for row in rows]


def union_rows(weeks: Sequence[Week], sizes: Mapping[str, int], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """All retrievers together: as configured, each asked for equally many, and for as many as the shortlist chooses from."""
    asked: dict[str, Mapping[str, int]] = {"all, as configured": sizes} | {f"all, {n} each": dict.fromkeys(names, n) for n in LENGTHS[:3]}
    asked["all, wide"] = WIDE
    return [_mean(name, weeks, lambda week, asked=each: week.judge(week.within(asked, names))) for name, each in asked.items()]


def retriever_rows(weeks: Sequence[Week], sizes: Mapping[str, int], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Each retriever alone at each length, and the recall that nobody else finds; below, the same as configured."""
    rows = []
    for name in names:
        for n in (*(n for n in LENGTHS if n < WIDE[name]), WIDE[name]):
            rows.append(_mean(f"{name}, {n}", weeks, partial(_alone, name=name, n=n, others=WIDE, names=names)))
        rows.append(_mean(f"{name}, as configured", weeks, partial(_alone, name=name, n=sizes[name], others=sizes, names=names)))
    return rows


def _alone(week: Week, *, name: str, n: int, others: Mapping[str, int], names: tuple[str, ...]) -> dict[str, float]:
    """`unique`: of all that was bought, what only this one finds when the others may return `others`."""
    own = week.within({name: n}, names)
    rest = week.within({other: size for other, size in others.items() if other != name}, names)
    return week.judge(own) | {"unique": week.judge(own & ~rest)["candidate_recall"]}


def timed(data: Encoded, snapshot: Snapshot, window: Window) -> list[dict[str, Any]]:
    """Milliseconds of one thread to retrieve for one household, all retrievers as configured, and each retriever's own list."""
    users = truth(data.histories, window)[0]
    union = snapshot.union
    calls: dict[str, Callable[[Queries], object]] = {"retrieval, all": union.retrieve}
    calls |= {f"retrieval, {name}": partial(retriever.retrieve, n=union.sizes[name]) for name, retriever in union.retrievers.items()}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    chosen = users[np.linspace(0, len(users) - 1, TIMED).astype(np.int64)]
    for user in chosen:
        queries = ask(data.histories, np.array([user], np.int32), window.start, len(data.items))
        for name, call in calls.items():
            fresh = replace(queries)  # the same question, with nothing computed before the clock starts
            start = time.perf_counter()
            call(fresh)
            taken[name].append(1_000 * (time.perf_counter() - start))
    return [
        {
            "method": name,
            "default": False,
            "p50_ms": round(float(np.median(values)), 3),
            "p99_ms": round(float(np.percentile(values, 99)), 3),
        }
        for name, values in taken.items()
    ]


def _mean(method: str, weeks: Sequence[Week], judge: Callable[[Week], dict[str, float]]) -> dict[str, Any]:
    found = [judge(week) for week in weeks]
    return _rounded({"method": method, "default": False} | {name: float(np.mean([each[name] for each in found])) for name in found[0]})


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}


if __name__ == "__main__":
    main()
