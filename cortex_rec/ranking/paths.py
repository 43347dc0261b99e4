"""What each feature adds on the way down a tree: quick enough for every answer."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import scipy.sparse as sp

from cortex_rec.arrays import F32, F64, I32, I64, Array

if TYPE_CHECKING:
    import lightgbm as lgb


@dataclass(frozen=True)
class Paths:
    """The way to each leaf of some trees, told once for all rows that end there.

    At each split the mean score of the training rows changes to that of the side which a row takes; the change is what the feature
    of the split adds. So a row's changes sum to its score, less the mean score.

    Parameters
    ----------
    first_leaf
        (n_trees,) int32 row in `added` of each tree's first leaf, the trees of all boosters one after another.
    added
        (n_leaves, n_groups) float32 what the features of each group add on the way to a leaf.

    Source
    ------
    Saabas 2014, Interpreting random forests. TreeSHAP (Lundberg et al. 2020), which averages over all orders in which features may
    become known, takes a hundred times as long.
    """

    first_leaf: I32
    added: F32

    def of(self, boosters: "Iterable[lgb.Booster]", values: F32) -> F32:
        """(n, n_groups) float32 what each group of features adds to the score of each row of `values` (n, n_features)."""
        leaves = [booster.predict(values, num_threads=1, pred_leaf=True) for booster in boosters]
        reached = np.concatenate([np.reshape(each, (len(values), -1)) for each in leaves], axis=1) + self.first_leaf
        starts = np.arange(0, reached.size + 1, reached.shape[1], dtype=np.int32)
        rows = sp.csr_matrix((np.ones(reached.size, np.float32), reached.ravel(), starts), (len(values), len(self.added)))
        result: F32 = rows @ self.added
        return result

    @classmethod
    def through(cls, models: Iterable[str], group: I64, n_groups: int) -> Self:
        """Walk all trees.

        Parameters
        ----------
        models
            In LightGBM's text format.
        group
            (n_features,) int64 which of `n_groups` each feature belongs to.
        """
        parts = [_ways(tree, group, n_groups) for model in models for tree in trees_of(model)]
        first = np.cumsum([0, *(len(part) for part in parts)])[:-1]
        return cls(first.astype(np.int32), np.concatenate(parts).astype(np.float32))


def trees_of(model: str) -> list[dict[str, Array]]:
    """The arrays of each tree in LightGBM's text format, those of its splits empty where it has none; `ValueError` if some are missing."""
    head, *texts = model.partition("\nend of trees")[0].split("\nTree=")
    sizes = re.search(r"^tree_sizes=(.*)$", head, re.MULTILINE)
    if sizes is None or len(sizes[1].split()) != len(texts):
        raise ValueError(f"LightGBM's text has {len(texts)} trees, and should have {0 if sizes is None else len(sizes[1].split())}")
    wanted = {"split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_value", "leaf_count"}
    trees = []
    for text in texts:
        lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        trees.append({name: np.array(lines.get(name, "").split(), np.float64) for name in wanted})
    return trees


def _ways(tree: dict[str, Array], group: I64, n_groups: int) -> F64:
    """(n_leaves, n_groups) float64 what each group adds on the way to each leaf of one tree."""
    leaf, count = tree["leaf_value"], tree["leaf_count"]
    n = len(leaf)
    if n == 1:
        return np.zeros((1, n_groups))
    # Splits first, then leaves: LightGBM numbers a leaf by the bitwise complement, and a split after the one above it.
    left, right = (np.where(side >= 0, side, n - 2 - side).astype(np.int64) for side in (tree["left_child"], tree["right_child"]))
    rows, mean = np.append(np.zeros(n - 1), count), np.append(np.zeros(n - 1), leaf)
    for split in range(n - 2, -1, -1):
        below = [left[split], right[split]]
        rows[split] = rows[below].sum()
        mean[split] = (rows[below] * mean[below]).sum() / rows[split]
    added = np.zeros((2 * n - 1, n_groups))
    of_split = group[tree["split_feature"].astype(np.int64)]
    for split in range(n - 1):
        for below in (left[split], right[split]):
            added[below] = added[split]
            added[below, of_split[split]] += mean[below] - mean[split]
    return added[n - 1 :]
