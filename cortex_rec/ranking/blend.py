"""Boosted trees and the neural ranker as one: the weighted sum of their scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F32, load_arrays, save_arrays
from cortex_rec.config import Ranking
from cortex_rec.features.assemble import Matrix
from cortex_rec.ranking import lambdarank, neural
from cortex_rec.ranking.lambdarank import LambdaRank
from cortex_rec.ranking.neural import Neural
from cortex_rec.ranking.training import TrainingLists, spread


@dataclass(frozen=True)
class Blend:
    """Two rankers that err differently.

    Parameters
    ----------
    weights
        (2,) float32 factors of the scores of the trees and of the neural ranker.
    """

    trees: LambdaRank
    neural: Neural
    weights: F32

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that either reads, those of the trees first."""
        return tuple(dict.fromkeys((*self.trees.features, *self.neural.features)))

    def score(self, matrix: Matrix) -> F32:
        """(n,) float32, larger is better within one list."""
        scores: F32 = self.weights[0] * self.trees.score(matrix) + self.weights[1] * self.neural.score(matrix)
        return scores

    def importances(self) -> list[tuple[str, float]]:
        """Those of the trees."""
        return self.trees.importances()

    def contributions(self, matrix: Matrix) -> F32:
        """What each feature adds by way of the trees; what the neural ranker says cannot be told apart and is in the last column."""
        own = self.trees.contributions(matrix) * self.weights[0]
        added = np.zeros((len(own), len(self.features) + 1), np.float32)
        added[:, : len(self.trees.features)] = own[:, :-1]
        added[:, -1] = own[:, -1] + self.weights[1] * self.neural.score(matrix)
        return added

    def contributions_by_kind(self, matrix: Matrix) -> F32:
        """What each kind of feature adds by way of the trees."""
        added: F32 = self.trees.contributions_by_kind(matrix) * self.weights[0]
        return added

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        for name, part in (("trees", self.trees), ("neural", self.neural)):
            (folder / name).mkdir()
            part.save(folder / name)
        save_arrays(folder / "blend.safetensors", {"weights": self.weights})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        weights = load_arrays(folder / "blend.safetensors")["weights"]
        return cls(LambdaRank.load(folder / "trees"), Neural.load(folder / "neural"), weights)


def fit(lists: Sequence[TrainingLists], config: Ranking, *, validation: Sequence[TrainingLists], seed: int, threads: int) -> Blend:
    """Fit both on the same lists; their scores are brought to one scale before they are weighted.

    The scale is the standard deviation of each one's scores within the lists of `validation`, or of `lists` when there is none.
    """
    trees = lambdarank.fit(lists, config, validation=validation, seed=seed, threads=threads)
    network = neural.fit(lists, config, validation=validation, seed=seed, threads=threads)
    apart = validation or lists
    share = config.blend.neural
    weights = np.array([(1 - share) / _width(trees, apart), share / _width(network, apart)], np.float32)
    return Blend(trees, network, weights)


def _width(ranker: LambdaRank | Neural, lists: Sequence[TrainingLists]) -> float:
    return spread([ranker.score(each.matrix) for each in lists], lists)
