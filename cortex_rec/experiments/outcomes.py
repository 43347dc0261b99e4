"""From the log of exposures and the events that followed to what each person has brought, day by day."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from cortex_rec.arrays import DAY, F64, I64, sums
from cortex_rec.errors import DataError
from cortex_rec.events.protocol import Event
from cortex_rec.experiments.config import INTERLEAVED, Experiment

#: Metric -> what it is, and whether more is better.
METRICS: Final = {
    "bought": ("items bought from what was shown", True),
    "clicks": ("items clicked of what was shown", True),
    "spend": ("money spent, on whatever", True),
    "lines": ("lines bought, of whatever", True),
    "hides": ("items that are not to be shown again", False),
}
_EVENTS: Final = {"kind": pl.String, "user": pl.String, "item": pl.String, "time": pl.Int64, "spend": pl.Float64, "impression": pl.String}


@dataclass(frozen=True)
class Outcomes:
    """People of an experiment, in the order of their ids.

    Parameters
    ----------
    users
        Their ids.
    arm
        (users,) int64, the place of each one's arm in the experiment; 0 for everybody when answers are interleaved.
    days
        (users, days) float64, days since the first exposure, that one included, at the end of each day; 0 before it.
    by_day
        (users, days) float64 by metric. When answers are interleaved: the second arm's less the first's, of what teams can be told of.
    start
        Seconds since 1970, the midnight at which the first day begins.
    warnings
        What is not as it should be.
    """

    users: tuple[str, ...]
    arm: I64
    days: F64
    by_day: dict[str, F64]
    start: int
    warnings: tuple[str, ...]


def events_table(events: Iterable[Event]) -> pl.DataFrame:
    """What an analysis needs of events, as `EventStore.since` gives them."""
    rows = [(each.kind, each.user, each.item, each.time, each.quantity * (each.price or 0.0), each.impression) for each in events]
    return pl.DataFrame(rows, _EVENTS, orient="row")


def outcomes(experiment: Experiment, exposures: pl.DataFrame, events: pl.DataFrame, *, until: int | None = None) -> Outcomes:
    """Follow each person from the first exposure on.

    Parameters
    ----------
    exposures
        `exposures.read`; those of other experiments are left out.
    events
        `events_table`.
    until
        Seconds since 1970: the end of the last day that is looked at; days after it are left out. The end of the last exposure's day
        when absent.

    Raises
    ------
    DataError
        If nobody was exposed, or arms are named that the experiment does not have.
    """
    mine = exposures.filter(pl.col("experiment") == experiment.name).sort("time", maintain_order=True)
    if until is not None:
        mine = mine.filter(pl.col("time") < until)
    if mine.height == 0:
        named = ", ".join(sorted(set(exposures["experiment"]) - {""})) or "none"
        raise DataError(
            f"experiment {experiment.name!r}: nobody was exposed. Experiments in these exposures: {named}. "
            "Serve it with CORTEX_REC_EXPERIMENT."
        )
    names = [arm.name for arm in experiment.arms]
    known = [INTERLEAVED] if experiment.kind == "interleaving" else names
    strange = sorted(set(mine["arm"]) - set(known))
    if strange:
        raise DataError(
            f"experiment {experiment.name!r}: exposures are of arm {strange[0]!r}, and there are {', '.join(known)}. "
            "Report with the file that was served, or give a changed experiment another name."
        )
    warnings: list[str] = []
    mine = _steady(mine, experiment, warnings)
    start = int(mine["time"].min()) // DAY * DAY  # type: ignore[arg-type]
    end = until if until is not None else int(mine["time"].max()) // DAY * DAY + DAY  # type: ignore[arg-type]
    length = max(1, (end - start) // DAY)
    first = mine.group_by("user").agg(pl.col("time").min().alias("first"), pl.col("arm").first()).sort("user")
    place = first.select("user", pl.int_range(pl.len()).alias("place"), "first")
    happened = events.filter((pl.col("time") >= start) & (pl.col("time") < start + length * DAY)).join(place, on="user")
    happened = happened.filter(pl.col("time") // DAY >= pl.col("first") // DAY).with_columns(((pl.col("time") - start) // DAY).alias("day"))
    shown = mine.select("impression", "user", pl.col("items").alias("item"), pl.col("teams").alias("team"))
    followed = _followed(happened, shown, names, interleaved=experiment.kind == "interleaving")
    if followed.height == 0:
        warnings.append(
            "No event follows an exposure: clicks and purchases must carry the `impression_id` of the answer. Without it only what is "
            "bought at all can be compared."
        )
    size = (first.height, length)
    by_day = {"bought": _table(followed, "purchase", "credit", size), "clicks": _table(followed, "click", "credit", size)}
    if experiment.kind == "ab":
        plain = happened.with_columns(pl.lit(1.0).alias("one"))
        by_day |= {"spend": _table(plain, "purchase", "spend", size), "lines": _table(plain, "purchase", "one", size)}
        by_day |= {"hides": _table(plain, "hide", "one", size)}
    begins = ((first["first"].to_numpy() - start) // DAY)[:, None]
    days = np.maximum(0.0, np.arange(1, length + 1)[None, :] - begins).astype(np.float64)
    arm = np.array([0 if name == INTERLEAVED else names.index(name) for name in first["arm"]], np.int64)
    return Outcomes(tuple(first["user"]), arm, days, by_day, start, tuple(warnings))


def _steady(mine: pl.DataFrame, experiment: Experiment, warnings: list[str]) -> pl.DataFrame:
    """Exposures of people whose arm is what the file says and has always been the same."""
    arms = mine.group_by("user").agg(pl.col("arm").n_unique().alias("arms"), pl.col("arm").first().alias("first"))
    several = set(arms.filter(pl.col("arms") > 1)["user"])
    if several:
        warnings.append(
            f"{len(several):,} of {arms.height:,} people were in more than one arm and are left out: the salt or the shares were "
            "changed while the experiment ran. Begin a new one, with another name and salt."
        )
    other = {user for user, label in arms.select("user", "first").iter_rows() if experiment.label_of(user) != label} - several
    if other:
        warnings.append(
            f"{len(other):,} of {arms.height:,} people had another arm than this file gives them: it is not the file that was served "
            "(salt, shares, traffic). They count in the arm that they were shown."
        )
    return mine.filter(~pl.col("user").is_in(list(several)))


def _followed(happened: pl.DataFrame, shown: pl.DataFrame, names: list[str], *, interleaved: bool) -> pl.DataFrame:
    """Events on an item of the answer that they name, each answer, item and kind once; with the credit of it."""
    pairs = shown.explode("item", "team") if interleaved else shown.drop("team").explode("item")
    pairs = pairs.unique(["impression", "item"])
    found = happened.join(pairs, on=["impression", "user", "item"])
    found = found.unique(["impression", "item", "kind"], keep="first", maintain_order=True)
    credit = pl.when(pl.col("team") == names[1]).then(1.0).otherwise(-1.0) if interleaved else pl.lit(1.0)
    return found.with_columns(credit.alias("credit"))


def _table(happened: pl.DataFrame, kind: str, value: str, size: tuple[int, int]) -> F64:
    """(users, days) sums."""
    own = happened.filter(pl.col("kind") == kind)
    at = own["place"].to_numpy().astype(np.int64) * size[1] + own["day"].to_numpy().astype(np.int64)
    return sums(at, own[value].to_numpy(), size[0] * size[1]).reshape(size)
