"""Inner-product search: exact for a shop's catalogue, by cells beyond it. Whatever is found is scored again, so equal ones go by row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Self, TypeVar, cast

import faiss
import numpy as np

from cortex_rec.arrays import F32, I64, Ragged, largest, pointers, ranges, reached
from cortex_rec.errors import ArtifactError
from cortex_rec.retrieval.outlines import Outlines

#: Up to so many vectors of like length the search is exact: `docs/retrieval.md` has what it costs beyond.
EXACT: Final = 200_000
#: One cell in so many is searched.
SEARCHED: Final = 32
#: Vectors a cell that the cells are learned from.
LEARNED: Final = 64
#: As many more than asked are looked at in cells, since the last of those asked may have equals.
SPARE: Final = 32
#: An exact search first multiplies out so many times as many as asked, to know what the nearest must reach.
FIRST: Final = 2
#: It begins with so many times as many as asked, the longest of all vectors: the others are looked at if any of them is long enough.
LONGEST: Final = 32
#: Where more than one in so many may be among the nearest, as few axes tell little of a query, all are multiplied out.
MANY: Final = 8
#: Queries that are multiplied out with all vectors at once: one product of matrices reads the vectors once for all of them.
TOGETHER: Final = 32
#: Vectors that are compared bit by bit at once.
COMPARED: Final = 1_000
_FILE: Final = "index.faiss"
#: Products (m, n) of queries (m, d) with vectors (n, d).
Product = Callable[[F32, F32], F32]
_product: Final[ContextVar[Product | None]] = ContextVar("product", default=None)
_Kind = TypeVar("_Kind", bound=faiss.Index)


@dataclass(frozen=True)
class Index:
    """Vectors that are searched.

    Parameters
    ----------
    vectors
        (m, d) float32.
    rows
        (n,) int64 what they are called in an answer, vector by vector, ascending for each of them.
    cells
        The vectors once more, a byte a dimension and in cells, where they are too many to look at each.
    pointer
        (m + 1,) int64, where each vector's rows begin and end; each has one of its own when absent.
    """

    vectors: F32
    rows: I64
    cells: faiss.IndexIVF | None = field(default=None, compare=False)
    pointer: I64 | None = None

    @classmethod
    def over(cls, vectors: F32, rows: I64) -> Self:
        """Take equal vectors for one, choose by how many differ, and learn the cells where they are too many; `rows` ascend."""
        one = cls._differing(vectors, rows)
        return one if len(one.vectors) <= EXACT else replace(one, cells=filled(in_cells(*one.vectors.shape), one.vectors))

    @classmethod
    def _differing(cls, vectors: F32, rows: I64) -> Self:
        """The vectors that differ, in the order of their first rows: variants of a product often say and show the same."""
        bits = np.ascontiguousarray(vectors).view(np.uint32)
        # A linear hash: by chance two that differ have the same.
        key = np.einsum("ij,j->i", bits, np.random.default_rng(0).integers(1 << 64, size=bits.shape[1], dtype=np.uint64), dtype=np.uint64)
        order = np.argsort(key, kind="stable")
        again = 1 + np.flatnonzero(key[order[1:]] == key[order[:-1]])
        new = np.ones(len(order), np.bool_)
        # Two that differ in spite of one key stay apart, and so may some of their equals: that costs a place and changes no answer.
        for part in np.array_split(again, len(again) // COMPARED + 1):
            new[part] = (bits[order[part]] != bits[order[part - 1]]).any(axis=1)
        if new.all():
            return cls(vectors, rows)
        first, counts = order[new], np.diff(np.append(np.flatnonzero(new), len(order)))
        by_first = np.argsort(first)
        starts = (np.cumsum(counts) - counts)[by_first]
        return cls(vectors[first[by_first]], rows[order[ranges(starts, counts[by_first])]], pointer=pointers(counts[by_first]))

    def with_others(self, vectors: F32, rows: I64) -> Self:
        """Further vectors, whose rows are above all others; cells stay as they were learned."""
        cells, pointer = self.cells, self.pointer
        if cells is not None:
            cells = cast("faiss.IndexIVF", faiss.clone_index(cells))
            cells.add(vectors)
        if pointer is not None:
            pointer = np.append(pointer, pointer[-1] + np.arange(1, len(rows) + 1))
        return type(self)(np.concatenate([self.vectors, vectors]), np.append(self.rows, rows), cells, pointer)

    def save(self, folder: Path) -> None:
        """Write the cells, if there are any; the vectors are their owner's."""
        if self.cells is not None:
            faiss.write_index(self.cells, str(folder / _FILE))

    @classmethod
    def load(cls, folder: Path, vectors: F32, rows: I64) -> Self:
        """The index that `over` made of the same vectors; a file of cells that does not fit them is an `ArtifactError`."""
        path, one = folder / _FILE, cls._differing(vectors, rows)
        if not path.exists():
            return one
        cells = _read(path, faiss.IndexIVF)
        if (cells.ntotal, cells.d) != one.vectors.shape:
            raise ArtifactError(f"{path}: holds {cells.ntotal} vectors of {cells.d} numbers, expected {one.vectors.shape}. Train again.")
        return replace(one, cells=cells)

    @cached_property
    def outlines(self) -> Outlines:
        """What an exact search looks at first."""
        return Outlines.of(self.vectors)


def search(index: Index, queries: F32, n: int) -> Ragged:
    """The `n` nearest of each query (m, d), as rows, best first, equal ones by row; a query of zeros finds nothing.

    By cells a query may find other than the nearest, and fewer than `n` where the cells that it looks at hold fewer.
    """
    of_all, found = min(n, len(index.vectors)), [index.rows[:0]] * len(queries)
    asking = np.flatnonzero(queries.any(axis=1)) if of_all > 0 else np.zeros(0, np.int64)
    if index.cells is None:
        nearest = _nearest(index, queries[asking], of_all)
    else:
        nearest = [nearest_by(index.cells, index.vectors, query, of_all) for query in queries[asking]]
    for i, (at, products) in zip(asking.tolist(), nearest, strict=True):
        found[i] = index.rows[at] if index.pointer is None else _rows(index.rows, index.pointer, at, products, n)
    return Ragged.of(found)


def _rows(rows: I64, pointer: I64, at: I64, products: F32, n: int) -> I64:
    """The best `n` rows of vectors (k,) with their products, best first: those of equal products by row."""
    counts = np.minimum(pointer[at + 1] - pointer[at], n)
    full = int(np.searchsorted(np.cumsum(counts), n))
    needed = products >= products[min(full, len(at) - 1)]
    own = rows[ranges(pointer[at[needed]], counts[needed])]
    return own[np.lexsort((own, -np.repeat(products[needed], counts[needed])))[:n]]


def in_cells(n: int, width: int, codes: str = "SQ8") -> faiss.IndexIVF:
    """An empty index for `n` vectors of `width` numbers, kept as FAISS calls `codes`, in some four cells for each of the root of `n`."""
    cells = 1 << max(int(np.log2(4 * np.sqrt(n))), 5)
    index = cast("faiss.IndexIVF", faiss.index_factory(width, f"IVF{cells},{codes}", faiss.METRIC_INNER_PRODUCT))
    index.nprobe = max(cells // SEARCHED, 1)
    return index


def filled(index: faiss.IndexIVF, vectors: F32) -> faiss.IndexIVF:
    """The index with the vectors in it, trained on every few of them."""
    index.train(np.ascontiguousarray(vectors[:: max(len(vectors) // (LEARNED * index.nlist), 1)]))
    index.add(np.ascontiguousarray(vectors, np.float32))
    return index


def nearest_by(searcher: faiss.Index, vectors: F32, query: F32, n: int, wider: int = 1) -> tuple[I64, F32]:
    """(at most n,) positions that an index finds for a query (d,), the best of `wider` times as many, and their own products."""
    # One query at a time: the cells of several at once are found by a product of matrices, which rounds otherwise.
    _, near = searcher.search(np.ascontiguousarray(query[None], np.float32), min(wider * n + SPARE, searcher.ntotal))
    at = np.sort(near[0][near[0] >= 0])
    products = _products(vectors, query, at)
    best = np.lexsort((at, -products))[:n]
    return at[best], products[best]


def _nearest(index: Index, queries: F32, n: int) -> list[tuple[I64, F32]]:
    """Of each query (m, d) the positions of the `n` nearest of all, and their products."""
    rounding, product = index.outlines.slack * np.sqrt(inner_products(queries, queries)), _product.get()
    if product is None:
        near = [_possible(index, query, n, float(off)) for query, off in zip(queries, rounding, strict=True)]
        many = np.array([i for i, at in enumerate(near) if len(at) > len(index.vectors) // MANY], np.int64)
    else:
        near, many = [np.zeros(0, np.int64)] * len(queries), np.arange(len(queries))
    for start in range(0, len(many), TOGETHER):
        block = many[start : start + TOGETHER]
        for i, nearly in zip(block, (product or _multiplied)(queries[block], index.vectors), strict=True):
            near[i] = np.flatnonzero(nearly >= reached(nearly, n) - 2 * rounding[i])
    nearest = []
    for query, at in zip(queries, near, strict=True):
        products = _products(index.vectors, query, at)
        # A vector's first row is its least, so nothing beyond the `n` best vectors by it has a row among the `n` best.
        best = largest(products, index.rows[at if index.pointer is None else index.pointer[at]], n)
        nearest.append((at[best], products[best]))
    return nearest


@contextmanager
def multiplied_by(product: Product) -> Iterator[None]:
    """Within, an exact search asks for the products of all vectors, in float32, in place of outlines; what it finds stays the same."""
    token = _product.set(product)
    try:
        yield
    finally:
        _product.reset(token)


def _multiplied(queries: F32, vectors: F32) -> F32:
    return queries @ vectors.T


def _possible(index: Index, query: F32, n: int, rounding: float) -> I64:
    """Positions of whatever may be among the `n` nearest, as far as outlines tell."""
    outlines, looked_at = index.outlines, 0
    needed = min(LONGEST * n, len(index.vectors))
    while looked_at < needed:
        looked_at = needed
        nearly, most = outlines.near(query, looked_at)
        at = np.flatnonzero(nearly >= reached(nearly, FIRST * n))
        # As many are no less than this, so whatever cannot reach it is not among the nearest, and what is too short cannot.
        least = np.partition(_products(index.vectors, query, outlines.order[at]), len(at) - n)[len(at) - n] - rounding
        needed = outlines.as_long_as(float(least) / float(np.linalg.norm(query.astype(np.float64))))
    return outlines.order[np.flatnonzero(most >= least)]


def _products(vectors: F32, query: F32, at: I64) -> F32:
    chosen = vectors.take(at, axis=0)
    return inner_products(np.broadcast_to(query, chosen.shape), chosen)


def products_of(queries: F32, vectors: F32, lists: Ragged) -> F32:
    """(len(lists.item),) float32 products of each query (m, d) with the vectors (n, d) of its items, each from these two alone."""
    return inner_products(queries.take(lists.owner, axis=0), vectors.take(lists.item, axis=0))


def inner_products(left: F32, right: F32) -> F32:
    """(n,) float32 products of paired rows, each from its own row alone."""
    products: F32 = np.einsum("ij,ij->i", left, right)
    return products


def directions(vectors: F32) -> F32:
    """(n, d) float32 of length one, each from its own row alone; zeros stay zeros."""
    length = np.sqrt(inner_products(vectors, vectors))[:, None]
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def save(vectors: F32, path: Path) -> None:
    """Write (n, d) float32 vectors in the format of FAISS."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, np.float32))
    faiss.write_index(index, str(path))


def load(path: Path) -> F32:
    """Read the vectors that `save` wrote; an unreadable file is an `ArtifactError`."""
    index = _read(path, faiss.IndexFlatIP)
    vectors: F32 = index.reconstruct_n(0, index.ntotal)
    return vectors


def _read(path: Path, expected: type[_Kind]) -> _Kind:
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise ArtifactError(f"{path}: FAISS cannot read this index. Verify the release with `cortex-rec releases verify`.") from error
    if not isinstance(index, expected):
        raise ArtifactError(f"{path}: holds a {type(index).__name__}, expected an {expected.__name__}. Train again with this version.")
    return index
