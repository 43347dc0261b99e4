"""LightGBM LambdaRank over the feature matrix."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import lightgbm as lgb
import numpy as np

from cortex_rec.arrays import F32
from cortex_rec.config import LambdaRank as LambdaRankConfig
from cortex_rec.errors import ArtifactError, EmptyTrainingSetError
from cortex_rec.features.assemble import Matrix
from cortex_rec.ranking.training import TrainingLists, groups


@dataclass(frozen=True)
class LambdaRank:
    """Boosted trees and the names of the columns that they read."""

    booster: lgb.Booster
    features: tuple[str, ...]

    def score(self, matrix: Matrix) -> F32:
        """(n,) float32; a feature that the matrix lacks counts as missing."""
        place = {name: column for column, name in enumerate(matrix.names)}
        columns = np.array([place.get(name, len(matrix.names)) for name in self.features])
        values = matrix.values
        if columns.max(initial=0) == len(matrix.names):
            values = np.concatenate([values, np.full((len(values), 1), np.nan, np.float32)], axis=1)
        if len(values) == 0:
            return np.zeros(0, np.float32)
        scores: F32 = np.asarray(self.booster.predict(values[:, columns], num_threads=1), np.float32)
        return scores

    def importances(self) -> list[tuple[str, float]]:
        """Features by their total gain, largest first."""
        gains = self.booster.feature_importance("gain")
        return sorted(zip(self.features, map(float, gains), strict=True), key=lambda pair: (-pair[1], pair[0]))

    def save(self, folder: Path) -> None:
        """Write LightGBM's text format and the names into an existing folder."""
        (folder / "lambdarank.txt").write_text(self.booster.model_to_string(), encoding="utf-8")
        (folder / "features.json").write_text(json.dumps(self.features), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If a file is missing or damaged.
        """
        try:
            booster = lgb.Booster(model_str=(folder / "lambdarank.txt").read_text(encoding="utf-8"))
            return cls(booster, tuple(json.loads((folder / "features.json").read_text(encoding="utf-8"))))
        except (OSError, ValueError, lgb.basic.LightGBMError) as error:
            raise ArtifactError(
                f"{folder}: the ranker cannot be read ({error}). Verify the release with `cortex-rec releases verify`."
            ) from error


def fit(lists: Sequence[TrainingLists], config: LambdaRankConfig, *, seed: int, threads: int) -> LambdaRank:
    """Learn to put what was bought before what was not.

    Parameters
    ----------
    lists
        Training lists, one a window; features that some window lacks count as missing there.
    threads
        Cores to use; the result depends on it in the last bits.

    Raises
    ------
    EmptyTrainingSetError
        If no candidate of any window was bought.

    Source
    ------
    Burges 2010, From RankNet to LambdaRank to LambdaMART; Ke et al. 2017, LightGBM.
    """
    bought = np.concatenate([each.bought for each in lists])
    if not bought.any():
        raise EmptyTrainingSetError(
            "ranker: none of the candidates of any training window was bought. Raise the retrievers' `n` or use more windows."
        )
    features = informative(lists)
    values = np.empty((len(bought), len(features)), np.float32)
    for place, name in enumerate(features):
        values[:, place] = column(lists, name)
    parameters = {
        "objective": "lambdarank",
        "lambdarank_truncation_level": config.truncation,
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_rows_in_leaf,
        "feature_fraction": config.feature_fraction,
        "lambda_l2": config.l2,
        "max_bin": 127,
        "num_threads": threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    data = lgb.Dataset(values, bought.astype(np.float32), group=groups(list(lists)), params=parameters, free_raw_data=True)
    return LambdaRank(lgb.train(parameters, data, config.trees), features)


def informative(lists: Sequence[TrainingLists]) -> tuple[str, ...]:
    """Names of the features that tell something: over all windows together they take two values, of which NaN may be one."""
    return tuple(name for name in named(lists) if _varies(column(lists, name)))


def named(lists: Sequence[TrainingLists]) -> tuple[str, ...]:
    """The feature names of all windows, in the order in which they are first met."""
    return tuple(dict.fromkeys(name for each in lists for name in each.names))


def column(lists: Sequence[TrainingLists], name: str) -> F32:
    """(n,) float32 values of one feature over all windows, NaN where a window lacks it."""
    missing = np.float32(np.nan)
    return np.concatenate(
        [each.values[:, each.names.index(name)] if name in each.names else np.full(len(each.values), missing) for each in lists]
    )


def _varies(values: F32) -> bool:
    known = values[~np.isnan(values)]
    return len(known) > 0 and (len(known) < len(values) or bool(np.any(known != known[0])))
