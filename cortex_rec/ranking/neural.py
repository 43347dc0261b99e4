"""A neural ranker that attends from each candidate to the shopper's latest items, answered in plain NumPy.

The training is in `neural_training.py`, which needs torch; answering does not.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
from cortex_rec.ranking.piecewise_layer import PiecewiseLayer
from cortex_rec.ranking.training import TrainingLists, bought, column, informative

#: Candidates scored at once, the last ones of a list filled up to as many: matrix products of another shape round otherwise, and a
#: candidate's score would depend on how many others there are.
BLOCK: Final = 64
#: What is told of how an item was bought: see `habits`.
HABITS: Final = 6
#: A fit above this counts as this: its exponential, and the sum of a history's, are still numbers.
_HIGHEST: Final = np.float32(80)
# Several threads sum a product in another order than one does, and wait for each other longer than such small ones take.
_blas: Final = ThreadpoolController().select(user_api="blas")
_ARRAYS: Final = "neural.safetensors"
_NAMES: Final = "neural.json"


class Memory(NamedTuple):
    """What the candidates of one list attend to, all heads side by side.

    Parameters
    ----------
    item
        (length,) int32 item rows, -1 where the history is shorter.
    keys
        (item width, heads * length) float32, through which a candidate's vector gives its fit.
    bias
        (heads * length,) float32 what is added to each fit, minus infinity where the history is shorter.
    values
        (heads * length, item width + heads) float32 what each head finds there, then ones, which add up the shares of each head.
    """

    item: I32
    keys: F32
    bias: F32
    values: F32


class Joint(NamedTuple):
    """All that the inputs of the crosses and of the deep part are multiplied by at once.

    Parameters
    ----------
    weight, bias
        (inputs, k) and (k,) float32: columns of the first deep layer, one that goes straight into the score, those of the first cross's
        inner layer, and, cross by cross, those that bring what it lets through back into the score.
    ends
        Where each of these but the last ends.
    layers
        How many deep layers there are, the first among them.
    """

    weight: F32
    bias: F32
    ends: list[int]
    layers: int


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
        lists, scores = matrix.lists, np.zeros(len(matrix.values), np.float32)
        features = self._first.of(matrix.blocks, matrix.places(self.features))
        habit = habits(matrix.recent.days[:, : self.history], matrix.recent.baskets[:, : self.history])
        with _blas.limit(limits=1):
            for i in np.flatnonzero(np.diff(lists.pointer)).tolist():
                rows = slice(lists.pointer[i], lists.pointer[i + 1])
                memory = self._memory(matrix.recent.item[i, : self.history], habit[i], matrix.vectors)
                scores[rows] = self._scored(features[rows], lists[i], matrix.vectors, memory)
        return scores

    def importances(self) -> list[tuple[str, float]]:
        """None: a feature's weights alone do not say what it counts for."""
        return []

    def contributions(self, matrix: Matrix) -> None:
        """None: what a feature adds cannot be told apart from what the others make of it."""

    def contributions_by_kind(self, matrix: Matrix) -> None:
        """None, for the same reason."""

    @cached_property
    def _first(self) -> PiecewiseLayer:
        return PiecewiseLayer.fold(self.pieces, len(self.features), self.weights["first.weight"], self.weights["first.bias"])

    def _memory(self, item: I32, habit: F32, item_vectors: F32) -> Memory:
        vectors = self._linear("item", item_vectors[np.maximum(item, 0)])
        keys = self._linear("key", vectors) + self._linear("habit_key", habit)
        values = self._linear("value", vectors) + self._linear("habit_value", habit)
        bias = np.where(item[:, None] >= 0, self._linear("habit_bias", habit), -np.inf).astype(np.float32)
        heads, size = bias.shape[1], keys.shape[1]
        # A head's part of a vector meets only its own keys and values: all others are zero.
        own = np.repeat(np.eye(heads, dtype=np.float32), size // heads, axis=1)[:, None]
        keys, values = (own * keys).reshape(-1, size).T, (own * values).reshape(-1, size)
        ones = np.repeat(np.eye(heads, dtype=np.float32), len(item), axis=0)
        query, query_bias = self.weights["query.weight"], self.weights["query.bias"]
        return Memory(item, query @ keys, query_bias @ keys + bias.T.ravel(), np.concatenate([values, ones], axis=1))

    def _scored(self, features: F32, items: I32, item_vectors: F32, memory: Memory) -> F32:
        """(n,) float32 scores of the candidates of one list, of whose features the first layer has made `features`."""
        n, width, size = len(items), len(self.weights["first.bias"]), len(self.weights["item.bias"])
        rows = -(-n // BLOCK) * BLOCK
        vectors = np.zeros((rows, item_vectors.shape[1]), np.float32)
        vectors[:n] = item_vectors[items]
        candidate = self._linear("item", vectors.reshape(-1, BLOCK, vectors.shape[1]))
        fit = (candidate @ memory.keys + memory.bias).reshape(rows, -1, len(memory.item))
        again, latest = np.nonzero(items[:, None] == memory.item)
        fit[again, :, latest] += self.weights["same"]
        shares = np.exp(np.minimum(fit, _HIGHEST, out=fit), out=fit).reshape(-1, BLOCK, len(memory.bias))
        found = shares @ memory.values
        # A key of zero that every history has: where nothing fits, nothing is found.
        total = found[..., size:] + 1
        context = found[..., :size] / np.repeat(total, size // total.shape[-1], axis=-1)
        shown = np.zeros((rows, width), np.float32)
        np.maximum(features[:, :width], 0, out=shown[:n])
        inputs = [shown.reshape(-1, BLOCK, width), candidate, context, candidate * context, np.log(total)]
        return self._last(np.concatenate(inputs, axis=-1)).ravel()[:n]

    def _last(self, inputs: F32) -> F32:
        """(..., 1) float32 scores by the crosses and the deep part.

        A cross is `inputs * y`; what the last layer makes of it comes down to sums over what the cross let through, times `inputs` times a
        matrix. So all matrices that `inputs` meets are one.
        """
        joint = self._joint
        deep: F32
        scores: F32
        deep, scores, through, *back = np.split(inputs @ joint.weight + joint.bias, joint.ends, axis=-1)
        y: Array = np.ones(1, np.float32)
        for layer, each in enumerate(back):
            scores = scores + np.sum(through * each, axis=-1, keepdims=True)
            if layer + 1 < len(back):
                y = y + self._linear(f"cross_out.{layer}", through)
                through = (inputs * y) @ self.weights[f"cross_in.{layer + 1}.weight"]
        if deep.shape[-1] == 0:
            return scores
        deep = np.maximum(deep, 0)
        for layer in range(1, joint.layers):
            deep = np.maximum(self._linear(f"deep.{layer}", deep), 0)
        return scores + deep @ self.weights["last.weight"][: deep.shape[-1]]

    @cached_property
    def _joint(self) -> Joint:
        weights, crosses = self.weights, range(self._depth("cross_in"))
        width = len(weights["first.bias"]) + 3 * len(weights["item.bias"]) + len(weights["same"])
        last = weights["last.weight"][-width:]
        straight = last * (1 + sum((weights[f"cross_out.{layer}.bias"][:, None] for layer in crosses), np.zeros(1, np.float32)))
        nothing = np.zeros((width, 0), np.float32)
        deep, through = weights.get("deep.0.weight", nothing), weights.get("cross_in.0.weight", nothing)
        if deep is nothing:
            straight = straight + weights["last.weight"][:width]
        parts = [deep, straight, through, *(weights[f"cross_out.{layer}.weight"].T * last for layer in crosses)]
        ends = np.cumsum([part.shape[1] for part in parts])
        bias = np.zeros(ends[-1], np.float32)
        bias[: ends[0]], bias[ends[0]] = weights.get("deep.0.bias", 0), weights["last.bias"][0]
        return Joint(np.concatenate(parts, axis=1), bias, ends[:-1].tolist(), self._depth("deep"))

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
