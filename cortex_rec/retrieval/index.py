"""Exact inner-product search: FAISS finds the nearest, their products are computed again one by one, so that equal ones go by row."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import faiss
import numpy as np

from cortex_rec.arrays import F32, I64, Ragged, pointers
from cortex_rec.errors import ArtifactError

#: As many more than asked are looked at, since the last of those asked may have equals.
SPARE: Final = 32
#: What float32 may lose of a product, as a share of the largest that there can be.
_ROUNDING: Final = 1e-5


@dataclass(frozen=True)
class Index:
    """Vectors that are searched.

    Parameters
    ----------
    vectors
        (n, d) float32.
    rows
        (n,) int64 what each is called in an answer.
    """

    vectors: F32
    rows: I64

    @cached_property
    def flat(self) -> faiss.IndexFlatIP:
        """The vectors as FAISS searches them."""
        index = faiss.IndexFlatIP(self.vectors.shape[1])
        index.add(np.ascontiguousarray(self.vectors, np.float32))
        return index

    @cached_property
    def longest(self) -> float:
        """The length of the longest vector."""
        return float(np.sqrt(inner_products(self.vectors, self.vectors).max(initial=0)))


def search(index: Index, queries: F32, n: int) -> Ragged:
    """The `n` nearest of each query (m, d), as rows, best first, equal ones by row; a query of zeros finds nothing."""
    n = min(n, len(index.rows))
    asked = np.any(queries != 0, axis=1)
    found = np.zeros((len(queries), n), np.int64)
    if asked.any() and n:
        found[asked] = _nearest(index, np.ascontiguousarray(queries[asked], np.float32), n)
    return Ragged(pointers(np.where(asked, n, 0)), index.rows[found[asked]].astype(np.int32).ravel())


def _nearest(index: Index, queries: F32, n: int) -> I64:
    """(len(queries), n) positions in the index."""
    near_products, near = index.flat.search(queries, min(n + SPARE, len(index.rows)))
    found = np.empty((len(queries), n), np.int64)
    for i, (query, at) in enumerate(zip(queries, near, strict=True)):
        products = _products(index, query, at)
        # As many are no less than this, so whatever does not reach it is not among the nearest.
        least = np.partition(products, len(at) - n)[len(at) - n] - _ROUNDING * index.longest * np.sqrt(query @ query)
        if len(at) < len(index.rows) and near_products[i, -1] >= least:
            _, _, at = index.flat.range_search(queries[i : i + 1], float(least))
            products = _products(index, query, at)
        found[i] = at[np.lexsort((index.rows[at], -products))[:n]]
    return found


def _products(index: Index, query: F32, at: I64) -> F32:
    vectors = index.vectors[at]
    return inner_products(np.broadcast_to(query, vectors.shape), vectors)


def inner_products(left: F32, right: F32) -> F32:
    """(n,) float32 products of paired rows, each from its own row alone."""
    products: F32 = np.einsum("ij,ij->i", left, right)
    return products


def save(vectors: F32, path: Path) -> None:
    """Write (n, d) float32 vectors in the format of FAISS."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, np.float32))
    faiss.write_index(index, str(path))


def load(path: Path) -> F32:
    """Read the vectors that `save` wrote; an unreadable file is an `ArtifactError`."""
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise ArtifactError(f"{path}: FAISS cannot read this index. Verify the release with `cortex-rec releases verify`.") from error
    if not isinstance(index, faiss.IndexFlatIP):
        raise ArtifactError(f"{path}: holds a {type(index).__name__}, expected an IndexFlatIP. Train again with this version.")
    vectors: F32 = index.reconstruct_n(0, index.ntotal)
    return vectors
