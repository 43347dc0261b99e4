"""The best 500 or 1,000 of a few thousand candidates: trees that tell what is bought from what is not, wherever it stands in the list."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from cortex_rec.arrays import F32
from cortex_rec.errors import EmptyTrainingSetError
from cortex_rec.ranking.lambdarank import LambdaRank, scaled
from cortex_rec.ranking.training import TrainingLists, bought, informative

TREES: Final = 200
_SETTINGS: Final[dict[str, Any]] = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.08,
    "feature_fraction": 0.4,
    "lambda_l2": 20.0,
    "deterministic": True,
}
#: How a dataset is binned and kept; must be told to it and to the training alike.
_BINS: Final[dict[str, Any]] = {"max_bin": 63, "force_row_wise": True, "verbosity": -1}


def fit(lists: Sequence[TrainingLists], *, seed: int, threads: int, min_rows_in_leaf: int = 300) -> LambdaRank:
    """Learn the probability of a purchase; each list counts the same, however much of it was bought.

    A ranking objective looks at the first places of a list; here the five hundredth matters as much as the first.

    Parameters
    ----------
    lists
        Of past windows, with as many candidates as will be chosen from.
    threads
        Cores to use; the result depends on it in the last bits.

    Returns
    -------
    LambdaRank
        With one booster, whose score is the log-odds.

    Raises
    ------
    EmptyTrainingSetError
        If no candidate of any window was bought.
    """
    # Imported here so that a service that only answers need not wait for it.
    import lightgbm as lgb

    label = bought(lists)
    if not label.any():
        raise EmptyTrainingSetError(
            "shortlist: none of the candidates of any training window was bought. Raise the retrievers' `n` or use more windows."
        )
    features = informative(lists)
    weight = np.concatenate([_weight(each) for each in lists])
    values = np.concatenate([each.matrix.columns(features) for each in lists])
    data = lgb.Dataset(values, label.astype(np.float32), weight=weight / weight.mean(), params=_BINS)
    parameters = _SETTINGS | _BINS | {"min_data_in_leaf": min_rows_in_leaf, "seed": seed, "num_threads": threads}
    text = lgb.train(parameters, data, TREES).model_to_string()
    # Told as a regression LightGBM gives the sum of the leaves, the log-odds, as it does for ranking objectives; not its sigmoid.
    summed = lgb.Booster(model_str=text.replace("objective=binary sigmoid:1", "objective=regression"))
    return LambdaRank({"binary": scaled(summed, 1.0)}, features)


def _weight(each: TrainingLists) -> F32:
    """(n,) float32, one over how many of the row's list were bought."""
    owner = each.matrix.lists.owner
    hits = np.bincount(owner[each.bought], minlength=len(each.matrix.lists))
    weight: F32 = (1 / np.maximum(hits, 1)[owner]).astype(np.float32)
    return weight
