"""What was bought after what, counted: the closed form of the next item."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from cortex_rec.arrays import F32, I32, I64, Ragged, pointers
from cortex_rec.config import Transitions as TransitionsConfig


@dataclass(frozen=True)
class Transitions:
    """How strongly each item of a history speaks for each item as the next.

    Parameters
    ----------
    pointer, follower, strength
        Of each item those that follow it: (n_items + 1,) int64, int32 rows and float32.
    fading
        (1,) float32; the item at place k from a history's end, the last at 1, counts k to the power of minus this.
    """

    pointer: I64
    follower: I32
    strength: F32
    fading: F32

    @cached_property
    def _matrix(self) -> sp.csr_matrix:
        n_items = len(self.pointer) - 1
        return sp.csr_matrix((self.strength, self.follower, self.pointer), shape=(n_items, n_items))

    def scores(self, lists: Ragged) -> F32:
        """(len(lists), n_items) float32, not below zero, for histories in time order; zeros for an empty one."""
        place = lists.pointer[1:][lists.owner] - np.arange(len(lists.item))
        weight = place.astype(np.float32) ** -self.fading[0]
        found: F32 = (
            sp.csr_matrix((weight, lists.item, lists.pointer), shape=(len(lists), len(self.pointer) - 1)) @ self._matrix
        ).toarray()
        return found


def learn(sequences: Ragged, n_items: int, config: TransitionsConfig) -> Transitions:
    """Count the pairs of each sequence, near ones more, and divide by powers of how often both items occur.

    Parameters
    ----------
    sequences
        Each user's items in time order.
    n_items
        Size of the catalogue.

    Source
    ------
    Garg et al. 2019, Sequence and time aware neighborhood for session-based recommendations (STAN, arXiv:1905.10760) and Choi et al.
    2021, Session-aware linear item-item models for session-based recommendation (SLIST, arXiv:2103.16104): near pairs and the last items
    count more. Here the weights are powers of the distance, and powers of the items' numbers take the place of SLIST's inverse.
    """
    counted = pairs(sequences, n_items, config.reach, config.decay)
    counted = counted + config.backward * counted.T
    scale = np.maximum(np.bincount(sequences.item, minlength=n_items), 1).astype(np.float64)
    matrix = sp.csr_matrix(sp.diags_array(scale**-config.in_power) @ counted @ sp.diags_array(scale**-config.out_power))
    return Transitions(*_strongest(matrix, config.followers), np.array([config.fading], np.float32))


def pairs(sequences: Ragged, n_items: int, reach: int, decay: float) -> sp.csr_matrix:
    """(n_items, n_items) float64 numbers of pairs (earlier, later) at most `reach` apart; at distance d each counts d to minus `decay`."""
    item, owner = sequences.item, sequences.owner
    total = sp.csr_matrix((n_items, n_items), dtype=np.float64)
    for distance in range(1, reach + 1):
        same = owner[distance:] == owner[:-distance]
        if not same.any():
            break
        ends = item[:-distance][same], item[distance:][same]
        total += sp.csr_matrix((np.full(len(ends[0]), float(distance) ** -decay), ends), shape=total.shape)
    return total


def _strongest(matrix: sp.csr_matrix, most: int) -> tuple[I64, I32, F32]:
    """Of each row the `most` largest entries, of equal ones the first columns: pointer, columns, entries."""
    rows, entry = Ragged(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)), matrix.data.astype(np.float32)
    kept = rows.leading(entry, most)
    return pointers(np.bincount(rows.owner[kept], minlength=len(rows))), rows.item[kept], entry[kept]
