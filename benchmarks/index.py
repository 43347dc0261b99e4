"""Which FAISS index for how many items: recall against latency, memory and the time to build, at 10^5, 10^6 and 10^7 vectors.

`make bench NAME=index`; the Gowalla sample has to lie in `../shared/data/gowalla`. Its items' 64 spectral vectors are copied until there
are as many as asked, each copy pushed aside by chance, so that vectors lie in crowds as a shop's do; the questions are its users'. Recall
is the share of the exact 100 nearest that is among the 100 returned; milliseconds are of one question, one thread. `SIZES=100000,1000000`
measures some sizes.
"""

import os
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import faiss
import numpy as np

from benchmarks.harness import Benchmark, whole_numbers
from benchmarks.lightgcn_text import DATA, read
from cortex_rec.arrays import F32, I64
from cortex_rec.retrieval import index
from cortex_rec.retrieval.index import Index
from cortex_rec.retrieval.lightgcn import spectral

SEED: Final = 7
SIZES: Final = (100_000, 1_000_000, 10_000_000)
WANTED: Final = 100
QUESTIONS: Final = 200
#: A copy's distance from its item, as a share of the item's length.
ASIDE: Final = 0.5
#: What the package takes up to `index.EXACT` vectors: what FAISS' flat index finds.
EXACT: Final = "exact"
#: What it takes where vectors are too many to look at each.
CELLS: Final = "IVF-SQ8"
#: Products of vectors in half a byte a dimension are rough: so many times what is asked is scored again.
ROUGH: Final = 4
#: More than this one thread does not put into a graph in ten minutes.
GRAPH: Final = 1_000_000


def main() -> None:
    """One row an index and how widely it is searched."""
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: this benchmark makes its vectors from the Gowalla sample in that folder.")
    sizes = whole_numbers("SIZES", ",".join(map(str, SIZES)))
    benchmark, rows = Benchmark("index", seed=SEED), []
    split = read(DATA)
    users, items = spectral(split.train, split.n_items, 64, SEED)
    questions = users[np.random.default_rng(SEED).choice(len(users), QUESTIONS, replace=False)]
    for size in sizes:
        vectors = crowd(items[items.any(axis=1)], size)
        exact: I64 | None = None
        for name, searcher, built, widths in indexes(vectors):
            for width in widths:
                row, found = measured(searcher, vectors, questions, name, width)
                exact = found if exact is None else exact
                recall = float(np.mean([len(np.intersect1d(*pair)) / WANTED for pair in zip(found, exact, strict=True)]))
                chosen = name == (EXACT if size <= index.EXACT else CELLS) and width == widths[-1]
                rows.append(
                    {"items": size, **row, "default": chosen, f"recall@{WANTED}": round(recall, 4), "build_seconds": round(built, 1)}
                )
                print(*rows[-1].values(), flush=True)
        del vectors
    benchmark.finish(rows)


def crowd(items: F32, size: int) -> F32:
    """(size, d) float32 unit vectors around those of the items."""
    generator = np.random.default_rng(SEED)
    found = items[generator.integers(len(items), size=size)]
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    spread = np.float32(ASIDE / np.sqrt(items.shape[1]))
    for start in range(0, size, 100_000):
        part = found[start : start + 100_000]
        part += spread * generator.standard_normal(part.shape, np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return found


def indexes(vectors: F32) -> Iterator[tuple[str, faiss.Index | Index, float, tuple[int, ...]]]:
    """Name, index, seconds to build it, and how widely to search it: the flat one first."""
    n, width = vectors.shape
    yield "flat", *_built(faiss.IndexFlatIP(width), vectors), (0,)
    start, own = time.perf_counter(), Index(vectors, np.arange(n))
    own.outlines  # noqa: B018  (made when first asked for)
    yield EXACT, own, time.perf_counter() - start, (0,)
    if n <= GRAPH:
        yield "HNSW", *_built(faiss.index_factory(width, "HNSW32,Flat", faiss.METRIC_INNER_PRODUCT), vectors), (64, 128, 256)
    for name, codes in {CELLS: "SQ8", "IVF-PQ": f"PQ{width // 2}"}.items():
        searcher, seconds = _built(index.in_cells(n, width, codes), vectors)
        yield name, searcher, seconds, tuple(searcher.nlist // share for share in (256, 128, 64, index.SEARCHED))


def _built(searcher: faiss.Index, vectors: F32) -> tuple[faiss.Index, float]:
    start = time.perf_counter()
    if isinstance(searcher, faiss.IndexIVF):
        index.filled(searcher, vectors)
    else:
        searcher.add(vectors)
    return searcher, time.perf_counter() - start


def measured(searcher: faiss.Index | Index, vectors: F32, questions: F32, name: str, width: int) -> tuple[dict[str, Any], I64]:
    """What one index costs, searched so widely, and what it finds for each question."""
    if isinstance(searcher, faiss.IndexHNSW):
        searcher.hnsw.efSearch = width
    elif isinstance(searcher, faiss.IndexIVF):
        searcher.nprobe = width
    faiss.omp_set_num_threads(1)
    found, seconds = np.empty((len(questions), WANTED), np.int64), np.empty(len(questions))
    for i in range(len(questions)):
        start = time.perf_counter()
        if isinstance(searcher, Index):
            found[i] = index.search(searcher, questions[i : i + 1], WANTED).item
        else:
            found[i] = index.nearest_by(searcher, vectors, questions[i], WANTED, ROUGH if name == "IVF-PQ" else 1)[0]
        seconds[i] = time.perf_counter() - start
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    p50, p99 = np.quantile(seconds * 1e3, [0.5, 0.99])
    row = {
        "method": name,
        "searched": width,
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "index_mb": round((searcher.outlines.nbytes if isinstance(searcher, Index) else faiss.serialize_index(searcher).nbytes) / 1e6),
    }
    return row, found


if __name__ == "__main__":
    main()
