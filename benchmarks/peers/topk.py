"""Another library's factors and its own lists for all users, timed. Runs in the peers' own environment; `benchmarks.scale` judges it.

`python topk.py METHOD FOLDER N SETTINGS`: the folder has `user.npy` and `item.npy`, the distinct pairs to learn from, and `shape.npy`,
how many users and items there are. Into it go `items.npy`, (n_users, N) rows of items that the user has not, best first, -1 where
there are fewer, and `times.json`: the seconds of training and of all lists, and the peak memory.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SEED = 7
#: Users whose lists are asked for at once.
BLOCK = 1_000


def implicit_als(user: np.ndarray, item: np.ndarray, shape: tuple[int, int], n: int, settings: dict[str, Any]) -> tuple[float, np.ndarray]:
    """Give the moment at which training was over, and the lists."""
    import scipy.sparse as sp
    from implicit.cpu.als import AlternatingLeastSquares

    matrix = sp.csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=shape)
    model = AlternatingLeastSquares(**settings, random_state=np.random.default_rng(SEED))
    model.fit(matrix, show_progress=False)
    trained, lists = time.perf_counter(), []
    for start in range(0, shape[0], BLOCK):
        rows = np.arange(start, min(start + BLOCK, shape[0]))
        lists.append(model.recommend(rows, matrix[rows], N=n)[0])
    return trained, np.concatenate(lists)


def lenskit_als(user: np.ndarray, item: np.ndarray, shape: tuple[int, int], n: int, settings: dict[str, Any]) -> tuple[float, np.ndarray]:
    """Give the moment at which training was over, and the lists."""
    import pandas as pd
    from lenskit.als import ImplicitMFScorer
    from lenskit.batch import recommend
    from lenskit.data import from_interactions_df
    from lenskit.pipeline import topn_pipeline

    data = from_interactions_df(pd.DataFrame({"user_id": user, "item_id": item}))
    pipeline = topn_pipeline(ImplicitMFScorer(**settings), n=n)
    pipeline.train(data)
    trained, lists = time.perf_counter(), np.full((shape[0], n), -1, np.int64)
    for key, found in recommend(pipeline, list(range(shape[0])), n, n_jobs=os.cpu_count()):
        lists[key.user_id, : len(found)] = found.ids()
    return trained, lists


METHODS = {"implicit ALS": implicit_als, "LensKit ALS": lenskit_als}


def main() -> None:
    """Train, make the lists, and write both with their times."""
    method, folder, n, settings = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    user, item, shape = (np.load(folder / f"{name}.npy") for name in ("user", "item", "shape"))
    start = time.perf_counter()
    trained, lists = METHODS[method](user, item, (int(shape[0]), int(shape[1])), n, settings)
    times = {"train_seconds": round(trained - start, 1), "lists_seconds": round(time.perf_counter() - trained, 1)}
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    np.save(folder / "items.npy", lists.astype(np.int32))
    (folder / "times.json").write_text(json.dumps(times | {"peak_rss_mb": round(peak / 1024)}))


if __name__ == "__main__":
    main()
