"""Boosted trees scored for many rows at once without a branch: every split is asked, and each that sends a row right rules leaves out."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self

import numpy as np

from cortex_rec import machine_code as code
from cortex_rec.arrays import F32, F64, I32, I64, Array, pointers
from cortex_rec.errors import ArtifactError
from cortex_rec.features.assemble import ROWS
from cortex_rec.ranking.paths import trees_of

#: Leaves whose fate one number holds; a tree with more has several.
WORD: Final = 32


@dataclass(frozen=True)
class QuickTrees:
    """The splits of all trees as arrays, word by word of each tree's leaves, the last word first.

    Parameters
    ----------
    splits
        (2 * n_trees * n_words + 1,) int64: of each word first the splits that send a missing value left, then those that send it right,
        as far as they part any of its leaves.
    feature, threshold, kept
        (n_splits,) int64, float32 and int32: a row goes right if its value is above the threshold, and then can only reach those leaves
        of the word whose bits in `kept` are 1.
    leaf
        (n_trees, n_words * 32) float64 the leaves' values, from left to right.

    Source
    ------
    Lucchese et al. 2015, QuickScorer; Lucchese et al. 2016, Exploiting CPU SIMD extensions to speed-up document scoring with tree
    ensembles.
    """

    splits: I64
    feature: I64
    threshold: F32
    kept: I32
    leaf: F64

    def score(self, blocks: F32, places: I64) -> F64:
        """(n_blocks * ROWS,) float64 sums of the leaves that each row reaches; features at their `places` in `Matrix.blocks`."""
        scores = np.empty(len(blocks) * ROWS)
        sizes = *blocks.shape[:2], len(self.leaf), self.leaf.shape[1] // WORD
        _code()(blocks, *sizes, self.splits, places[self.feature], self.threshold, self.kept, self.leaf, scores)
        return scores

    @classmethod
    def of(cls, models: Iterable[str]) -> Self:
        """The trees of all models, each in LightGBM's text format.

        Raises
        ------
        ArtifactError
            If a tree has a split of a kind that `lambdarank.fit` does not make.
        """
        trees = [tree for model in models for tree in trees_of(model)]
        words = -(-max(len(tree["leaf_value"]) for tree in trees) // WORD)
        leaf, counts, parts = np.zeros((len(trees), words * WORD)), list[int](), list[tuple[Array, ...]]()
        for number, tree in enumerate(trees):
            kind, exact = tree["decision_type"].astype(np.int64), tree["threshold"]
            if np.any((kind & 1 > 0) | (kind >> 2 == 1)):
                raise ArtifactError("ranker: a tree splits by category or takes 0 for missing. Train it with `cortex-rec train`.")
            below = exact.astype(np.float32)
            # No float32 lies between the two, so that rounding down changes no answer.
            below = np.where(below > exact, np.nextafter(below, np.float32(-np.inf)), below)
            missing_left = np.where(kind >> 2 == 2, kind & 2 > 0, exact >= 0)
            order, under = _left_to_right(tree)
            leaf[number, : len(order)] = tree["leaf_value"][order]
            for word in reversed(range(words)):
                bits = np.zeros((len(kind), WORD), np.uint8)
                own = under[:, word * WORD : (word + 1) * WORD]
                bits[:, : own.shape[1]] = own
                ruled_out = np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0]
                for side in (True, False):
                    chosen = np.flatnonzero((missing_left == side) & (ruled_out > 0))
                    counts.append(len(chosen))
                    parts.append((tree["split_feature"][chosen].astype(np.int64), below[chosen], ~ruled_out[chosen]))
        feature, threshold, kept = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return cls(pointers(np.array(counts)), feature, threshold, kept.view(np.int32), leaf)


def _left_to_right(tree: dict[str, Array]) -> tuple[list[int], Array]:
    """The leaves' numbers from left to right, and (n_splits, n_leaves) bool which of them, in that order, are on the left of each split."""
    left, right = tree["left_child"].astype(np.int64).tolist(), tree["right_child"].astype(np.int64).tolist()
    order, under = list[int](), np.zeros((len(left), len(tree["leaf_value"])), bool)

    def walk(node: int) -> None:
        if node < 0:
            order.append(~node)
            return
        start = len(order)
        walk(left[node])
        under[node, start : len(order)] = True
        walk(right[node])

    walk(0 if left else ~0)
    return order, under


@cache
def _code() -> code.Code:
    whole, arrays = code.I64, [[code.I64], [code.I64], [code.F32], [code.I32], [code.F64], [code.F64]]
    return code.compiled(_scored, [code.F32], whole, whole, whole, whole, *arrays)


def _scored(
    b: code.Loops,
    blocks: Any,
    n_blocks: Any,
    n_columns: Any,
    n_trees: Any,
    n_words: Any,
    splits: Any,
    feature: Any,
    threshold: Any,
    kept: Any,
    leaf: Any,
    scores: Any,
) -> None:
    """Of each tree a row reaches the leftmost leaf that no split has ruled out."""
    zero, one, parts = code.I64(0), code.I64(1), [code.I64(at) for at in range(0, ROWS, code.LANES)]
    all_leaves, first_leaf = code.constant(code.I32, -1), code.constant(code.I32, 0)
    with b.each(zero, n_blocks) as block:
        start = b.mul(block, n_columns)
        total = [b.variable(code.constant(code.F64, 0)) for _ in parts]
        with b.each(zero, n_trees) as tree:
            reached = [b.variable(first_leaf) for _ in parts]
            with b.each(zero, n_words) as word:
                possible = [b.variable(all_leaves) for _ in parts]
                group = b.shl(b.add(b.mul(tree, n_words), word), one)
                # An ordered comparison with a missing value is false, an unordered one true.
                for at, goes_right in ((group, b.fcmp_ordered), (b.add(group, one), b.fcmp_unordered)):
                    with b.each(b.read(splits, at), b.read(splits, b.add(at, one))) as split:
                        limit, others = b.repeated(b.read(threshold, split)), b.repeated(b.read(kept, split))
                        value = b.mul(b.add(start, b.read(feature, split)), code.I64(ROWS))
                        for part, leaves in zip(parts, possible, strict=True):
                            right = goes_right(">", b.vector(blocks, b.add(value, part)), limit)
                            b.store(b.and_(b.load(leaves), b.select(right, others, all_leaves)), leaves)
                before = b.repeated(b.trunc(b.mul(b.sub(b.sub(n_words, one), word), code.I64(WORD)), code.I32))
                for leaves, found in zip(possible, reached, strict=True):
                    lowest = b.add(b.call_of("cttz", b.load(leaves), code.BIT(0)), before)
                    some = b.icmp_unsigned("!=", b.load(leaves), first_leaf)
                    b.store(b.select(some, lowest, b.load(found)), found)
            values = b.gep(leaf, [b.mul(b.mul(tree, n_words), code.I64(WORD))])
            for found, scored in zip(reached, total, strict=True):
                b.store(b.fadd(b.load(scored), b.gathered(values, b.load(found))), scored)
        for part, scored in zip(parts, total, strict=True):
            b.write(b.load(scored), scores, b.add(b.mul(block, code.I64(ROWS)), part))
