"""A small transformer over a history's items, answering in NumPy; `sequence_training.py` teaches it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from cortex_rec.arrays import F32, I32, Array, Ragged

#: Histories of one length that are read at once.
BLOCK: Final = 256
#: Of torch's layer norm.
EPSILON: Final = 1e-5


@dataclass(frozen=True)
class Encoder:
    """A history becomes a vector, whose inner products with the items' vectors are the logits of the next item.

    Parameters
    ----------
    weights
        Float32 arrays by the names that they have in `sequence_training.Network`: `items` (n_items, d), `popularity` (n_items,), and of
        each block i its `blocks.i.distance` (heads, length), what is added to the attention for something so many places back.
    """

    weights: Mapping[str, F32]

    @cached_property
    def length(self) -> int:
        """How many of a history's last items are read."""
        return len(self.weights["blocks.0.distance"][0])

    @cached_property
    def _blocks(self) -> list[str]:
        return sorted({name.rsplit(".", 2)[0] for name in self.weights if name.endswith(".attend.weight")})

    def logits(self, lists: Ragged) -> F32:
        """(len(lists), n_items) float32 for histories in time order; for an empty one those of popularity."""
        found: F32 = self.states(lists) @ self.weights["items"].T + self.weights["popularity"]
        return found

    def states(self, lists: Ragged) -> F32:
        """(len(lists), d) float32 vectors of the histories; zeros for an empty one."""
        found = np.zeros((len(lists), self.weights["items"].shape[1]), np.float32)
        lengths = np.minimum(np.diff(lists.pointer), self.length)
        for length in np.unique(lengths[lengths > 0]):
            rows = np.flatnonzero(lengths == length)
            for part in np.split(rows, range(BLOCK, len(rows), BLOCK)):
                found[part] = self._read(lists.item[lists.pointer[part + 1][:, None] + np.arange(-length, 0)])
        return found

    def _read(self, items: I32) -> F32:
        """(n, d) vectors of the last places of (n, length) items."""
        vectors = self.weights["items"]
        state: F32 = vectors[items] * np.float32(np.sqrt(vectors.shape[1]))
        for block in self._blocks:
            state += self._attended(block, self._norm(f"{block}.before_attention", state))
            inner = self._dense(f"{block}.widen", self._norm(f"{block}.before_dense", state))
            state += self._dense(f"{block}.narrow", np.maximum(inner, 0))
        return self._norm("after", state[:, -1])

    def _attended(self, block: str, state: F32) -> F32:
        n, length, width = state.shape
        distance = self.weights[f"{block}.distance"]
        heads = len(distance)
        query, key, value = self._dense(f"{block}.attend", state).reshape(n, length, 3, heads, -1).transpose(2, 0, 3, 1, 4)
        back = np.arange(length)[:, None] - np.arange(length)
        logits = query @ key.swapaxes(2, 3) / np.float32(np.sqrt(width // heads)) + distance[:, np.maximum(back, 0)]
        mixed = softmax(np.where(back < 0, np.float32(-np.inf), logits)) @ value
        return self._dense(f"{block}.join", mixed.transpose(0, 2, 1, 3).reshape(n, length, width))

    def _dense(self, name: str, state: F32) -> F32:
        result: F32 = state @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return result

    def _norm(self, name: str, state: F32) -> F32:
        centred = state - state.mean(axis=-1, keepdims=True)
        spread = np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + np.float32(EPSILON))
        result: F32 = centred / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return result


def softmax(logits: Array) -> F32:
    """Shares over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: F32 = raised / raised.sum(axis=-1, keepdims=True)
    return shares
