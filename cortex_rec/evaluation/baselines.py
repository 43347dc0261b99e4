"""What any recommender has to beat: best sellers, and the user's own purchases with decay."""

import numpy as np

from cortex_rec.arrays import DAY, I32, Ragged, pointers, ranges
from cortex_rec.histories import Histories


def popularity(histories: Histories, *, as_of: int, n_items: int, window_days: int = 28) -> I32:
    """Items sold in the days before `as_of`, the most order lines first.

    An order line counts once, whatever its quantity; equal counts go by item row.

    Parameters
    ----------
    histories
        All users; what happened at or after `as_of` is not looked at.
    as_of
        Moment of the recommendation, seconds since 1970 in the shop's time zone.
    n_items
        Size of the catalogue.

    Returns
    -------
    I32
        (n_sold,) item rows, best first; items without a sale in the window are left out.
    """
    counts = sold(histories, as_of=as_of, n_items=n_items, window_days=window_days)
    order = np.argsort(-counts, kind="stable")
    return order[: np.count_nonzero(counts)].astype(np.int32)


def sold(histories: Histories, *, as_of: int, n_items: int, window_days: int = 28) -> I32:
    """Order lines (n_items,) int32 of each item in the `window_days` before `as_of`."""
    recent = histories.between(as_of - window_days * DAY, as_of)
    return np.bincount(recent.item, minlength=n_items).astype(np.int32)


def everyone(ranking: I32, bought_before: Ragged, n: int) -> Ragged:
    """One ranking for all users, long enough that `n` items are left when those bought before are taken out.

    Parameters
    ----------
    ranking
        Item rows, best first, as `popularity` gives them.
    bought_before
        Distinct items that each user ever bought.
    n
        Items wanted of each kind of list.
    """
    counts = np.minimum(np.diff(bought_before.pointer) + n, len(ranking))
    return Ragged(pointers(counts), ranking[ranges(np.zeros(len(counts), np.int64), counts)])


def personal_decay(histories: Histories, users: I32, *, as_of: int, n: int, half_life_days: float = 60) -> Ragged:
    """Each user's own items by how often and how lately they were bought.

    Every order line weighs `0.5 ** (age / half_life_days)`, whatever its quantity; equal sums go by item row. A user
    with fewer than `n` items gets a shorter list: nothing is filled up.

    Parameters
    ----------
    histories
        All users; what happened at or after `as_of` is not looked at.
    users
        (n_users,) int32 rows of the users wanted; -1 gives an empty list.
    as_of
        Moment of the recommendation, seconds since 1970 in the shop's time zone.
    n
        Longest list.

    Returns
    -------
    Ragged
        One list a user, best first.
    """
    own = histories.take(users).before(as_of)
    width = np.int64(own.item.max(initial=0)) + 1
    pair, inverse = np.unique(own.owner * width + own.item, return_inverse=True)
    weight = np.bincount(inverse, weights=0.5 ** ((as_of - own.time) / (half_life_days * DAY)), minlength=len(pair))
    user, item = pair // width, pair % width
    order = np.lexsort((item, -weight, user))
    whole = Ragged.from_owner(user, item[order], len(users))
    counts = np.minimum(np.diff(whole.pointer), n)
    return Ragged(pointers(counts), whole.item[ranges(whole.pointer[:-1], counts)])
