"""Weighted sums of a few rows of a sparse table, without a look at the columns that none of them has."""

import threading
from functools import cache
from typing import Any, Final

import numpy as np

from cortex_rec import machine_code as code
from cortex_rec.arrays import F32, F64, I32, I64, Array

#: Rows ahead that are asked of memory, and how many of their numbers: by the time that they are read they are there.
_AHEAD: Final = 6
_LINE: Final = 16
_LINES: Final = 4


def added(width: int, start: I64, end: I64, weight: F64, column: I32, value: F32) -> tuple[I32, F64]:
    """The columns of some rows that have an entry, ascending, and their sums.

    Parameters
    ----------
    width
        Number of columns.
    start, end
        (m,) int64, where the rows lie in `column` and `value`.
    weight
        (m,) float64 of each row.
    column, value
        int32 columns and float32 values of all entries; a column of -1 is none.
    """
    own = _workspace.of(width)
    _code()(len(start), start, end, weight, column, value, -(-width // 64), *own)
    *_, columns, sums, count = own
    return columns[: count[0]].copy(), sums[: count[0]].copy()


class _Workspace(threading.local):
    """Of each thread its own, kept from one sum to the next: to ask for fresh memory takes as long as to add up."""

    arrays: tuple[Array, ...] = (np.zeros(0),)

    def of(self, width: int) -> tuple[Array, ...]:
        """Sums and bits of the columns, which are zero, and room for the answer."""
        if len(self.arrays[0]) < width:
            met, columns, sums, count = (
                np.zeros(-(-width // 64), np.int64),
                np.empty(width, np.int32),
                np.empty(width),
                np.zeros(1, np.int64),
            )
            self.arrays = np.zeros(width), met, columns, sums, count
        return self.arrays


_workspace: Final = _Workspace()


@cache
def _code() -> code.Code:
    given = [code.I64, [code.I64], [code.I64], [code.F64], [code.I32], [code.F32], code.I64]
    return code.compiled(_added, *given, [code.F64], [code.I64], [code.I32], [code.F64], [code.I64])


def _added(
    b: code.Loops,
    n: Any,
    start: Any,
    end: Any,
    weight: Any,
    column: Any,
    value: Any,
    n_words: Any,
    total: Any,
    met: Any,
    columns: Any,
    sums: Any,
    count: Any,
) -> None:
    """Row by row, so that each column's sum runs in the order of the rows; a bit says of each column whether it was met."""
    zero, one, none = code.I64(0), code.I64(1), code.F64(0)
    last = b.sub(n, one)
    with b.each(zero, n) as row:
        factor = b.read(weight, row)
        ahead = b.add(row, code.I64(_AHEAD))
        ahead = b.read(start, b.select(b.icmp_signed("<", ahead, last), ahead, last))
        for line in range(_LINES):
            for array in (column, value):
                b.prefetch(array, b.add(ahead, code.I64(line * _LINE)))
        with b.each(b.read(start, row), b.read(end, row)) as at:
            to = b.sext(b.read(column, at), code.I64)
            there = b.icmp_signed(">=", to, zero)
            to = b.select(there, to, zero)
            place, word = b.gep(total, [to]), b.gep(met, [b.ashr(to, code.I64(6))])
            more = b.fmul(factor, b.fpext(b.read(value, at), code.F64))
            b.store(b.fadd(b.load(place), b.select(there, more, none)), place)
            b.store(b.or_(b.load(word), b.shl(b.zext(there, code.I64), b.and_(to, code.I64(63)))), word)
    counted = b.variable(zero)
    with b.each(zero, n_words) as word:
        left = b.variable(b.read(met, word))
        b.store(zero, b.gep(met, [word]))
        with b.each(zero, b.ones(b.load(left))) as _:
            bits, known = b.load(left), b.load(counted)
            at = b.add(b.shl(word, code.I64(6)), b.lowest(bits))
            b.store(b.and_(bits, b.sub(bits, one)), left)
            b.store(b.trunc(at, code.I32), b.gep(columns, [known]))
            b.store(b.read(total, at), b.gep(sums, [known]))
            b.store(none, b.gep(total, [at]))
            b.store(b.add(known, one), counted)
    b.store(b.load(counted), count)
