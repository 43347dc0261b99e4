"""FAISS inner-product search that answers a batch and a single query with the same bits."""

from pathlib import Path

import faiss
import numpy as np

from cortex_rec.arrays import F32, I64, Ragged, pointers
from cortex_rec.errors import ArtifactError

# Above this many queries FAISS changes to matrix products, which round otherwise than a single query does.
faiss.cvar.distance_compute_blas_threshold = 1 << 30


def build(vectors: F32) -> faiss.IndexFlatIP:
    """An exact index over (n, d) float32 vectors; row `i` has the id `i`."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, np.float32))
    return index


def search(index: faiss.IndexFlatIP, rows: I64, queries: F32, n: int) -> Ragged:
    """The `n` nearest of each query, as rows of `rows`, best first; a query of zeros finds nothing."""
    n = min(n, index.ntotal)
    asked = np.any(queries != 0, axis=1)
    found = np.zeros((len(queries), n), np.int64)
    if asked.any() and n:
        found[asked] = _nearest(index, np.ascontiguousarray(queries[asked], np.float32), n)
    return Ragged(pointers(np.where(asked, n, 0)), rows[found[asked]].astype(np.int32).ravel())


def _nearest(index: faiss.IndexFlatIP, queries: F32, n: int) -> I64:
    """(len(queries), n) ids, each query answered by one thread.

    With fewer queries than threads FAISS divides the vectors among the threads instead, and sums in another order.
    """
    threads = faiss.omp_get_max_threads()
    if len(queries) < threads:
        faiss.omp_set_num_threads(1)
    try:
        ids: I64 = index.search(queries, n)[1]
        return ids
    finally:
        faiss.omp_set_num_threads(threads)


def inner_products(left: F32, right: F32) -> F32:
    """(n,) float32 products of paired rows, each from its own row alone."""
    products: F32 = np.einsum("ij,ij->i", left, right)
    return products


def save(index: faiss.IndexFlatIP, path: Path) -> None:
    """Write the index in the format of FAISS."""
    faiss.write_index(index, str(path))


def load(path: Path) -> faiss.IndexFlatIP:
    """Read what `save` wrote; an unreadable file is an `ArtifactError`."""
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise ArtifactError(f"{path}: FAISS cannot read this index. Verify the release with `cortex-rec releases verify`.") from error
    if not isinstance(index, faiss.IndexFlatIP):
        raise ArtifactError(f"{path}: holds a {type(index).__name__}, expected an IndexFlatIP. Train again with this version.")
    return index


def vectors_of(index: faiss.IndexFlatIP) -> F32:
    """The (n, d) float32 vectors of a flat index, without a copy of the index."""
    stored: F32 = index.reconstruct_n(0, index.ntotal)
    return stored
