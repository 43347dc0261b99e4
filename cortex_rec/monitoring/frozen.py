"""A ranking feature that is stuck: all candidates of all buyers have one value of it, though they had many in the reference."""

from typing import Final

import numpy as np

from cortex_rec.arrays import Array
from cortex_rec.monitoring.profiles import Profiles
from cortex_rec.monitoring.raw import Raw
from cortex_rec.monitoring.verdict import Part, Signal, normal_score

#: Begins the name of a feature's mode among a day's numbers.
MODE: Final = "mode/"


def mode(values: Array) -> float:
    """The share of the most frequent value; what is not known is a value like another."""
    if not len(values):
        return np.nan
    known = np.sort(values[np.isfinite(values)])
    starts = np.flatnonzero(np.append(True, known[1:] != known[:-1])) if len(known) else np.zeros(0, np.int64)
    runs = np.diff(np.append(starts, len(known)))
    return float(max(runs.max(initial=0), len(values) - len(known)) / len(values))


def judge(days: Profiles, one: Raw | None) -> Part:
    """Judge the features that are stuck on a day.

    Notes
    -----
    Where the most frequent value had a share of m at most on any day of the reference, all of n buyers have it with a chance of m to the
    power of n at most. It is told times the number of features, as one of all of them (Bonferroni).

    Returns
    -------
    Part
        `features`, with one signal a stuck feature.
    """
    names = [name for name in days.numbers if name.startswith(MODE)]
    if one is None or not len(days) or not names:
        return Part("features", "absent", "no answers to look at")
    found = []
    for name in names:
        usual = float(np.nanmax(days.numbers[name]))
        if one.numbers.get(name) == 1.0:
            p = min(1.0, usual**one.size * len(names))
            found.append(Signal("features", f"stuck/{name.removeprefix(MODE)}", 1.0, usual, normal_score(p), p))
    found.sort(key=lambda signal: signal.p)
    return Part("features", "judged", f"{len(names)} features beside {len(days)} days", one.size, len(days), tuple(found))
