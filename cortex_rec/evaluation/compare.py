"""Two systems on the same users and window: the difference of each figure, with its paired interval, by slice."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from cortex_rec.arrays import F64
from cortex_rec.errors import ArtifactError, DataError
from cortex_rec.evaluation import metrics, significance, slices
from cortex_rec.evaluation.evaluate import MAIN, Judged
from cortex_rec.ids import IdMap

#: The file beside `metrics.json` that holds every test user's own figures.
PER_USER: Final = "per_user.parquet"
_CUTOFFS: Final = (10, 20)
_USER: Final = "user_id"
_ACTIVITY: Final = "activity"
_WINDOW: Final = "test_week"


def per_user(judged: Judged, users: IdMap) -> pl.DataFrame:
    """Every test user's figures, so that another system can be compared user by user.

    Parameters
    ----------
    judged
        Recommendations and purchases of one window.
    users
        External ids of `judged.users`.

    Returns
    -------
    polars.DataFrame
        One row a user: id, test window, activity (light, medium, heavy), and NDCG@10 and recall@20 over all purchases
        and, under the slice's name, over new and over repeated items; null where the user bought none of them.
    """
    parts = {"": (judged.ranked, judged.truth), **slices.by_novelty(judged.ranked, judged.truth, judged.bought_before)}
    figures: dict[str, F64] = {}
    for name, (ranked, truth) in parts.items():
        found = metrics.per_user(ranked, truth, _CUTOFFS)
        figures |= {f"{name} {metric}".strip(): found[metric] for metric in (MAIN, "recall@20")}
    purchases = np.diff(judged.history.pointer)
    activity = np.array(slices.ACTIVITY)[slices.activity(purchases)]
    columns = {_USER: users.external(judged.users), _WINDOW: [judged.test_week] * len(judged.users), _ACTIVITY: activity.tolist()}
    return pl.DataFrame(columns | figures).with_columns(pl.selectors.float().fill_nan(None))


def read(folder: Path) -> pl.DataFrame:
    """The figures in the folder of an evaluation.

    Raises
    ------
    ArtifactError
        If they are missing or unreadable.
    """
    try:
        return pl.read_parquet(folder / PER_USER)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(
            f"{folder / PER_USER}: cannot be read ({error}). Releases made before there was `cortex-rec compare` lack it: "
            "train again, or name the YAML file in place of the release."
        ) from error


def compare(first: pl.DataFrame, second: pl.DataFrame, *, samples: int = 1_000, seed: int = 7) -> list[dict[str, Any]]:
    """How much better the second is than the first.

    Parameters
    ----------
    first, second
        Tables of `per_user`.
    samples, seed
        Of the bootstrap over users.

    Returns
    -------
    list
        One mapping a slice and metric that says something of somebody: `slice`, `metric`, `users`, `first`, `second`,
        `difference` and the bounds `low` and `high` of its 95 % paired interval.

    Raises
    ------
    DataError
        If the two were not judged on the same users in the same window.
    """
    weeks = [sorted(set(table[_WINDOW])) for table in (first, second)]
    if weeks[0] != weeks[1]:
        raise DataError(f"compare: judged on different windows, {weeks[0]} and {weeks[1]}. Evaluate both with the same `windows.end`.")
    both = first.join(second, on=_USER, suffix=" of second", validate="1:1", maintain_order="left")
    if not both.height == first.height == second.height:
        raise DataError(
            f"compare: judged on different users, {first.height:,} and {second.height:,} with {both.height:,} in common. "
            "Evaluate both on the same source and gates."
        )
    rows = []
    for part in ("all", *slices.ACTIVITY):
        chosen = both if part == "all" else both.filter(pl.col(_ACTIVITY) == part)
        for column in first.columns:
            if first.schema[column] != pl.Float64 or (part != "all" and column != MAIN):
                continue
            *name, metric = column.split(" ")
            pair = [chosen[given].cast(pl.Float64).fill_null(float("nan")).to_numpy() for given in (column, f"{column} of second")]
            judged = int(np.isfinite(pair[0]).sum())
            if judged == 0:
                continue
            low, high = significance.intervals({"": pair[1] - pair[0]}, samples=samples, seed=seed)[""]
            means = [float(np.nanmean(values)) for values in pair]
            rows.append(
                {
                    "slice": name[0] if name else part,
                    "metric": metric,
                    "users": judged,
                    "first": means[0],
                    "second": means[1],
                    "difference": means[1] - means[0],
                    "low": low,
                    "high": high,
                }
            )
    return rows
