"""A bounded share of the places for a kind of items: unsold ones, ones that are new to the user, the long tail."""

from itertools import pairwise

import numpy as np

from cortex_rec.arrays import I64, Bool


def due(share: float, places: int) -> int:
    """How many of the first `places` go to a kind at least."""
    return int(np.floor(share * places + 1e-9))


def explore(pointer: I64, kind: Bool, share: float) -> I64:
    """The order in which ranked lists are shown so that one kind of items gets its share of the places.

    Of the first p places of a list at least `due(share, p)` go to it, as far as the list has any: the best ones, by their own
    order, and none that stood higher by itself is moved. All others keep their order.

    Parameters
    ----------
    pointer
        (n_lists + 1,) int64; list `i` is entries `pointer[i]:pointer[i + 1]`, best first.
    kind
        (n,) bool, by entry.
    share
        0 to 1; 0 changes nothing.

    Returns
    -------
    I64
        (n,) int64 positions of the entries in their new order.
    """
    order = np.arange(len(kind))
    if share == 0:
        return order
    for start, end in pairwise(pointer.tolist()):
        for count, at in enumerate(np.flatnonzero(kind[start:end]) + start, start=1):
            place = start + int(np.ceil(count / share - 1e-9)) - 1
            if place >= at:
                continue
            # Those before it have only changed places among themselves, so it is still where it was.
            order[place : at + 1] = np.roll(order[place : at + 1], 1)
    return order
