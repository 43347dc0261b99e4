"""How long a new item takes from the call until it can be recommended: words and picture embedded, kept, placed, answered with.

On the H&M sample; the new items are articles of it under new ids. The models are loaded before the clock starts, as they are in a
process that goes on running.
"""

import tempfile
import time
from pathlib import Path
from typing import Final

import faiss
import numpy as np
import polars as pl

from benchmarks.harness import OUT, ROOT, Benchmark
from cortex_rec import columns
from cortex_rec.catalogue import Catalogue
from cortex_rec.config import Embeddings, HMSource, load_config
from cortex_rec.embeddings.fusion import Fusion
from cortex_rec.recommender import Recommender
from cortex_rec.releases import added, live, new_items
from cortex_rec.releases.store import open_release
from cortex_rec.requests import Request
from cortex_rec.sources import hm
from flows.run import run_train

CONFIG: Final = ROOT / "configs" / "hm.yaml"
ITEMS: Final = 50
#: Seconds from the call to the first answer that may hold the item.
TARGET: Final = 2.0
PARTS: Final = ("words and picture embedded", "kept beside the release", "placed and widened by", "first answer")


def main() -> None:
    """Print the seconds of each part at the median and at most; trains the release of the H&M sample when none is there."""
    config = load_config(CONFIG)
    benchmark = Benchmark("items", seed=config.seed)
    folder = OUT / "items"
    release = open_release(folder, run_train(str(CONFIG), workspace=str(OUT / "hm"), releases=str(folder)))
    recommender, fusion = Recommender.load(release.path), Fusion.load(release.path / "fusion")
    assert isinstance(config.source, HMSource)
    # A release does not know where the pictures lie.
    articles = with_pictures(Catalogue.of(hm.read(config.source, config.windows).items))
    loading, taken = added_one_by_one(recommender, fusion, articles, config.embeddings)
    rows = [
        {"method": name, "default": name == "all", "median_s": round(float(np.median(of)), 3), "most_s": round(float(max(of)), 3)}
        for name, of in taken.items()
    ]
    benchmark.finish(rows, items=len(recommender.data.items), added=ITEMS, loading_s=round(loading, 1), target_s=TARGET)


def added_one_by_one(
    recommender: Recommender, fusion: Fusion, articles: pl.DataFrame, config: Embeddings
) -> tuple[float, dict[str, list[float]]]:
    """Seconds until the models are loaded, and those of each part for each item."""
    faiss.omp_set_num_threads(1)
    someone = Request(recommender.data.users.external([0])[0])
    recommender.recommend([someone])
    start = time.perf_counter()
    new_items.embed(articles[:1], config)
    loading = time.perf_counter() - start
    taken: dict[str, list[float]] = {name: [] for name in (*PARTS, "all")}
    with tempfile.TemporaryDirectory() as root:
        for place in range(1, ITEMS + 1):
            moments = [time.perf_counter()]
            embedded = new_items.embed(articles[place : place + 1], config)
            moments.append(time.perf_counter())
            added.add(Path(root), embedded)
            moments.append(time.perf_counter())
            recommender = live.widened(recommender, fusion, embedded)
            moments.append(time.perf_counter())
            recommender.recommend([someone])
            moments.append(time.perf_counter())
            for name, seconds in zip(taken, [*np.diff(moments), moments[-1] - moments[0]], strict=True):
                taken[name].append(float(seconds))
    return loading, taken


def with_pictures(catalogue: Catalogue) -> pl.DataFrame:
    """The first articles that have a picture, under new ids."""
    rows = [row for row, path in enumerate(catalogue.images) if path][: ITEMS + 1]
    told = {columns.TITLE: catalogue.titles, columns.DESCRIPTION: catalogue.descriptions, columns.IMAGE: catalogue.images}
    table = {columns.ITEM: [f"new-{row}" for row in rows]} | {name: [texts[row] for row in rows] for name, texts in told.items()}
    return pl.DataFrame(table | {name: [catalogue.group_of(name, row) for row in rows] for name in catalogue.codes})


if __name__ == "__main__":
    main()
