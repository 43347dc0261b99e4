"""What a release knows of people from before an experiment: it steadies the comparison, and parts people into slices."""

from collections.abc import Sequence

import numpy as np

from cortex_rec.arrays import DAY, F64, NO_ROW
from cortex_rec.encoding import Encoded

#: Days before the release that are looked at.
DAYS = 56
SLICES = ("new", "light", "regular", "heavy")


def past_of(users: Sequence[str], data: Encoded, as_of: int) -> tuple[F64, list[str]]:
    """Covariates and slices of people.

    Returns
    -------
    before
        (users, 3) float64: whether the release knows the person, and how many lines and visits the last eight weeks had.
    slices
        Of each person: `new` to the release, else `light`, `regular` or `heavy` by thirds of visits.
    """
    rows = data.users.rows(list(users))
    lately = data.histories.between(as_of - DAYS * DAY, as_of)
    lines = np.bincount(lately.owner, minlength=lately.n_users).astype(np.float64)
    visits = lately.baskets.astype(np.float64)
    known = rows != NO_ROW
    at = np.maximum(rows, 0)
    before = np.column_stack([known, np.where(known, lines[at], 0), np.where(known, visits[at], 0)]).astype(np.float64)
    thirds = np.quantile(before[known, 2], [1 / 3, 2 / 3]) if known.any() else np.zeros(2)
    place = np.where(known, 1 + np.searchsorted(thirds, before[:, 2]), 0)
    return before, [SLICES[each] for each in place]
