"""What a stage made, through its gate. A bad row here is a defect of the code or its configuration: none is allowed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from cortex_rec.arrays import F32, Ragged
from cortex_rec.ranking import training
from cortex_rec.ranking.training import TrainingLists
from tasks.gates import GateResult, check_table

_NONE: Final = 0.0


def check_embeddings(vectors: F32, n_items: int, *, quarantine: Path) -> GateResult:
    """Hold item vectors (n_items, d) to `expectations/embeddings.json`: one an item, finite, of length 1."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1)
    frame = pl.DataFrame({"is_finite": np.isfinite(vectors).all(axis=1), "length": length}).with_columns(pl.col("length").fill_nan(0.0))
    return check_table(frame, "embeddings", allowance=_NONE, quarantine=quarantine, parameters={"items": n_items})


def check_content(text: F32, image: F32, n_items: int, *, quarantine: Path) -> GateResult:
    """Hold the vectors of words (n_items, d_text) and pictures (n_items, d_image) to `expectations/content.json`."""
    lengths = [np.linalg.norm(vectors.astype(np.float64), axis=1) for vectors in (text, image)]
    frame = pl.DataFrame(
        {
            "is_finite": np.isfinite(text).all(axis=1) & np.isfinite(image).all(axis=1),
            "is_unit_or_absent": np.all([(length == 0) | (np.abs(length - 1) < 1e-3) for length in lengths], axis=0),
        }
    )
    return check_table(frame, "content", allowance=_NONE, quarantine=quarantine, parameters={"items": n_items})


def check_candidates(lists: Ragged, n_items: int, *, at_least: int, quarantine: Path) -> GateResult:
    """Hold candidate lists to `expectations/candidates.json`.

    Parameters
    ----------
    lists
        Item rows a user.
    n_items
        Rows of the item map; others are unknown.
    at_least
        How many candidates every user must have; `min(n_items, …)` on a small catalogue.
    """
    n, owner = len(lists), lists.owner
    counts = np.diff(lists.pointer)
    distinct = np.bincount(np.unique(owner * (1 << 32) + lists.item) >> 32, minlength=n)
    unknown = np.bincount(owner[(lists.item < 0) | (lists.item >= n_items)], minlength=n)
    frame = pl.DataFrame({"candidates": counts, "unknown": unknown, "repeated": counts - distinct})
    return check_table(frame, "candidates", allowance=_NONE, quarantine=quarantine, parameters={"at_least": at_least})


def check_features(lists: Sequence[TrainingLists], names: Sequence[str], *, quarantine: Path) -> GateResult:
    """Hold feature values to `expectations/features.json`.

    Parameters
    ----------
    lists
        Training lists, one a window. They are judged together, by name: a feature of the calendar is constant within a
        window, and one that some window lacks counts as NaN there.
    names
        The features to judge: those that the ranker keeps, `training.informative`. A shop without stores or prices has
        others that say nothing, and is no worse for it; `left_out` names them.
    """
    rows = [(name, *_spread(training.column(lists, name))) for name in names]
    schema = {
        "feature": pl.String,
        "distinct": pl.Int64,
        "nan_share": pl.Float64,
        "infinite": pl.Int64,
        "lowest": pl.Float64,
        "largest": pl.Float64,
    }
    return check_table(pl.DataFrame(rows, schema=schema, orient="row"), "features", allowance=_NONE, quarantine=quarantine)


def left_out(absent: Sequence[str], *, rows: int) -> dict[str, Any]:
    """What `gates.json` says of the features that the ranker does not keep: a rule that cannot fail, with all their names."""
    told = {"table": "features", "rule": "feature varies, or is left out", "column": "feature", "level": "row"}
    return told | {"rows": rows, "bad": len(absent), "first": ", ".join(absent), "passed": True}


def _spread(values: F32) -> tuple[int, float, int, float | None, float | None]:
    """Distinct values as far as two, the share of NaN, infinities, and the lowest and largest finite value."""
    known = values[np.isfinite(values)]
    nan = int(np.isnan(values).sum())
    infinite = len(values) - nan - len(known)
    share = nan / max(len(values), 1)
    if len(known) == 0:
        return int(nan > 0), share, infinite, None, None
    lowest, highest = float(known.min()), float(known.max())
    # Whether there is a NaN tells something too: it counts as one value.
    return (1 if lowest == highest else 2) + (nan > 0), share, infinite, lowest, max(abs(lowest), abs(highest))


def check_metrics(metrics: Mapping[str, Any], *, quarantine: Path) -> GateResult:
    """Hold what `evaluate` returned to `expectations/metrics.json`: `ndcg@10` not below that of the popularity baseline."""
    own, popularity = float(metrics["metrics"]["ndcg@10"]), float(metrics["baselines"]["popularity"]["ndcg@10"])
    frame = pl.DataFrame({"ndcg@10": [own], "popularity_ndcg@10": [popularity], "lift_over_popularity": [own - popularity]})
    return check_table(frame, "metrics", allowance=_NONE, quarantine=quarantine)
