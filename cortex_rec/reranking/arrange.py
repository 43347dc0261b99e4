"""The places of an answer: pinned items, then whoever gains most under the caps and the shares.

The order of the rules: what filters leave out is gone before any of them; pinned items stand first; boosts change how likely an item
counts as; diversity weighs that against the items above; caps forbid; shares that have fallen behind choose among what is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cortex_rec.answered import Arranged
from cortex_rec.arrays import F32, F64, I32, I64, NO_ROW, Bool
from cortex_rec.reranking.diversity import REACH, Marginal
from cortex_rec.reranking.shares import due


@dataclass(frozen=True)
class Ruled:
    """Rules in the rows of one ranked list of m items, best first.

    Parameters
    ----------
    pinned
        (k,) int64 positions in the list, in the order in which they are shown.
    appeal
        (m,) float64 log-odds of a purchase, boosts included.
    boosted
        (m,) bool, whose odds were changed.
    diversity
        0 to 1; `vectors` are (m, d) float32 unit vectors.
    caps
        Codes (m,) int32 of a group, -1 unknown, and how many of a value there may be; by the group's name.
    shares
        Which items (m,) bool are of a kind, and its share of the places; by the rule's name.
    """

    pinned: I64
    appeal: F64
    boosted: Bool
    diversity: float
    vectors: F32
    caps: Mapping[str, tuple[I32, int]] = field(default_factory=dict)
    shares: Mapping[str, tuple[Bool, float]] = field(default_factory=dict)


def arrange(n: int, rules: Ruled) -> Arranged:
    """Fill at most `n` places, one after the other.

    Fewer are filled where the caps leave no more. A share that cannot be kept, because no item of its kind is left, is let go.

    Returns
    -------
    Arranged
        With what moved each item that is not where its score would have it.
    """
    m = len(rules.appeal)
    order = np.lexsort((np.arange(m), -rules.appeal))
    head = order[:REACH]
    marginal = Marginal(rules.appeal[order], rules.vectors[head], rules.diversity) if rules.diversity > 0 else None
    place_of = np.empty(m, np.int64)
    place_of[order] = np.arange(m)
    free, chosen, told, capped = np.ones(m, bool), list[int](), dict[int, tuple[str, ...]](), dict[int, str]()

    def take(at: int, *reasons: str) -> None:
        if reasons:
            told[len(chosen)] = reasons
        chosen.append(at)
        free[at] = False
        if marginal is not None:
            marginal.place(int(place_of[at]))

    for at in rules.pinned[:n].tolist():
        take(at, "pinned")
    while len(chosen) < min(n, m):
        allowed = _under_caps(rules.caps, chosen, free, capped)
        if not allowed.any():
            break
        best = _best(order, allowed, marginal)
        plain = int(order[np.argmax(allowed[order])])
        behind = [name for name, (kind, share) in rules.shares.items() if due(share, len(chosen) + 1) > np.count_nonzero(kind[chosen])]
        wanted = _of_kinds(allowed, [rules.shares[name][0] for name in behind])
        if behind and not wanted[best] and wanted.any():
            forced = _best(order, wanted, marginal)
            take(forced, *(name for name in behind if rules.shares[name][0][forced]))
        else:
            take(best, *_reasons(best, plain, len(chosen), rules))
    return Arranged(np.array(chosen, np.int64), told, capped)


def _under_caps(caps: Mapping[str, tuple[I32, int]], chosen: Sequence[int], free: Bool, capped: dict[int, str]) -> Bool:
    """(m,) bool which items may still be placed; `capped` is told of those whom a cap keeps out, and which one."""
    allowed = free
    for group, (codes, most) in caps.items():
        counts = np.bincount(codes[chosen][codes[chosen] != NO_ROW], minlength=int(codes.max(initial=0)) + 1)
        out = (codes != NO_ROW) & (counts[codes] >= most)
        for at in np.flatnonzero(allowed & out).tolist():
            capped.setdefault(at, group)
        allowed = allowed & ~out
    return allowed


def _best(order: I64, allowed: Bool, marginal: Marginal | None) -> int:
    """The allowed item with the largest gain; beyond the reach of diversity the first in order."""
    if marginal is not None:
        gain = marginal.gain
        within = allowed[order[: len(gain)]]
        if within.any():
            return int(order[np.argmax(np.where(within, gain, -np.inf))])
    return int(order[np.argmax(allowed[order])])


def _of_kinds(allowed: Bool, kinds: Sequence[Bool]) -> Bool:
    """Allowed items of as many of the kinds as any allowed item is of."""
    if not kinds:
        return np.zeros(len(allowed), bool)
    of = np.sum(kinds, axis=0) * allowed
    most: Bool = (of == of.max()) & (of > 0)
    return most


def _reasons(best: int, plain: int, place: int, rules: Ruled) -> tuple[str, ...]:
    """Why an item stands where its score alone would not have put it."""
    found = ("diversity",) if best != plain else ()
    if rules.boosted[best] and best != place:
        found = ("boosted", *found)
    return found
