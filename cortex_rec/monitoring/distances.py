"""How far one distribution lies from another, by counts over the same bins."""

from typing import Final

import numpy as np
from scipy.spatial import distance

from cortex_rec.arrays import F64

#: Lines that each distribution is given beside its own, spread evenly over its bins: an empty bin is rare, not impossible.
PRIOR: Final = 1.0


def psi(expected: F64, found: F64) -> F64:
    """The population stability index: the mean of both Kullback-Leibler divergences, times two.

    Parameters
    ----------
    expected, found
        (..., n_bins) counts or weights, none negative.

    Returns
    -------
    F64
        (...,) at least 0. By custom less than 0.1 is no shift and more than 0.25 a large one; NaN where either has nothing.

    Source
    ------
    Siddiqi 2006, Credit risk scorecards; Yurdakul 2018, Statistical properties of the population stability index.
    """
    p, q = shares(expected), shares(found)
    found_psi: F64 = np.sum((q - p) * np.log(q / p), axis=-1)
    return found_psi


def jensen_shannon(expected: F64, found: F64) -> F64:
    """The Jensen-Shannon distance to the base 2, between 0 (the same) and 1 (nothing in common); arguments as of `psi`.

    Source
    ------
    Endres and Schindelin 2003, A new metric for probability distributions.
    """
    known = (np.sum(expected, axis=-1) > 0) & (np.sum(found, axis=-1) > 0)
    safe = [np.where(known[..., None], each, 1.0) for each in (expected, found)]
    # Two that are the same differ by rounding, whose root is not a number.
    apart = np.nan_to_num(distance.jensenshannon(*safe, base=2, axis=-1))
    return np.where(known, apart, np.nan)


def cosine(expected: F64, found: F64) -> F64:
    """(...,) 1 less the cosine of two vectors, between 0 and 2; NaN where either has no length."""
    length = np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1)
    cosines = np.divide(np.sum(expected * found, axis=-1), length, out=np.full(np.shape(length), np.nan), where=length > 0)
    apart: F64 = 1 - np.minimum(cosines, 1)
    return apart


def shares(counts: F64) -> F64:
    """(..., n_bins) shares that add up to 1, none of them 0; NaN where nothing is counted."""
    total = np.sum(counts, axis=-1, keepdims=True)
    smooth = (counts + PRIOR / counts.shape[-1]) / (total + PRIOR)
    return np.where(total > 0, smooth, np.nan)
