"""How much a place of the list is looked at, from what a service has shown and what was clicked: chance tells it apart from the item."""

import numpy as np
import polars as pl

from cortex_rec.arrays import F64
from cortex_rec.errors import DataError

_ROUNDS = 200


def attention(shown: pl.DataFrame) -> F64:
    """The chance to look at each place, compared with the first one.

    The chance of a click is taken to be that of looking at the place times the appeal of the item's rank. Exploration puts ranks at other
    places; without it the two cannot be told apart.

    Parameters
    ----------
    shown
        One row a shown item: `place`, `rank` (what its place would be without chance), both 0-based, and `clicked`.

    Raises
    ------
    DataError
        If no item has stood at another place than its rank's.
    """
    if not shown.height or not (shown["place"] != shown["rank"]).any():
        raise DataError("attention: nothing stood elsewhere than its rank says. Serve an experiment with `exploration` for a while first.")
    place, rank, clicked = (shown[name].to_numpy().astype(np.int64) for name in ("place", "rank", "clicked"))
    look, appeal = np.ones(place.max() + 1), np.ones(rank.max() + 1)
    by_place, by_rank = np.bincount(place, clicked), np.bincount(rank, clicked)
    for _ in range(_ROUNDS):
        appeal = by_rank / np.maximum(np.bincount(rank, look[place]), 1e-12)
        look = by_place / np.maximum(np.bincount(place, appeal[rank]), 1e-12)
    chance: F64 = look / look[0]
    return chance


def exponent(chance: F64) -> float:
    """The exponent with which `(place + 1) ** -exponent` is nearest, on the logarithm, to the chances of places that were looked at."""
    at = np.log(np.arange(1, len(chance) + 1))
    known = chance > 0
    return float(-(at[known] @ np.log(chance[known])) / (at[known] @ at[known]))
