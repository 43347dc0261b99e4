"""A neural ranker that attends from each candidate to the shopper's latest items, answered in plain NumPy.

The training is in `neural_training.py`, which needs torch; answering does not.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
from threadpoolctl import ThreadpoolController

from cortex_rec.arrays import F32, I32, Array, Bool, load_arrays, save_arrays, vars_of
from cortex_rec.config import Ranking
from cortex_rec.errors import EmptyTrainingSetError
from cortex_rec.features.assemble import Matrix
from cortex_rec.folders import readable
from cortex_rec.ranking import piecewise
from cortex_rec.ranking.piecewise import Piecewise
from cortex_rec.ranking.training import TrainingLists, bought, column, informative

#: Candidates scored at once, the last ones of a list filled up to as many: matrix products of another shape round otherwise, and a
#: candidate's score would depend on how many others there are.
BLOCK: Final = 64
#: What is told of how an item was bought: see `habits`.
HABITS: Final = 6
# Several threads sum a product in another order than one does, and wait for each other longer than such small ones take.
_blas: Final = ThreadpoolController().select(user_api="blas")
_ARRAYS: Final = "neural.safetensors"
_NAMES: Final = "neural.json"


class Memory(NamedTuple):
    """What the candidates of one list attend to.

    Parameters
    ----------
    item
        (length,) int32 item rows, -1 where the history is shorter.
    keys, values
        (heads, width of a head, length) and (heads, length, width of a head) float32.
    bias
        (heads, 1, length) float32, minus infinity where the history is shorter.
    """

    item: I32
    keys: F32
    values: F32
    bias: F32


@dataclass(frozen=True)
class Neural:
    """The weights of `neural_training.Network` by their names there, and what its numbers mean.

    Parameters
    ----------
    features
        The columns that it reads.
    pieces
        How their values become inputs.
    history
        How many of the latest items are attended to.
    weights
        float32 arrays; of a linear layer the transposed `weight` (inputs, outputs) and the `bias` (outputs,).
    """

    features: tuple[str, ...]
    pieces: Piecewise
    history: int
    weights: Mapping[str, F32]

    def score(self, matrix: Matrix) -> F32:
        """(n,) float32 logits of a softmax over a list; a feature that the matrix lacks counts as missing."""
        values, lists = matrix.columns(self.features), matrix.lists
        scores = np.zeros(len(values), np.float32)
        with _blas.limit(limits=1):
            for i in np.flatnonzero(np.diff(lists.pointer)):
                memory = self._memory(matrix, int(i))
                for start in range(lists.pointer[i], lists.pointer[i + 1], BLOCK):
                    rows = slice(start, min(start + BLOCK, lists.pointer[i + 1]))
                    items = _filled(lists.item[rows])
                    scores[rows] = self._block(_filled(values[rows]), items, matrix.vectors[items], memory)[: rows.stop - start]
        return scores

    def importances(self) -> list[tuple[str, float]]:
        """None: a feature's weights alone do not say what it counts for."""
        return []

    def contributions(self, matrix: Matrix) -> None:
        """None: what a feature adds cannot be told apart from what the others make of it."""

    def contributions_by_kind(self, matrix: Matrix) -> None:
        """None, for the same reason."""

    def _memory(self, matrix: Matrix, i: int) -> Memory:
        heads, recent, latest = len(self.weights["same"]), matrix.recent, slice(0, self.history)
        item = recent.item[i, latest]
        habit = habits(recent.days[i, latest], recent.baskets[i, latest])
        vectors = self._linear("item", matrix.vectors[np.maximum(item, 0)])
        keys = self._linear("key", vectors) + self._linear("habit_key", habit)
        values = self._linear("value", vectors) + self._linear("habit_value", habit)
        bias = np.where(item[:, None] >= 0, self._linear("habit_bias", habit), -np.inf).astype(np.float32)
        return Memory(
            item,
            np.ascontiguousarray(keys.reshape(len(item), heads, -1).transpose(1, 2, 0)),
            np.ascontiguousarray(values.reshape(len(item), heads, -1).transpose(1, 0, 2)),
            np.ascontiguousarray(bias.T)[:, None],
        )

    def _block(self, values: F32, items: I32, vectors: F32, memory: Memory) -> F32:
        """(BLOCK,) float32 scores of candidates of one list."""
        candidate = self._linear("item", vectors)
        context, attention = self._attended(candidate, items, memory)
        features = np.maximum(self._linear("first", self.pieces.encode(values)), 0)
        inputs = np.concatenate([features, candidate, context, candidate * context, attention], axis=1)
        crossed = inputs
        for layer in range(self._depth("cross_in")):
            crossed = crossed + inputs * self._linear(f"cross_out.{layer}", crossed @ self.weights[f"cross_in.{layer}.weight"])
        deep = inputs
        for layer in range(self._depth("deep")):
            deep = np.maximum(self._linear(f"deep.{layer}", deep), 0)
        return self._linear("last", np.concatenate([deep, crossed], axis=1))[:, 0]

    def _attended(self, candidate: F32, items: I32, memory: Memory) -> tuple[F32, F32]:
        """What each candidate finds in the history (BLOCK, width), and how much of it fits, by head (BLOCK, heads)."""
        heads, size, _ = memory.keys.shape
        query = self._linear("query", candidate).reshape(BLOCK, heads, size).transpose(1, 0, 2)
        fit = np.matmul(np.ascontiguousarray(query), memory.keys) + memory.bias
        fit += self.weights["same"][:, None, None] * (items[:, None] == memory.item)
        # A key of zero that every history has: where nothing fits, nothing is found.
        highest = np.maximum(fit.max(axis=2, keepdims=True), 0)
        weight = np.exp(fit - highest)
        total = weight.sum(axis=2, keepdims=True) + np.exp(-highest)
        context = np.matmul(weight / total, memory.values)
        return context.transpose(1, 0, 2).reshape(BLOCK, -1), (highest + np.log(total))[:, :, 0].T

    def _linear(self, name: str, inputs: F32) -> F32:
        result: F32 = inputs @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return result

    def _depth(self, layers: str) -> int:
        """How many layers of a kind there are."""
        return next(depth for depth in count() if f"{layers}.{depth}.weight" not in self.weights)

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        arrays: dict[str, Array] = {f"pieces.{name}": values for name, values in vars_of(self.pieces).items()}
        save_arrays(folder / _ARRAYS, arrays | {f"weights.{name}": values for name, values in self.weights.items()})
        (folder / _NAMES).write_text(json.dumps({"features": self.features, "history": self.history}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If a file is missing or damaged.
        """
        parts: dict[str, dict[str, Array]] = {"pieces": {}, "weights": {}}
        with readable(folder, "the ranker"):
            names = json.loads((folder / _NAMES).read_text(encoding="utf-8"))
            for path, values in load_arrays(folder / _ARRAYS).items():
                part, name = path.split(".", 1)
                parts[part][name] = values
            return cls(tuple(names["features"]), Piecewise(**parts["pieces"]), names["history"], parts["weights"])


def fit(
    lists: Sequence[TrainingLists],
    config: Ranking,
    *,
    validation: Sequence[TrainingLists] = (),
    seed: int,
    threads: int,
) -> Neural:
    """Learn to put what was bought before what was not.

    Parameters
    ----------
    lists
        Training lists, one a window; features that some window lacks count as missing there.
    validation
        The epoch that is best on these lists is kept.
    threads
        Cores to use; the result depends on it in the last bits. A CUDA device is used where there is one.

    Raises
    ------
    EmptyTrainingSetError
        If no list of any window has both a bought candidate and another.
    """
    # Imported here so that a service that only answers never loads torch.
    from cortex_rec.ranking import neural_training

    if not any(tells(each).any() for each in lists):
        raise EmptyTrainingSetError(
            "ranker: no list of any training window has a bought candidate and another. Raise the retrievers' `n` or use more windows."
        )
    # A value that all of a window share tells windows apart, and none of these will come again.
    within = {name for each in lists for name in informative([each])}
    features, own = tuple(name for name in informative(lists) if name in within), config.neural
    pieces = piecewise.fit((column(lists, name) for name in features), bought(lists), own.pieces)
    weights = neural_training.train(lists, validation, features, pieces, own, seed=seed, threads=threads)
    return Neural(features, pieces, own.history, weights)


def tells(lists: TrainingLists) -> Bool:
    """(n_lists,) bool, whether a list has both a bought candidate and another."""
    candidates = lists.matrix.lists
    wanted = np.bincount(candidates.owner, lists.bought, len(candidates))
    return (wanted > 0) & (wanted < np.diff(candidates.pointer))


def habits(days: F32, baskets: F32) -> F32:
    """(..., HABITS) float32 of how long ago and how often an item was bought; zeros where there is none."""
    age = np.log1p(days) / 3
    shapes = [age, age * age, np.exp(-days / 14), np.exp(-days / 60), np.exp(-(((days - 7) / 3) ** 2)), np.log(baskets) / 2]
    return np.nan_to_num(np.stack(shapes, axis=-1).astype(np.float32))


def _filled(rows: Array) -> Array:
    """The rows, with copies of the first after them, `BLOCK` in all."""
    if len(rows) == BLOCK:
        return rows
    result = np.empty((BLOCK, *rows.shape[1:]), rows.dtype)
    result[: len(rows)] = rows
    result[len(rows) :] = rows[0]
    return result
