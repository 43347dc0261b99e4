"""Synthetic purchases beside the real year that they are drawn from: their figures, and how well simple methods foresee a week of them.

`make bench NAME=synth`. Both are as large as each other and judged by the same code, on the last week; `VALIDATION=1` judges
week 48, by which the constants of the model were chosen.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from benchmarks.harness import CONFIG, OUT, VALIDATION, Benchmark, end_of
from benchmarks.next_basket import SIMPLE, Week, lists_of
from cortex_rec.arrays import DAY, F64, I64, Ragged
from cortex_rec.config import Config, Retrieval, load_config
from cortex_rec.embeddings.placed import Placed
from cortex_rec.encoding import Encoded, encode
from cortex_rec.evaluation.candidates import describe
from cortex_rec.evaluation.evaluate import judge_lists
from cortex_rec.evaluation.next_basket import TifuKnn, UpCf
from cortex_rec.features import statistics
from cortex_rec.histories import Histories, Past
from cortex_rec.queries import ask
from cortex_rec.retrieval.protocol import Evidence
from cortex_rec.retrieval.union import REGISTRY
from cortex_rec.sources import read
from cortex_rec.splits import distinct, truth, windows
from cortex_rec.synthesis import write
from cortex_rec.synthesis.shape import Shape

SEED: Final = 1
WEEK: Final = 48 if VALIDATION else 53
#: Retrievers that need neither words nor offers; those of them that rank are judged as methods, too, by lists of this length.
RETRIEVERS: Final = ("repeats", "copurchase", "neighbours", "popular", "favourites")
RANKING: Final = ("copurchase", "neighbours", "favourites")
LENGTH: Final = 1_500
#: Weeks, counted from 0, of which figures are told.
WEEKS: Final = (0, 1, 3, 12, 25, 38, 50)
METHODS: Final[Mapping[str, Callable[[Week], Ragged]]] = {
    **{name: SIMPLE[name] for name in ("popularity", "personal_decay", "gp_topfreq")},
    "tifu_knn": lists_of(TifuKnn()),
    "up_cf": lists_of(UpCf()),
}


def main() -> None:
    """Make as many purchases as there are real ones and print both side by side."""
    benchmark = Benchmark("synth", seed=SEED)
    window = {"end": end_of(WEEK)}
    real = load_config(CONFIG, windows=window)
    with TemporaryDirectory(dir=_made(OUT)) as folder:
        started = time.perf_counter(), time.process_time()
        shape = Shape.load()
        write.write(write.Size(shape.users, shape.items, shape.events), Path(folder) / "synth", seed=SEED)
        taken = time.perf_counter() - started[0], time.process_time() - started[1]
        made = load_config(Path(folder) / "synth" / "config.yaml", windows=window)
        both = [judged(config) for config in (real, made)]
    rows = [
        {"method": name, "default": False, "real": both[0][name], "synthetic": both[1][name], "ratio": both[1][name] / both[0][name]}
        for name in both[0]
    ]
    benchmark.finish(rows, week=WEEK, seconds_to_write=round(taken[0], 1), processor_seconds_to_write=round(taken[1], 1))


def judged(config: Config) -> dict[str, float]:
    """Every figure of a year by its name."""
    data = encode(read(config.source, config.windows))
    print(f"{len(data.histories.item):,} lines", flush=True)
    return figures(data) | foreseen(data, config)


def figures(data: Encoded) -> dict[str, float]:
    """What the year looks like."""
    history = data.histories
    start = int(history.time.min()) // DAY * DAY
    day, week = (history.time - start) / DAY, (history.time - start) // (7 * DAY)
    line = np.lexsort((history.time, history.item, history.owner))
    key = (history.owner * len(data.items) + history.item)[line]
    first = np.diff(key, prepend=-1) > 0
    times = np.diff(np.append(np.flatnonzero(first), len(key)))
    gaps = np.diff(day[line])[~first[1:]]
    bought = np.sort(np.bincount(history.item))[::-1].astype(np.float64)
    bought = bought[bought > 0]
    pairs = np.bincount(history.item[line][first], minlength=len(data.items))
    baskets = np.unique(history.owner * 100_000 + history.basket, return_counts=True)[1]
    by_user = np.diff(history.pointer)
    new = np.full(len(data.items), np.inf)
    np.minimum.at(new, history.item, week.astype(np.float64))
    counts = np.bincount(week)
    again = 1 - np.bincount(week[line][first], minlength=len(counts)) / counts
    groups = data.catalogue.codes["subcategory"].astype(np.int64)[history.item]
    return {
        "events": float(len(history.item)),
        "households": float(np.count_nonzero(by_user)),
        "items sold": float(len(bought)),
        "baskets": float(len(baskets)),
        **_quantiles("lines a basket", baskets.astype(np.float64), (25, 50, 75, 95)),
        **_quantiles("lines a household", by_user[by_user > 0].astype(np.float64), (25, 50, 75, 95)),
        **_quantiles("baskets a household", history.baskets[by_user > 0].astype(np.float64), (25, 50, 75, 95)),
        **_quantiles("items a household", np.bincount(key[first] // len(data.items)).astype(np.float64), (25, 50, 75, 95)),
        "subcategories a household": float(len(np.unique(history.owner * 10_000 + groups)) / np.count_nonzero(by_user)),
        "lines of the first 1 % of items": _share(bought, 100),
        "lines of the first 10 % of items": _share(bought, 10),
        "Gini of items": _gini(bought),
        "items bought once": float((bought == 1).mean()),
        "buyers of the first item, share of households": float(pairs.max() / np.count_nonzero(by_user)),
        **{f"pairs bought more than {n} times": float((times > n).mean()) for n in (1, 3, 10)},
        **_quantiles("days between two purchases", gaps, (10, 25, 50, 75, 90)),
        **{f"lines bought before, week {week + 1}": float(again[week]) for week in WEEKS},
        **{f"items new in week {week + 1}": float((new == week).sum()) for week in WEEKS},
        "busiest weekday over the quietest": _peak(np.bincount((history.time // DAY) % 7)),
        "busiest hour, share": float((np.bincount((history.time % DAY) // 3600) / len(history.time)).max()),
        "lines of week 47 over week 45": float(counts[46] / counts[44]),
        "lines of the usual store": _usual(history),
        "lines with a discount": float((history.discount > 0).mean()),
        "price, median": float(np.nanmedian(history.price)),
        "one piece": float((history.quantity == 1).mean()),
    }


def foreseen(data: Encoded, config: Config) -> dict[str, float]:
    """NDCG@10 of each method on the week, and what retrievers find, by the code that judges the real ones."""
    window = windows(config.windows, data.histories)[1]
    users, bought = truth(data.histories, window)
    before = data.histories.before(window.start)
    week = Week(window.start, users, bought, before, distinct(before.take(users)), len(data.items))
    found: dict[str, float] = {"households of the week": float(len(users)), "items a household and week": len(bought.item) / len(users)}
    lists = {name: method(week) for name, method in METHODS.items()}
    evidence = _evidence(data, before, window.start, config.seed)
    queries = ask(data.histories, users, window.start, len(data.items))
    own: dict[str, Ragged] = {}
    for name in RETRIEVERS:
        settings = getattr(Retrieval(), name)
        retriever = REGISTRY[name].fit(evidence, settings)
        own[name] = retriever.retrieve(queries, settings.n)
        if name in RANKING:
            lists[name] = retriever.retrieve(queries, LENGTH)
        print(f"{name} fitted", flush=True)
    for name, ranked in lists.items():
        figure = judge_lists(ranked, bought, week.bought_before, config.evaluation, seed=config.seed)
        found[f"ndcg@10, {name}"] = figure["ndcg@10"]
        if name != "personal_decay":  # which proposes nothing that is new to a household
            found[f"ndcg@10 of new items, {name}"] = figure["slices"]["new_items"]["ndcg@10"]
    told = _recall(own, bought, len(data.items))
    found |= {f"candidate recall, {name}": told["retrievers"][name]["recall"] for name in RETRIEVERS}
    return dict(sorted(found.items(), key=lambda pair: pair[0].split(",")[0])) | {
        "candidates": told["mean_number"],
        "candidate recall, all": told["recall"],
    }


def _recall(own: Mapping[str, Ragged], bought: Ragged, n_items: int) -> dict[str, Any]:
    keys = {name: lists.owner * n_items + lists.item for name, lists in own.items()}
    union = np.unique(np.concatenate(list(keys.values())))
    lists = Ragged.from_owner(union // n_items, (union % n_items).astype(np.int32), len(bought))
    return describe(lists, bought, {name: np.isin(union, key) for name, key in keys.items()})


def _evidence(data: Encoded, before: Histories, as_of: int, seed: int) -> Evidence:
    subcategory, n = data.catalogue.codes["subcategory"], len(data.items)
    counted = statistics.fit(before, subcategory, n, len(data.stores), as_of=as_of)
    nowhere = Placed(np.zeros((n, 1), np.float32), np.zeros(n, np.float32))
    return Evidence(Past(before, as_of), counted, data.catalogue, data.promotions.active(as_of), nowhere, as_of, seed)


def _quantiles(name: str, values: F64, wanted: tuple[int, ...]) -> dict[str, float]:
    return {f"{name}, {at} %": float(np.percentile(values, at)) for at in wanted}


def _share(bought: F64, part: int) -> float:
    return float(bought[: len(bought) // part].sum() / bought.sum())


def _gini(bought: F64) -> float:
    n = len(bought)
    return float(1 + 1 / n - 2 * (np.cumsum(bought[::-1]) / bought.sum()).sum() / n)


def _peak(counts: I64) -> float:
    return float(counts.max() / counts.min())


def _usual(history: Histories) -> float:
    key = history.owner * (int(history.store.max()) + 1) + history.store
    stores, lines = np.unique(key, return_counts=True)
    best = np.zeros(history.n_users)
    np.maximum.at(best, stores // (int(history.store.max()) + 1), lines)
    return float(best.sum() / len(history.item))


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


if __name__ == "__main__":
    main()
