"""How long one household's candidates take to be scored: features and each ranker apart, one thread, 500 candidates."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

import faiss
import numpy as np

from benchmarks.harness import CONFIG, OUT, Benchmark
from cortex_rec.arrays import Ragged
from cortex_rec.config import load_config
from cortex_rec.features.assemble import assemble
from cortex_rec.ranking.blend import Blend
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.recommender import Recommender
from cortex_rec.releases.store import open_release
from cortex_rec.requests import Request
from cortex_rec.retrieval.union import Candidates
from flows.run import run_train

CANDIDATES: Final = 500
HOUSEHOLDS: Final = 300


def main() -> None:
    """Print the milliseconds of each part at the median and at the 99th percentile; trains the default release when none is there."""
    faiss.omp_set_num_threads(1)
    benchmark = Benchmark("scoring", seed=load_config(CONFIG).seed)
    folder = OUT / "scoring"
    id_ = run_train(str(CONFIG), workspace=str(OUT / "complete-journey"), releases=str(folder))
    recommender = Recommender.load(open_release(folder, id_).path)
    whole = recommender.ranker.ranker
    assert isinstance(whole, Blend)
    scorers: dict[str, Ranker] = {"lambdarank": whole.trees, "neural": whole.neural, "blend": whole}
    taken: dict[str, list[float]] = {"features": []} | {name: [] for name in scorers}
    for user in recommender.data.users.external(np.arange(0, len(recommender.data.users), len(recommender.data.users) // HOUSEHOLDS)):
        asked = recommender.ask([Request(user=user)]).queries
        found = recommender.snapshot.union.retrieve(asked)
        if len(found.lists.item) < CANDIDATES:
            continue
        queries = replace(asked)  # the same question, with nothing computed before the clock starts
        call = partial(assemble, queries, _first(found), recommender.snapshot, recommender.data.catalogue)
        matrix, milliseconds = _timed(call)
        taken["features"].append(milliseconds)
        for name, scorer in scorers.items():
            taken[name].append(_timed(partial(scorer.score, matrix))[1])
    rows = [{"method": name, "default": False, **_spread(values)} for name, values in taken.items()]
    for name in ("lambdarank", "blend"):
        both = [sum(pair) for pair in zip(taken["features"], taken[name], strict=True)]
        rows.append({"method": f"features + {name}", "default": name.startswith("blend"), **_spread(both)})
    benchmark.finish(rows, candidates=CANDIDATES, households=len(taken["features"]), features=len(matrix.names))


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
