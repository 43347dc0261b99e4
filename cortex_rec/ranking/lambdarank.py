"""LightGBM with a ranking objective over the feature matrix."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from cortex_rec.arrays import F32
from cortex_rec.config import Ranking
from cortex_rec.errors import EmptyTrainingSetError
from cortex_rec.features import kinds
from cortex_rec.features.assemble import Matrix
from cortex_rec.folders import readable
from cortex_rec.ranking.paths import Paths
from cortex_rec.ranking.quick_trees import QuickTrees
from cortex_rec.ranking.training import TrainingLists, bought, column, groups, informative, spread

if TYPE_CHECKING:
    # It loads pandas and scikit-learn where they are, which takes a second; answers without reasons need none of them.
    import lightgbm as lgb

_NAMES: Final = "lambdarank.json"
#: How a dataset is binned and kept; must be told to it and to the training alike.
_BINS: Final[dict[str, Any]] = {"max_bin": 127, "force_row_wise": True, "verbosity": -1}
_GRID: Final = float(1 << 24)


@dataclass(frozen=True)
class LambdaRank:
    """Boosted trees, learned with one objective or several whose scores are added, and the names of the columns that they read.

    Parameters
    ----------
    models
        By objective, in LightGBM's text format.
    """

    models: Mapping[str, str]
    features: tuple[str, ...]

    def score(self, matrix: Matrix) -> F32:
        """(n,) float32; a feature that the matrix lacks counts as missing."""
        scores: F32 = self._trees.score(matrix.blocks, matrix.places(self.features))[: len(matrix.values)].astype(np.float32)
        return scores

    def importances(self) -> list[tuple[str, float]]:
        """Features by their share of the total gain, the mean over the objectives, largest first."""
        shares = np.zeros(len(self.features))
        for booster in self.boosters.values():
            gains = booster.feature_importance("gain")
            shares += gains / max(gains.sum(), 1e-9) / len(self.boosters)
        return sorted(zip(self.features, shares.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))

    def contributions(self, matrix: Matrix) -> F32:
        """(n, len(features) + 1) float32 exact SHAP values of the trees, last the mean score (Lundberg et al. 2020, TreeSHAP)."""
        values = matrix.columns(self.features)
        added = np.zeros((len(values), len(self.features) + 1))
        if len(values):
            for booster in self.boosters.values():
                added += booster.predict(values, num_threads=1, pred_contrib=True)
        return added.astype(np.float32)

    def contributions_by_kind(self, matrix: Matrix) -> F32:
        """(n, len(KINDS)) float32 what features of each kind add on the ways down the trees; each row sums to its score less the mean."""
        if len(matrix.values) == 0:
            return np.zeros((0, len(kinds.KINDS)), np.float32)
        return self._paths.of(self.boosters.values(), matrix.columns(self.features))

    @cached_property
    def boosters(self) -> dict[str, "lgb.Booster"]:
        """By objective."""
        import lightgbm as lgb

        return {objective: lgb.Booster(model_str=text) for objective, text in self.models.items()}

    @cached_property
    def _trees(self) -> QuickTrees:
        return QuickTrees.of(self.models.values())

    @cached_property
    def _paths(self) -> Paths:
        return Paths.through(self.models.values(), kinds.places(self.features), len(kinds.KINDS))

    def save(self, folder: Path) -> None:
        """Write LightGBM's text format, a file an objective, and the names into an existing folder."""
        for objective, text in self.models.items():
            (folder / f"{objective}.txt").write_text(text, encoding="utf-8")
        told = {"features": self.features, "objectives": list(self.models)}
        (folder / _NAMES).write_text(json.dumps(told), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If a file is missing or damaged.
        """
        with readable(folder, "the ranker"):
            told = json.loads((folder / _NAMES).read_text(encoding="utf-8"))
            models = {each: (folder / f"{each}.txt").read_text(encoding="utf-8") for each in told["objectives"]}
            ranker = cls(models, tuple(told["features"]))
            ranker._trees  # noqa: B018  (made now, so that what cannot be read is told here)
            return ranker


def fit(
    lists: Sequence[TrainingLists],
    config: Ranking,
    *,
    validation: Sequence[TrainingLists] = (),
    seed: int,
    threads: int,
) -> LambdaRank:
    """Learn to put what was bought before what was not, once an objective; each one's scores get the same weight.

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
    Burges 2010, From RankNet to LambdaRank to LambdaMART; Bruch 2021, An Alternative Cross Entropy Loss for Learning-to-Rank
    (`rank_xendcg`); Ke et al. 2017, LightGBM.
    """
    # Imported here so that a service that only answers need not wait for it.
    import lightgbm as lgb

    if not bought(lists).any():
        raise EmptyTrainingSetError(
            "ranker: none of the candidates of any training window was bought. Raise the retrievers' `n` or use more windows."
        )
    features, own = informative(lists), config.lambdarank
    parameters = {
        "lambdarank_truncation_level": own.truncation,
        "learning_rate": own.learning_rate,
        "num_leaves": own.leaves,
        "min_data_in_leaf": own.min_rows_in_leaf,
        "feature_fraction": own.feature_fraction,
        "lambda_l2": own.l2,
        **_BINS,
        "metric": "ndcg",
        "eval_at": [10],
        "num_threads": threads,
        "seed": seed,
        "objective_seed": seed,
        "deterministic": True,
    }
    stop: list[Callable[..., Any]] = [lgb.early_stopping(own.patience, verbose=False)] if validation else []
    data = _dataset(lists, features)
    apart = [_dataset(validation, features, reference=data)] if validation else None
    judged = validation or lists
    models: dict[str, str] = {}
    for objective in own.objectives:
        booster = lgb.train(parameters | {"objective": objective}, data, own.trees, valid_sets=apart, callbacks=stop)
        booster = lgb.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))
        width = spread([np.asarray(booster.predict(each.matrix.columns(features), num_threads=threads)) for each in judged], judged)
        models[objective] = scaled(booster, 1 / width / len(own.objectives))
    return LambdaRank(models, features)


def _dataset(lists: Sequence[TrainingLists], features: Sequence[str], reference: "lgb.Dataset | None" = None) -> "lgb.Dataset":
    import lightgbm as lgb

    wanted = bought(lists)
    values = np.empty((len(wanted), len(features)), np.float32)
    for place, name in enumerate(features):
        values[:, place] = column(lists, name)
    return lgb.Dataset(values, wanted.astype(np.float32), reference, group=groups(lists), params=_BINS, free_raw_data=True)


def scaled(booster: "lgb.Booster", factor: float) -> str:
    """The trees in LightGBM's text format, each leaf's value times a factor.

    They are rounded to a multiple of 2^-24, which float64 adds without error in any order. So LightGBM, `quick_trees.py` and any other
    engine give the same bits.
    """
    for number, tree in enumerate(booster.dump_model()["tree_info"]):
        for leaf in range(tree["num_leaves"]):
            booster.set_leaf_output(number, leaf, round(booster.get_leaf_output(number, leaf) * factor * _GRID) / _GRID)
    return booster.model_to_string()
