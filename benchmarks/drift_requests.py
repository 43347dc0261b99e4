"""A log of answers for a shop that never had one: every basket of the real year begins with a question, and what it bought is told."""

from collections.abc import Iterable

import numpy as np
import polars as pl

from cortex_rec.encoding import Encoded
from cortex_rec.evaluation.baselines import personal_decay
from cortex_rec.events.exposures import SCHEMA
from cortex_rec.monitoring import requests
from cortex_rec.monitoring.raw import WEEK

SHOWN = 10


def simulate(data: Encoded, weeks: Iterable[int], first: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answer each basket with the buyer's own favourites as of the week's start.

    Who asks when and where, and what of the shown is bought, is real; the answers are those of the baseline personal decay, whose
    place is its score, and whose promise is the share of each place that was bought in the first of the weeks.

    Returns
    -------
    exposures, events
        `exposures.SCHEMA` and `requests.EVENTS`.
    """
    shown, events, promise = [], [], np.zeros(0)
    items, users, stores = data.items.ids.to_numpy(), data.users.ids.to_list(), data.stores.ids.to_list()
    for week in weeks:
        start = first + week * WEEK
        own = data.histories.between(start, start + WEEK)
        buyers = np.flatnonzero(np.diff(own.pointer) > 0).astype(np.int32)
        lists = personal_decay(data.histories, buyers, as_of=start, n=SHOWN)
        hits, places = np.zeros(SHOWN), np.zeros(SHOWN)
        rows = []
        for place, user in enumerate(buyers):
            listed = lists[place]
            mine = slice(own.pointer[user], own.pointer[user + 1])
            basket, time, item, store = (getattr(own, name)[mine] for name in ("basket", "time", "item", "store"))
            for one in np.unique(basket):
                of_basket = basket == one
                at, bought = int(time[of_basket].min()), item[of_basket]
                impression = f"{user}-{week}-{one}"
                hit = np.isin(listed, bought)
                hits[: len(listed)] += hit
                places[: len(listed)] += 1
                rows.append((impression, at, users[user], stores[int(store[of_basket][0])], listed))
                named = items[np.intersect1d(listed, bought)]
                events += [("purchase", users[user], name, at, impression) for name in named]
        promise = promise if len(promise) else hits / np.maximum(places, 1)
        shown += [_exposure(row, items, promise) for row in rows]
    frame = pl.DataFrame(shown, SCHEMA, orient="row").sort("time", maintain_order=True)
    return frame, pl.DataFrame(events, requests.EVENTS, orient="row").sort("time", maintain_order=True)


def _exposure(row: tuple, items: np.ndarray, promise: np.ndarray) -> tuple:
    impression, at, user, store, listed = row
    n = len(listed)
    scores = [float(SHOWN - place) for place in range(n)]
    fallback = "" if n else "nothing is known of the user"
    names = items[listed].tolist()
    return (
        impression, at, user, store, "simulated", "", "", names, scores, promise[:n].tolist(), [1.0] * n, [["repeats"]] * n, [], fallback,
    )  # fmt: skip
