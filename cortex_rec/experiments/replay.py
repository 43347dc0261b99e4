"""The answers of an exploring service beside those that another release gives to the same people: what off-policy estimates need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from cortex_rec.arrays import F64
from cortex_rec.errors import DataError
from cortex_rec.experiments.off_policy import Logged
from cortex_rec.requests import Request, Slate

_TOGETHER: Final = 64


@dataclass(frozen=True)
class _Places:
    """Items by place, and how likely they are bought; "" and 0 where there is none."""

    items: list[list[str]]
    probability: F64


def replay(shown: pl.DataFrame, happened: pl.DataFrame, recommend: Callable[[Sequence[Request]], list[Slate]], *, kind: str) -> Logged:
    """Ask another release what it would have shown.

    The model of rewards, for the doubly robust estimate, takes each place's purchases as proportional to the release's own probabilities.

    Parameters
    ----------
    shown
        Exposures of an experiment with exploration (`exposures.read`).
    happened
        `outcomes.events_table`.
    recommend
        The other release's `Recommender.recommend`. It answers as of its own moment, without what lay in a basket then.
    kind
        What an answer brings: `purchase` or `click`.

    Raises
    ------
    DataError
        If nothing was shown, or chance had no part in any of it.
    """
    if not shown.height or not (shown["propensities"].list.min().fill_null(1.0) < 1).any():
        raise DataError("off-policy: chance had no part in these answers. Serve an experiment with `exploration`, then estimate.")
    places = int(shown["items"].list.len().max())  # type: ignore[arg-type]
    logged = _Places(_padded(shown["items"].to_list(), places, ""), _numbers(shown["probabilities"].to_list(), places))
    propensity = _numbers(shown["propensities"].to_list(), places, missing=1.0)
    asked = [Request(user or None, store=store or None, n=len(items), explain=False) for user, store, items in _who(shown)]
    slates: list[Slate] = []
    for start in range(0, len(asked), _TOGETHER):
        slates += recommend(asked[start : start + _TOGETHER])
    other = _Places(
        _padded([[each.item for each in slate.items] for slate in slates], places, ""),
        _numbers([[each.probability for each in slate.items] for slate in slates], places),
    )
    followed = set(happened.filter(pl.col("kind") == kind).select("impression", "item").iter_rows())
    rows = zip(shown["impression"], logged.items, strict=True)
    reward = np.array([[(impression, item) in followed for item in items] for impression, items in rows], np.float64)
    agrees = np.array([[a == b for a, b in zip(*both, strict=True)] for both in zip(logged.items, other.items, strict=True)], np.float64)
    squares = (logged.probability**2).sum(axis=0)
    slope = np.divide((reward * logged.probability).sum(axis=0), squares, out=np.zeros(places), where=squares > 0)
    _, person = np.unique(shown["user"].to_numpy(), return_inverse=True)
    return Logged(person, reward, propensity, agrees, slope * logged.probability, slope * other.probability)


def _who(shown: pl.DataFrame) -> list[tuple[str, str, list[str]]]:
    return list(shown.select("user", "store", "items").iter_rows())


def _padded(rows: Sequence[Sequence[str]], places: int, fill: str) -> list[list[str]]:
    return [[*row, *[fill] * (places - len(row))] for row in rows]


def _numbers(rows: Sequence[Sequence[float | None]], places: int, missing: float = 0.0) -> F64:
    table = np.full((len(rows), places), missing)
    for at, row in enumerate(rows):
        table[at, : len(row)] = [missing if value is None else value for value in row]
    return table
