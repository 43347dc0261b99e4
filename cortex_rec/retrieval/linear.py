"""An item-item model in closed form, sparse plus low rank: what spreads from a user's items over the graph, and is then sharpened."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh, qr
from threadpoolctl import ThreadpoolController

from cortex_rec.arrays import F32, F64, I32, I64, Array, Bool, Ragged, extended, load_arrays, pointers, save_arrays, vars_of
from cortex_rec.config import Linear as LinearConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval.protocol import Evidence, ScoresAll
from cortex_rec.splits import distinct

#: Items whose neighbours are in memory at once.
BLOCK: Final = 1_024
#: Of the singular vectors: passes over the purchases, and dimensions beyond those that are kept.
ITERATIONS: Final = 4
SPARE: Final = 32
# Several threads sum a product in another order than one does.
_blas: Final = ThreadpoolController().select(user_api="blas")


@dataclass(frozen=True)
class Linear(ScoresAll):
    """The score of an item is linear in the user's items: a stranger is answered as a known user is.

    Parameters
    ----------
    pointer, neighbour, near
        For each item its neighbours, (n_items + 1,) int64 and int32 rows, and how near they are, float32.
    inward, outward
        (n_items, k) float32: what the items of a history say of its place in the band of the first k frequencies, and what the place
        says of an item; a user's vector and the items' for an index of inner products.
    """

    pointer: I64
    neighbour: I32
    near: F32
    inward: F32
    outward: F32

    @cached_property
    def _neighbours(self) -> sp.csr_matrix:
        return sp.csr_matrix((self.near, self.neighbour, self.pointer), shape=(len(self.inward), len(self.inward)))

    def scores(self, lists: Ragged) -> F32:
        """(len(lists), n_items) float32 for the distinct items of each history; zeros for an empty one."""
        histories = indicators(lists, len(self.inward))
        found: F32 = (histories @ self._neighbours).toarray()
        found += (histories @ self.inward) @ self.outward.T
        return found

    def _dense(self, queries: Queries) -> Iterator[F64]:
        return alone(queries, lambda lists, _: self.scores(lists), self.sold)

    @cached_property
    def sold(self) -> Bool:
        """(n_items,) bool, the items with a purchase, which are what is retrieved: each is its own neighbour."""
        found: Bool = np.diff(self.pointer) > 0
        return found

    def widened(self, new: Newcomers) -> Self:
        n = len(new)
        return replace(
            self,
            pointer=extended(self.pointer, n, self.pointer[-1]),
            inward=extended(self.inward, n, 0),
            outward=extended(self.outward, n, 0),
        )

    def save(self, folder: Path) -> None:
        save_arrays(folder / "linear.safetensors", vars_of(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(**load_arrays(folder / "linear.safetensors"))


def fit(evidence: Evidence, config: LinearConfig, *, start: object = None) -> Linear:
    """Learn from the distinct (user, item) pairs before `as_of`."""
    return learn(distinct(evidence.histories), evidence.n_items, config, seed=evidence.seed)


def learn(pairs: Ragged, n_items: int, config: LinearConfig, *, seed: int) -> Linear:
    """Normalise the purchases, keep each item's nearest neighbours and the first singular vectors.

    Parameters
    ----------
    pairs
        Each user's distinct items.
    n_items
        Size of the catalogue.
    seed
        Of the first guess at the singular vectors.

    Source
    ------
    Shen et al. 2021, How powerful is graph convolution for recommendation? (GF-CF, arXiv:2108.07567): neighbours and band, each purchase
    divided by the roots of both its ends' degrees. Three powers take the place of the roots: how much users of many items count less, and
    how much popular items do where the score enters and where it leaves.
    Choi et al. 2023, Blurring-sharpening process models for collaborative filtering (BSPM, arXiv:2211.09324): one step of sharpening,
    the step back against the direction in which the graph would blur further. Theirs passes all scores through the graph a second time
    for every request; here that second pass goes through the band alone, which holds nearly all that two passes leave.
    """
    buyers = np.maximum(np.bincount(pairs.item, minlength=n_items), 1)
    lengths = np.maximum(np.diff(pairs.pointer), 1)
    left, right = sp.diags_array(lengths**-config.user_power), sp.diags_array(buyers**-0.5)
    normal = sp.csr_matrix(left @ indicators(pairs, n_items) @ right, dtype=np.float32)
    basis, power = _singular(normal, config.dimensions, seed)
    # The graph's largest frequency is 1 only where all powers are roots.
    normal, power = normal / np.sqrt(power[0]), power / power[0]
    gain = config.band * (1 - config.sharpening * power) - config.sharpening * power**2
    enter, leave = (buyers ** (0.5 - share) for share in (config.in_power, config.out_power))
    near = _nearest(normal, enter.astype(np.float32), leave.astype(np.float32), config.neighbours)
    return Linear(*near, (enter[:, None] * basis * gain).astype(np.float32), (leave[:, None] * basis).astype(np.float32))


def alone(queries: Queries, scores: Callable[[Ragged, Array], F32], sold: Bool) -> Iterator[F64]:
    """How far the scores of one query after the other exceed the least one of a sold item; unsold items have none.

    One after the other, since the products of several histories round otherwise; above the least, since sharpening may take all below zero.
    """
    pointer, item = queries.items_pointer, queries.items.member
    for i in range(len(queries)):
        with _blas.limit(limits=1):
            found = scores(Ragged.of([item[pointer[i] : pointer[i + 1]]]), queries.users[i : i + 1])[0].astype(np.float64)
        yield np.where(sold, found - found[sold].min(initial=np.inf), 0.0)


def indicators(lists: Ragged, n_items: int) -> sp.csr_matrix:
    """(len(lists), n_items) float32 of ones at the items of each list."""
    return sp.csr_matrix((np.ones(len(lists.item), np.float32), lists.item, lists.pointer), shape=(len(lists), n_items))


def _singular(normal: sp.csr_matrix, k: int, seed: int) -> tuple[F32, F32]:
    """The first right singular vectors (n_items, k) and squared values (k,) of a sparse matrix; at most as many as it has rows and columns.

    Source
    ------
    Halko, Martinsson, Tropp 2011, Finding structure with randomness (arXiv:0909.4061), algorithms 4.4 and 5.1: subspace iteration, whose
    last step is the eigenvalues of a small matrix.
    """
    wide = min(k + SPARE, *normal.shape)
    space = np.random.default_rng(seed).normal(size=(normal.shape[1], wide)).astype(np.float32)
    for _ in range(ITERATIONS):
        space, _ = qr(normal.T @ (normal @ space), mode="economic")
    inner = normal @ space
    values, rotation = eigh(inner.T.astype(np.float64) @ inner)
    first = np.argsort(-values)[: min(k, wide)]
    return (space @ rotation[:, first].astype(np.float32)).astype(np.float32), values[first].astype(np.float32)


def _nearest(normal: sp.csr_matrix, enter: F32, leave: F32, most: int) -> tuple[I64, I32, F32]:
    """Of each row of enter * normal.T @ normal * leave the `most` largest entries, by column: pointer, columns, entries."""
    across, normal = sp.csr_matrix(sp.diags_array(enter) @ normal.T), sp.csr_matrix(normal @ sp.diags_array(leave))
    counts, columns, entries = [], [], []
    for start in range(0, across.shape[0], BLOCK):
        rows = sp.csr_matrix(across[start : start + BLOCK] @ normal)
        for i in range(rows.shape[0]):
            own = slice(rows.indptr[i], rows.indptr[i + 1])
            kept = _largest(rows.data[own], rows.indices[own], most)
            counts.append(len(kept))
            columns.append(rows.indices[own][kept].astype(np.int32))
            entries.append(rows.data[own][kept].astype(np.float32))
    return pointers(np.array(counts, np.int64)), np.concatenate(columns), np.concatenate(entries)


def _largest(entries: F32, columns: I32, most: int) -> I64:
    """Positions of the `most` largest entries in the order of their columns, of equal ones the first columns."""
    chosen = np.lexsort((columns, -entries))[:most] if len(entries) > most else np.arange(len(entries))
    return chosen[np.argsort(columns[chosen])]
