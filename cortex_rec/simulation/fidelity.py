"""Simulated weeks beside the real ones that followed the history which the shoppers were fitted to."""

import numpy as np

from cortex_rec.arrays import DAY, I64
from cortex_rec.histories import Histories
from cortex_rec.simulation.shoppers import SPAN, fit
from cortex_rec.simulation.shopping import Shop

#: An item counts as bought again when the last time was within so many days.
_AGAIN = SPAN


def fidelity(histories: Histories, n_items: int, as_of: int, days: int, *, seed: int) -> dict[str, tuple[float, float]]:
    """Fit before a moment, and compare the days after it.

    Returns
    -------
    dict
        Real and simulated figure by name: visits a person and week, lines a visit and their standard deviation, the share of lines with an
        item that the same person bought before, and the median days since then.
    """
    before = histories.between(as_of - _AGAIN * DAY, as_of)
    real = histories.between(as_of, as_of + days * DAY)
    shop = Shop(fit(histories, n_items, as_of), np.random.default_rng(seed))
    lines = [
        (user, item, as_of + day * DAY)
        for day in range(days)
        for user in shop.visitors().tolist()
        for item in shop.visit(user, float(day), np.zeros(0, np.int64)).elsewhere
    ]
    user, item, time = np.array(lines, np.int64).reshape(-1, 3).T
    known = before.owner * n_items + before.item, before.time
    people = int((shop.shoppers.visits > 0).sum())
    told = _figures(real.owner * n_items + real.item, real.time, real.owner, real.basket, known, people, days)
    # One visit a day.
    made = _figures(user * n_items + item, time, user, (time - as_of) // DAY, known, people, days)
    return {name: (told[name], made[name]) for name in told}


def _figures(key: I64, time: I64, user: I64, visit: I64, known: tuple[I64, I64], people: int, days: int) -> dict[str, float]:
    _, size = np.unique(user * (int(visit.max(initial=0)) + 1) + visit, return_counts=True)
    keys, times = np.concatenate([known[0], key]), np.concatenate([known[1], time])
    order = np.lexsort((times, keys))
    keys, times, new = keys[order], times[order], (np.arange(len(keys)) >= len(known[0]))[order]
    again = np.zeros(len(keys), bool)
    again[1:] = (keys[1:] == keys[:-1]) & (times[1:] > times[:-1])
    gaps = np.zeros(len(keys))
    gaps[1:] = (times[1:] - times[:-1]) / DAY
    return {
        "visits a person and week": len(size) / people / days * 7,
        "lines a visit": float(size.mean()),
        "standard deviation of lines a visit": float(size.std()),
        "share of lines bought before": float(again[new].mean()),
        "median days since then": float(np.median(gaps[new & again])),
    }
