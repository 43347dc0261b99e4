"""How long one household's candidates take to be scored: features and model apart, one thread, 500 candidates.

`make bench NAME=scoring` trains a release when none is there, with each ranker.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import faiss
import numpy as np

from benchmarks.complete_journey import CONFIG
from benchmarks.harness import OUT, Benchmark
from cortex_rec.arrays import Ragged
from cortex_rec.config import load_config
from cortex_rec.features.assemble import assemble
from cortex_rec.queries import Queries
from cortex_rec.recommender import Recommender, Request
from cortex_rec.releases.store import open_release
from cortex_rec.retrieval.union import Candidates
from flows.run import run_train

CANDIDATES: Final = 500
HOUSEHOLDS: Final = 300
RANKERS: Final = ("lambdarank", "neural", "blend")


def main() -> None:
    """Print the milliseconds of each part, at the median and at the 99th percentile."""
    faiss.omp_set_num_threads(1)
    config = load_config(CONFIG)
    benchmark = Benchmark("scoring", seed=config.seed)
    rows: list[dict[str, Any]] = []
    for ranker in RANKERS:
        folder = OUT / "scoring" / ranker
        id_ = run_train(str(CONFIG), workspace=str(OUT / "complete-journey"), releases=str(folder), ranker=ranker)
        slow = Recommender.load(open_release(folder, id_).path)
        quick = slow.compiled(OUT / "scoring" / "compiled")
        rows += _rows(ranker, slow, quick, default=ranker == config.ranker)
    benchmark.finish(rows, candidates=CANDIDATES, households=HOUSEHOLDS)


def _rows(name: str, slow: Recommender, quick: Recommender, *, default: bool) -> list[dict[str, Any]]:
    times: dict[str, list[float]] = {"features": [], f"{name}": [], f"{name}, not compiled": []}
    both = []
    for user in slow.data.users.external(np.arange(0, len(slow.data.users), max(len(slow.data.users) // HOUSEHOLDS, 1))):
        asked = slow.ask([Request(user=user)], [np.zeros(0, np.int32)])
        candidates = slow.snapshot.union.retrieve(asked)
        if len(candidates.lists.item) < CANDIDATES:
            continue
        first = _first(candidates)
        queries = Queries(asked.histories, asked.users, asked.as_of, asked.store, asked.n_items)  # nothing computed before the clock starts
        matrix, features = _timed(lambda: assemble(queries, first, slow.snapshot, slow.data.catalogue))  # noqa: B023
        _, compiled = _timed(lambda: quick.ranker.score(matrix))  # noqa: B023
        _, walked = _timed(lambda: slow.ranker.score(matrix))  # noqa: B023
        for part, taken in zip(times, (features, compiled, walked), strict=True):
            times[part].append(taken)
        both.append(features + compiled)
    rows = [{"method": f"features and {name}", "default": default, **_spread(both)}]
    return rows + [{"method": part, "default": False, **_spread(taken)} for part, taken in times.items()]


def _first(candidates: Candidates) -> Candidates:
    lists = Ragged(np.array([0, CANDIDATES]), candidates.lists.item[:CANDIDATES])
    return Candidates(lists, candidates.scores[:CANDIDATES], candidates.ranks[:CANDIDATES])


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, 1_000 * (time.perf_counter() - start)


def _spread(taken: list[float]) -> dict[str, float]:
    low, high = np.percentile(taken, [50, 99])
    return {"p50_ms": round(float(low), 3), "p99_ms": round(float(high), 3)}


if __name__ == "__main__":
    main()
