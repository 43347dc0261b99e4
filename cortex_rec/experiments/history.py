"""The last days of a history as if they were an experiment's: what a plan is made of."""

from typing import Final

import numpy as np

from cortex_rec.arrays import DAY, F64
from cortex_rec.encoding import Encoded
from cortex_rec.errors import ConfigError, DataError
from cortex_rec.experiments.past import DAYS

METRICS: Final = ("lines", "spend", "visits")


def last_days(data: Encoded, metric: str, days: int) -> tuple[F64, F64, F64]:
    """What each person brought in the last days, from the first visit in them on.

    Parameters
    ----------
    metric
        One of `METRICS`.

    Returns
    -------
    value, days, before
        (users, days) cumulative, (users, days), and (users, 3) of the weeks before: as `power.plan` takes them.

    Raises
    ------
    ConfigError
        If there is no such metric.
    DataError
        If the history is not as long as these days and the eight weeks before.
    """
    if metric not in METRICS:
        raise ConfigError(f"metric: {metric!r} is none of {', '.join(METRICS)}. A history of purchases has no others.")
    time = data.histories.time
    end = int(time.max(initial=0)) // DAY * DAY + DAY
    start = end - days * DAY
    if int(time.min(initial=end)) > start - DAYS * DAY:
        raise DataError(f"The history is shorter than {days} days and the {DAYS} before. Ask for fewer --days.", table="interactions")
    window, earlier = data.histories.between(start, end), data.histories.between(start - DAYS * DAY, start)
    day = (window.time - start) // DAY
    at = window.owner * days + day
    if metric == "lines":
        value = np.bincount(at, minlength=window.n_users * days)
    elif metric == "spend":
        value = np.bincount(at, np.nan_to_num(window.price * window.quantity), window.n_users * days)
    else:
        _, first = np.unique(window.owner * (int(window.basket.max(initial=0)) + 1) + window.basket, return_index=True)
        value = np.bincount(at[first], minlength=window.n_users * days)
    came = np.bincount(at, minlength=window.n_users * days).reshape(-1, days) > 0
    begins = np.where(came.any(axis=1), came.argmax(axis=1), days)
    since = np.maximum(0.0, np.arange(1, days + 1)[None, :] - begins[:, None])
    lines = np.bincount(earlier.owner, minlength=earlier.n_users)
    before = np.column_stack([lines > 0, lines, earlier.baskets]).astype(np.float64)
    return value.reshape(-1, days).astype(np.float64).cumsum(axis=1), since, before
