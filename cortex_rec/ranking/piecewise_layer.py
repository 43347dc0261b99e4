"""A linear layer on piecewise inputs that never writes the inputs down: of each feature it reads the two edges around the value."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self

import numpy as np

from cortex_rec import machine_code as code
from cortex_rec.arrays import F32, I64, pointers
from cortex_rec.features.assemble import ROWS
from cortex_rec.ranking.piecewise import Piecewise

#: Features that a block of rows goes through before the next ones: what is read of them stays in the nearest cache meanwhile.
_TOGETHER: Final = 8


@dataclass(frozen=True)
class PiecewiseLayer:
    """What a linear layer gives of `Piecewise.encode`, as a line through points at the edges of each feature.

    Parameters
    ----------
    first
        (n_features + 1,) int64 which pieces are those of each feature; each has at least one.
    low, slope
        (n_pieces,) float32 as in `Piecewise`.
    points
        (n_pieces + 2 * n_features, width) float32: of each feature what a missing value adds, what one at or below the lowest edge adds,
        which is nothing, and what one at each further edge adds.
    bias
        (width,) float32; `width` is a multiple of `machine_code.LANES`.
    """

    first: I64
    low: F32
    slope: F32
    points: F32
    bias: F32

    def of(self, blocks: F32, places: I64) -> F32:
        """(n_blocks * ROWS, width) float32; features at their `places` in `Matrix.blocks`."""
        width = len(self.bias)
        result = np.empty((len(blocks) * ROWS, width), np.float32)
        at, share = np.empty((_TOGETHER, ROWS), np.int32), np.empty((_TOGETHER, ROWS), np.float32)
        arrays = places, self.first, self.low, self.slope, self.points, self.bias, at, share, result
        _code(width // code.LANES)(blocks, *blocks.shape[:2], len(places), *arrays)
        return result

    @classmethod
    def fold(cls, pieces: Piecewise, n_features: int, weight: F32, bias: F32) -> Self:
        """The layer of a weight (pieces.width, n_outputs) and a bias (n_outputs,), with zeros up to the next full vector."""
        width = -(-len(bias) // code.LANES) * code.LANES
        counts = np.bincount(pieces.column, minlength=n_features)
        first = pointers(np.maximum(counts, 1))
        low, slope = np.zeros(first[-1], np.float32), np.zeros(first[-1], np.float32)
        points = np.zeros((first[-1] + 2 * n_features, width))
        of_missing = dict(zip(pieces.missing.tolist(), weight[len(pieces.column) :], strict=True))
        for feature, (start, count) in enumerate(zip(pointers(counts)[:-1].tolist(), counts.tolist(), strict=True)):
            own, row = slice(start, start + count), first[feature] + 2 * feature
            low[first[feature] :][:count], slope[first[feature] :][:count] = pieces.low[own], pieces.slope[own]
            points[row, : len(bias)] = of_missing.get(feature, 0)
            points[row + 2 : row + 2 + count, : len(bias)] = np.cumsum(weight[own], axis=0, dtype=np.float64)
        return cls(first, low, slope, points.astype(np.float32), np.pad(bias, (0, width - len(bias))))


@cache
def _code(vectors: int) -> code.Code:
    def write(b: code.Loops, *given: Any) -> None:
        _written(b, vectors, *given)

    whole, arrays = code.I64, [[code.I64], [code.I64], [code.F32], [code.F32], [code.F32], [code.F32], [code.I32], [code.F32], [code.F32]]
    return code.compiled(write, [code.F32], whole, whole, whole, *arrays)


def _written(
    b: code.Loops,
    vectors: int,
    blocks: Any,
    n_blocks: Any,
    n_columns: Any,
    n_features: Any,
    places: Any,
    first: Any,
    low: Any,
    slope: Any,
    points: Any,
    bias: Any,
    at: Any,
    share: Any,
    result: Any,
) -> None:
    """Block by block and some features at a time: find each value's place between two points, then add both to each row's sum."""
    zero, one, rows, width = code.I64(0), code.I64(1), code.I64(ROWS), code.I64(vectors * code.LANES)
    steps = [code.I64(step * code.LANES) for step in range(vectors)]
    none, whole = code.constant(code.F32, 0), code.constant(code.F32, 1)
    with b.each(zero, n_blocks) as block:
        top = b.mul(block, rows)
        with b.each(zero, rows) as row:
            for step in steps:
                b.write(b.vector(bias, step), result, b.add(b.mul(b.add(top, row), width), step))
        groups = b.sdiv(b.add(n_features, code.I64(_TOGETHER - 1)), code.I64(_TOGETHER))
        with b.each(zero, groups) as group:
            start = b.mul(group, code.I64(_TOGETHER))
            end = b.add(start, code.I64(_TOGETHER))
            end = b.select(b.icmp_signed("<", end, n_features), end, n_features)
            with b.each(start, end) as feature:
                column = b.mul(b.add(b.mul(block, n_columns), b.read(places, feature)), rows)
                piece, last = b.read(first, feature), b.read(first, b.add(feature, one))
                point = b.trunc(b.add(piece, b.shl(feature, one)), code.I32)
                for part in range(0, ROWS, code.LANES):
                    value = b.vector(blocks, b.add(column, code.I64(part)))
                    edge, rise = b.variable(b.repeated(b.read(low, piece))), b.variable(b.repeated(b.read(slope, piece)))
                    passed = b.variable(b.repeated(b.add(point, code.I32(1))))
                    with b.each(b.add(piece, one), last) as later:
                        reached = b.repeated(b.read(low, later))
                        above = b.fcmp_ordered(">=", value, reached)
                        b.store(b.select(above, reached, b.load(edge)), edge)
                        b.store(b.select(above, b.repeated(b.read(slope, later)), b.load(rise)), rise)
                        b.store(b.sub(b.load(passed), b.sext(above, b.load(passed).type)), passed)
                    within = b.fmul(b.fsub(value, b.load(edge)), b.load(rise))
                    # Of a missing value no comparison is true.
                    within = b.select(b.fcmp_ordered(">", within, none), within, none)
                    within = b.select(b.fcmp_ordered("<", within, whole), within, whole)
                    known = b.fcmp_ordered("ord", value, value)
                    to = b.add(b.mul(b.sub(feature, start), rows), code.I64(part))
                    b.write(b.select(known, b.load(passed), b.repeated(point)), at, to)
                    b.write(within, share, to)
            with b.each(zero, rows) as row:
                out = b.mul(b.add(top, row), width)
                sums = [b.variable(b.vector(result, b.add(out, step))) for step in steps]
                with b.each(zero, b.sub(end, start)) as feature:
                    place = b.add(b.mul(feature, rows), row)
                    upper = b.repeated(b.read(share, place))
                    lower = b.fsub(whole, upper)
                    before = b.mul(b.sext(b.read(at, place), code.I64), width)
                    for step, added in zip(steps, sums, strict=True):
                        begin = b.add(before, step)
                        half = b.call_of("fmuladd", lower, b.vector(points, begin), b.load(added))
                        b.store(b.call_of("fmuladd", upper, b.vector(points, b.add(begin, width)), half), added)
                for step, added in zip(steps, sums, strict=True):
                    b.write(b.load(added), result, b.add(out, step))
