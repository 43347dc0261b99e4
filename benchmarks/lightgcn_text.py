"""Any folder with the LightGCN paper's `train.txt[.gz]` and `test.txt[.gz]`, by the protocol of its tables.

`make bench NAME=lightgcn-text DATA=<folder>`; the folder is `../shared/data/gowalla` when none is given, and `METHODS=popularity,linear`
runs some of the rows. Every item is ranked, those of train are masked, and Recall@20 and NDCG@20 are means over the users of test. With
`VALIDATION=1` a fifth of each user's train items takes the place of test, of which only the numbering is then read: where settings are
chosen.
"""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from benchmarks.harness import ROOT, VALIDATION, Benchmark, asked
from cortex_rec import columns
from cortex_rec.arrays import Ragged
from cortex_rec.config import Collaborative, LightGCN
from cortex_rec.config import Linear as LinearConfig
from cortex_rec.errors import DataError
from cortex_rec.evaluation.full_ranking import Scores, judge
from cortex_rec.retrieval import collaborative, linear
from cortex_rec.sources import lightgcn_text
from cortex_rec.splits import held_out

DATA: Final = ROOT.parent / "shared" / "data" / "gowalla"
K: Final = 20
SEED: Final = 7
VALIDATION_SHARE: Final = 0.2


class Split(NamedTuple):
    """Each user's distinct items of train and of test."""

    train: Ragged
    test: Ragged
    n_items: int


def read(folder: Path) -> Split:
    """Both files with one numbering; a user of test alone has an empty list of train."""
    pairs = [lightgcn_text.lists(folder, part).explode(columns.ITEM) for part in ("train", "test")]
    user, item = (
        pl.concat([part[column] for part in pairs]).rank("dense").to_numpy().astype(np.int64) - 1 for column in (columns.USER, columns.ITEM)
    )
    n_users, n_items, first = int(user.max()) + 1, int(item.max()) + 1, len(pairs[0])
    found = []
    for part in (slice(None, first), slice(first, None)):
        keys = np.unique(user[part] * n_items + item[part])
        found.append(Ragged.from_owner(keys // n_items, (keys % n_items).astype(np.int32), n_users))
    return Split(*found, n_items)


def popularity(split: Split) -> Scores:
    """Everybody gets what most users of train have."""
    buyers = np.bincount(split.train.item, minlength=split.n_items).astype(np.float32)
    return lambda users: np.tile(buyers, (len(users), 1))


def neighbours(split: Split) -> Scores:
    """The plain baseline: the user's items' neighbours by the cosine of who has them, users of many items counting less."""
    return _linear(split, LinearConfig(dimensions=2, band=0, sharpening=0, user_power=0.5, in_power=0.5, out_power=0.5))


def linear_filter(split: Split) -> Scores:
    """The closed form alone."""
    return _linear(split, LinearConfig())


def lightgcn(split: Split) -> Scores:
    """LightGCN alone."""
    from cortex_rec.retrieval import lightgcn_softmax

    learned = lightgcn_softmax.fit(split.train, split.n_items, LightGCN(), seed=SEED)
    return learned.scores


def both(split: Split) -> Scores:
    """The closed form and LightGCN's vectors together."""
    model = collaborative.learn(split.train, split.n_items, Collaborative(), seed=SEED)
    return lambda users: model.scores(split.train.take(users), users)


def _linear(split: Split, config: LinearConfig) -> Scores:
    model = linear.learn(split.train, split.n_items, config, seed=SEED)
    return lambda users: model.scores(split.train.take(users))


METHODS: Final[dict[str, Callable[[Split], Scores]]] = {
    "popularity": popularity,
    "neighbours": neighbours,
    "linear": linear_filter,
    "lightgcn": lightgcn,
    "collaborative": both,
}
#: What the figures of the JSON file's own `recall@20` are of.
BEST: Final = "collaborative"


def part(folder: Path, validation: bool) -> Split:
    """The split, or train's own one where settings are chosen."""
    split = read(folder)
    return Split(*held_out(split.train, VALIDATION_SHARE, seed=SEED), split.n_items) if validation else split


def figures(split: Split, scores: Scores) -> dict[str, float]:
    """Means over the users that have something to be found."""
    found = judge(scores, np.flatnonzero(np.diff(split.test.pointer)), split.train, split.test, K)
    return {name: round(float(values.mean()), 6) for name, values in found.items()}


def measured(folder: Path, method: str, validation: bool) -> dict[str, Any]:
    """One row of the table; in a process of its own, the peak memory is the method's."""
    split = part(folder, validation)
    started, spent = time.perf_counter(), time.process_time()
    scores = METHODS[method](split)
    trained, trained_cpu = time.perf_counter() - started, time.process_time() - spent
    started = time.perf_counter()
    found = figures(split, scores)
    ranked = time.perf_counter() - started
    return {
        "method": method,
        "default": method == BEST,
        **found,
        "train_seconds": round(trained, 1),
        "train_cpu_seconds": round(trained_cpu, 1),
        "queries_per_second": round(np.count_nonzero(np.diff(split.test.pointer)) / ranked),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main(name: str = "lightgcn-text") -> None:
    """Print one row a method."""
    data, methods = asked(name, __doc__, METHODS, data=DATA, what="folder with train.txt[.gz] and test.txt[.gz]")
    benchmark, rows = Benchmark(name, seed=SEED), []
    # A fresh process a method: what one left in memory is not counted to the next.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for method in methods:
            try:
                rows.append(pool.submit(measured, data, method, VALIDATION).result())
            except DataError as error:
                sys.exit(str(error))
            print(f"{method}: {rows[-1][f'recall@{K}']:.4f} {rows[-1][f'ndcg@{K}']:.4f}", flush=True)
    best = {key: value for row in rows if row["default"] for key, value in row.items() if key in (f"recall@{K}", f"ndcg@{K}")}
    benchmark.finish(rows, data=data.name, judged_by="validation" if VALIDATION else "test", **best)


if __name__ == "__main__":
    main()
