"""How long words and pictures of the H&M sample take to become vectors, from nothing and again, on two cores.

`make bench NAME=embeddings`; the sample has to lie in `../shared/data/hm-sample`.
"""

import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.harness import OUT, ROOT, Benchmark
from cortex_rec.arrays import F32
from cortex_rec.config import ImageEmbedding, TextEmbedding
from cortex_rec.embeddings import images, text

DATA: Final = ROOT.parent / "shared" / "data" / "hm-sample"
THREADS: Final = 2


def main() -> None:
    """Print items a second of a first run and the seconds of a second one, which embeds nothing."""
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: this benchmark reads a sample of H&M's articles and their pictures from that folder.")
    benchmark = Benchmark("embeddings", seed=0)
    articles = pl.read_csv(DATA / "articles.csv.gz", infer_schema_length=0)
    said = [". ".join(filter(None, pair)) for pair in articles.select("prod_name", "detail_desc").fill_null("").rows()]
    paths = [DATA / "images" / article[:3] / f"{article}.jpg" for article in articles["article_id"]]
    shown = [str(path) if path.exists() else "" for path in paths]
    cache = OUT / "embeddings"
    shutil.rmtree(cache, ignore_errors=True)
    rows = [
        _row("text, minilm", lambda progress: text.embed(said, TextEmbedding(), cache=cache, threads=THREADS, progress=progress)),
        _row(
            "image, efficientnet-lite0",
            lambda progress: images.embed(shown, ImageEmbedding(), cache=cache, threads=THREADS, progress=progress).vectors,
        ),
    ]
    benchmark.finish(rows, threads=THREADS, articles=len(said), cache_mb=round(sum(file.stat().st_size for file in cache.iterdir()) / 1e6))


def _row(method: str, embed: Callable[[Callable[[int, int], None]], F32]) -> dict[str, Any]:
    counts: list[int] = []
    print(f"{method} …", flush=True)
    first, seconds = _timed(embed, counts)
    embedded, counts = counts[-1], [0]
    again, seconds_again = _timed(embed, counts)
    if not np.array_equal(first, again):
        sys.exit(f"{method}: the second run's vectors differ from the first's.")
    return {
        "method": method,
        "default": True,
        "items": int((first != 0).any(axis=1).sum()),
        "embedded": embedded,
        "seconds": round(seconds, 1),
        "embedded_a_second": round(embedded / seconds, 1),
        "embedded_again": counts[-1],
        "seconds_again": round(seconds_again, 2),
    }


def _timed(embed: Callable[[Callable[[int, int], None]], F32], counts: list[int]) -> tuple[F32, float]:
    start = time.perf_counter()
    vectors = embed(lambda done, total: counts.append(done))
    return vectors, time.perf_counter() - start


if __name__ == "__main__":
    main()
