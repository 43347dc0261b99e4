"""From a ranker's score to the probability that the candidate is bought in the window."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from cortex_rec.arrays import F32, load_arrays, save_arrays, vars_of
from cortex_rec.errors import EmptyTrainingSetError
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.ranking.training import TrainingLists, bought

#: Made-up candidates at either end of the scores that are as likely as all together: without them a handful that was bought, or of which
#: none was, would be certain. From 1 to 10 the log loss is lower than without, on users and weeks that it was not fitted on.
USUAL: Final = 2


@dataclass(frozen=True)
class Calibration:
    """A rising line through a few points; flat beyond them.

    Parameters
    ----------
    scores
        (k,) float32 ascending.
    probabilities
        (k,) float32 ascending, each in [0, 1].
    """

    scores: F32
    probabilities: F32

    def probability(self, scores: F32) -> F32:
        """(n,) float32 in [0, 1]; NaN stays NaN."""
        return np.interp(scores, self.scores, self.probabilities).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        save_arrays(folder / "calibration.safetensors", vars_of(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(**load_arrays(folder / "calibration.safetensors"))


def fit(ranker: Ranker, lists: Sequence[TrainingLists]) -> Calibration:
    """Isotonic regression on lists that the ranker has not learned from, its ends drawn a little towards the usual share.

    Parameters
    ----------
    lists
        Windows after those that the ranker was fitted on. Their negatives are a sample; `weight` makes up for it.

    Raises
    ------
    EmptyTrainingSetError
        If there is no candidate at all.

    Source
    ------
    Zadrozny and Elkan 2002, Transforming classifier scores into accurate multiclass probability estimates.
    """
    # Imported here so that a service that only answers never loads it.
    from sklearn.isotonic import IsotonicRegression

    scores = np.concatenate([ranker.score(each.matrix) for each in lists]).astype(np.float64)
    if len(scores) == 0:
        raise EmptyTrainingSetError("calibration: the validation window has no candidate. Use longer windows or fewer training windows.")
    wanted, weight = bought(lists).astype(np.float64), np.concatenate([each.weight for each in lists]).astype(np.float64)
    usual = np.average(wanted, weights=weight)
    model = IsotonicRegression(out_of_bounds="clip")
    model.fit(np.r_[scores.min(), scores, scores.max()], np.r_[usual, wanted, usual], sample_weight=np.r_[USUAL, weight, USUAL])
    return Calibration(model.X_thresholds_.astype(np.float32), model.y_thresholds_.astype(np.float32))
