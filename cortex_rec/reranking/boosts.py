"""Factors on the odds of a purchase: what a boosted item's place would be if it were so much likelier to be bought."""

import numpy as np

from cortex_rec.arrays import F32, F64
from cortex_rec.ranking.calibration import Calibration

#: Probabilities nearer to 0 or 1 than this count as this near.
CERTAIN = 1e-6


def log_odds(scores: F32, calibration: Calibration) -> F64:
    """(n,) float64 log-odds of a purchase, strictly rising with the score, so that without a boost nothing changes places.

    The calibration is a line of steps and slopes; here each step, where scores differ and probabilities do not, is its middle, and beyond
    its ends the line goes on with its mean slope.
    """
    probabilities, step = np.unique(np.clip(calibration.probabilities.astype(np.float64), CERTAIN, 1 - CERTAIN), return_inverse=True)
    counts = np.bincount(step)
    middle = np.bincount(step, calibration.scores.astype(np.float64)) / counts
    odds = np.log(probabilities / (1 - probabilities))
    rise = (odds[-1] - odds[0]) / (middle[-1] - middle[0]) if len(odds) > 1 else 1.0
    x = scores.astype(np.float64)
    below, above = np.minimum(x - middle[0], 0), np.maximum(x - middle[-1], 0)
    result: F64 = np.interp(x, middle, odds) + rise * (below + above)
    return result


def log_shares(shares: F32) -> F64:
    """(n,) float64 the same for who has no history and is shown what sells best, by (n,) shares of the sales."""
    result: F64 = np.log(shares.astype(np.float64) + CERTAIN)
    return result
