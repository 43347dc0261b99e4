"""Feature values as positions between learned edges, so that a linear layer can bend wherever the data bend."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from cortex_rec.arrays import F32, I64, Bool

#: Edges that every feature gets beside its quantiles, so that a long tail does not share a piece with the bulk.
_TAILS: Final = (0.01, 0.99)
#: Pieces narrower than this share of a feature's whole width are joined: dividing by their width would overflow.
_NARROWEST: Final = 1e-6


@dataclass(frozen=True)
class Piecewise:
    """How far each feature value has come through each of its pieces, and whether it is missing.

    Parameters
    ----------
    column
        (k,) int64 the feature of each piece.
    low, slope
        (k,) float32 where the piece starts, and one over its width.
    missing
        (m,) int64 the features that may be missing.
    """

    column: I64
    low: F32
    slope: F32
    missing: I64

    @property
    def width(self) -> int:
        """Number of inputs that `encode` gives."""
        return len(self.column) + len(self.missing)

    def encode(self, values: F32) -> F32:
        """(n, width) float32 in [0, 1] of (n, n_features) float32; a missing value has come nowhere."""
        # One row an input: a feature's row is copied whole.
        result = np.ascontiguousarray(values.T).take(self._read, axis=0)
        pieces, missing = result[: len(self.column)], result[len(self.column) :]
        np.subtract(pieces, self.low[:, None], out=pieces)
        np.multiply(pieces, self.slope[:, None], out=pieces)
        # `fmax` takes the number where the other is NaN.
        np.fmax(pieces, 0, out=pieces)
        np.minimum(pieces, 1, out=pieces)
        missing[:] = np.isnan(missing)
        return result.T

    @cached_property
    def _read(self) -> I64:
        """(width,) int64 the feature of each input."""
        return np.concatenate([self.column, self.missing])


def fit(columns: Iterable[F32], bought: Bool, pieces: int) -> Piecewise:
    """Edges at quantiles: half of them over all candidates, half over the bought ones, which are few and tell most.

    Parameters
    ----------
    columns
        (n,) float32 a feature, NaN where missing.
    bought
        (n,) bool.
    pieces
        At most so many a feature, beside those of its tails; fewer where it takes few values.

    Source
    ------
    Gorishniy et al. 2022, On embeddings for numerical features in tabular deep learning (piecewise linear encoding).
    """
    column, low, slope, missing = [], [], [], []
    for place, values in enumerate(columns):
        known = ~np.isnan(values)
        edges = _edges(values[known], values[known & bought], pieces)
        column.append(np.full(len(edges) - 1, place))
        low.append(edges[:-1])
        slope.append(np.float32(1) / np.diff(edges))
        if not known.all():
            missing.append(place)
    return Piecewise(np.concatenate(column), np.concatenate(low), np.concatenate(slope), np.array(missing, np.int64))


def _edges(everywhere: F32, where_bought: F32, pieces: int) -> F32:
    """Ascending distinct edges of one feature, at least one."""
    if len(everywhere) == 0:
        return np.zeros(1, np.float32)
    shares = np.linspace(0, 1, pieces // 2 + 1)
    found = [np.quantile(everywhere, shares), np.quantile(everywhere, _TAILS)]
    if len(where_bought):
        found.append(np.quantile(where_bought, shares))
    edges = np.unique(np.concatenate(found).astype(np.float32))
    wide = np.diff(edges) > _NARROWEST * (edges[-1] - edges[0])
    kept: F32 = edges[np.append(True, wide)]
    return kept
