"""LightGBM with a ranking objective over the feature matrix."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import lightgbm as lgb
import lleaves
import numpy as np

from cortex_rec.arrays import F32
from cortex_rec.config import Ranking
from cortex_rec.errors import ArtifactError, EmptyTrainingSetError
from cortex_rec.features.assemble import Matrix
from cortex_rec.ranking import machine_code
from cortex_rec.ranking.training import TrainingLists, bought, column, groups, informative

_GRID: Final = float(1 << 24)


@dataclass(frozen=True)
class LambdaRank:
    """Boosted trees and the names of the columns that they read.

    Parameters
    ----------
    machine_code
        The same trees compiled for this machine; None where they are walked by LightGBM.
    """

    booster: lgb.Booster
    features: tuple[str, ...]
    machine_code: lleaves.Model | None = None

    def score(self, matrix: Matrix) -> F32:
        """(n,) float32; a feature that the matrix lacks counts as missing."""
        values = matrix.columns(self.features)
        if len(values) == 0:
            return np.zeros(0, np.float32)
        if self.machine_code is not None:
            return np.asarray(self.machine_code.predict(values, n_jobs=1), np.float32)
        return np.asarray(self.booster.predict(values, num_threads=1), np.float32)

    def compiled(self, cache: Path) -> Self:
        """The same ranker several times quicker, with the same bits: its trees as machine code.

        Parameters
        ----------
        cache
            Folder for the code, made when absent: seconds to compile the first time, then milliseconds to load. Machine code is
            made where it runs and never taken from a release.
        """
        text = self.booster.model_to_string()
        return replace(self, machine_code=machine_code.of(text, cache))

    def importances(self) -> list[tuple[str, float]]:
        """Features by their total gain, largest first."""
        gains = self.booster.feature_importance("gain")
        return sorted(zip(self.features, map(float, gains), strict=True), key=lambda pair: (-pair[1], pair[0]))

    def contributions(self, matrix: Matrix) -> F32:
        """(n, len(features) + 1) float32 exact SHAP values of the trees, last the mean score (Lundberg et al. 2020, TreeSHAP)."""
        values = matrix.columns(self.features)
        if len(values) == 0:
            return np.zeros((0, len(self.features) + 1), np.float32)
        added: F32 = np.asarray(self.booster.predict(values, num_threads=1, pred_contrib=True), np.float32)
        return added

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


def fit(
    lists: Sequence[TrainingLists],
    config: Ranking,
    *,
    validation: Sequence[TrainingLists] = (),
    seed: int,
    threads: int,
) -> LambdaRank:
    """Learn to put what was bought before what was not.

    Parameters
    ----------
    lists
        Training lists, one a window; features that some window lacks count as missing there.
    validation
        Later windows: no more trees are added when NDCG@10 on them has stopped to rise.
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
    if not bought(lists).any():
        raise EmptyTrainingSetError(
            "ranker: none of the candidates of any training window was bought. Raise the retrievers' `n` or use more windows."
        )
    features, own = informative(lists), config.lambdarank
    parameters = {
        "objective": "lambdarank",
        "lambdarank_truncation_level": own.truncation,
        "learning_rate": own.learning_rate,
        "num_leaves": own.leaves,
        "min_data_in_leaf": own.min_rows_in_leaf,
        "feature_fraction": own.feature_fraction,
        "lambda_l2": own.l2,
        "max_bin": 127,
        "num_threads": threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    stop: list[Callable[..., Any]] = [lgb.early_stopping(own.patience, verbose=False)] if validation else []
    booster = lgb.train(
        parameters | {"metric": "ndcg", "eval_at": [10]},
        _dataset(lists, features, parameters),
        own.trees,
        valid_sets=[_dataset(validation, features, parameters)] if validation else None,
        callbacks=stop,
    )
    return LambdaRank(_exact(booster), features)


def _dataset(lists: Sequence[TrainingLists], features: Sequence[str], parameters: dict[str, Any]) -> lgb.Dataset:
    wanted = bought(lists)
    values = np.empty((len(wanted), len(features)), np.float32)
    for place, name in enumerate(features):
        values[:, place] = column(lists, name)
    return lgb.Dataset(values, wanted.astype(np.float32), group=groups(lists), params=parameters, free_raw_data=True)


def _exact(booster: lgb.Booster) -> lgb.Booster:
    """The best trees with each leaf's value rounded to a multiple of 2^-24, which float64 adds without error in any order.

    So LightGBM, the compiled trees and any other engine give the same bits.
    """
    best = lgb.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))
    for number, tree in enumerate(best.dump_model()["tree_info"]):
        for leaf in range(tree["num_leaves"]):
            best.set_leaf_output(number, leaf, round(best.get_leaf_output(number, leaf) * _GRID) / _GRID)
    return best
