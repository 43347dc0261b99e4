"""What the service was asked and what came of it, from its log of exposures; the log's own weeks before are what a day is held against."""

from typing import Final

import numpy as np
import polars as pl

from cortex_rec.arrays import DAY, Array
from cortex_rec.ids import IdMap
from cortex_rec.monitoring.raw import HOURS, WEEK, Named, Raw, mean_vector
from cortex_rec.monitoring.signals import Rule
from cortex_rec.recommender import Recommender

RULE: Final = Rule(
    memory=2,
    by_weekday=True,
    scales={
        "requests": "count", "askers": "count", "busiest_asker_requests": "count", "nameless": "share", "fallbacks": "share",
        "new_askers": "share", "unlisted_items": "share", "items_shown": "share", "other_releases": "share", "clicks_a_request": "count",
        "busiest_clicker_events": "count", "click_through_": "share",
    },
)  # fmt: skip
#: First and last place, counted from 0, that the click-through is told of together.
_PLACES: Final = {"1": (0, 0), "2_to_5": (1, 4), "6_to_10": (5, 9), "11_on": (10, 10**6)}
#: Places with a bin of their own.
_SHOWN: Final = 20
#: Kinds of events that say that a shown item was liked.
LIKED: Final = ("click", "cart", "purchase")
EVENTS: Final = {"kind": pl.String, "user": pl.String, "item": pl.String, "time": pl.Int64, "impression": pl.String}
_HALF: Final = 0.5


def raw(exposures: pl.DataFrame, events: pl.DataFrame, recommender: Recommender, day: int, *, release: str) -> Raw:
    """A day of the log before it is counted.

    Parameters
    ----------
    exposures
        `cortex_rec.events.exposures.SCHEMA`, of one day.
    events
        `EVENTS`, of the same day.
    recommender, release
        The release in production, and its id: answers of another one are counted.
    day
        First second of the day. A day before the release's moment is seen as by a release of its own week, which did not know everybody
        yet.
    """
    items, content = recommender.data.items, recommender.snapshot.content
    as_of = recommender.snapshot.as_of
    known = _known(recommender, as_of if day >= as_of else as_of - -(-(as_of - day) // WEEK) * WEEK)
    places = _places(exposures, events)
    retrievers = (
        exposures.select(pl.col("retrievers").list.explode()).to_series().list.explode()
        if exposures.height
        else pl.Series([], dtype=pl.String)
    )
    shown = items.rows(places["item"]).astype(np.int64)
    values = {"score": places["score"].to_numpy(), "probability": places["probability"].fill_null(np.nan).to_numpy()}
    values |= {"requests_an_asker": _sizes(exposures["user"]), "items_a_request": exposures["items"].list.len().to_numpy()}
    names = sorted(retrievers.unique().to_list())
    named = {
        "hour": Named(exposures["time"].to_numpy() % DAY // 3600, HOURS),
        "store": _texts(exposures["store"]),
        "retrievers": Named(IdMap(pl.Series(names, dtype=pl.String)).rows(retrievers), names),
        "liked_places": Named(np.minimum(places.filter("liked")["place"].to_numpy(), _SHOWN - 1), [str(at + 1) for at in range(_SHOWN)]),
        "kinds_of_events": _texts(events["kind"]),
    }
    return Raw(
        exposures.height, values, named, _numbers(exposures, events, places, known, shown, release), mean_vector("shown", shown, content)
    )


def _places(exposures: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """One row an item shown: its place, score, probability, and whether an event of its answer liked it."""
    shown = exposures.select(
        "impression", pl.col("items").alias("item"), pl.col("scores").alias("score"), pl.col("probabilities").alias("probability"),
        pl.int_ranges(0, pl.col("items").list.len()).alias("place"),
    ).explode("item", "score", "probability", "place", empty_as_null=False)  # fmt: skip
    liked = events.filter(pl.col("kind").is_in(LIKED) & (pl.col("impression") != "")).select("impression", "item", liked=True).unique()
    joined = shown.join(liked, on=["impression", "item"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("liked").fill_null(False), pl.col("score").fill_null(np.nan))


def _numbers(
    exposures: pl.DataFrame, events: pl.DataFrame, places: pl.DataFrame, known: frozenset[str], shown: Array, release: str
) -> dict[str, float]:
    named = exposures.filter(pl.col("user") != "")["user"]
    place, liked = places["place"].to_numpy(), places["liked"].to_numpy()
    of_place = {name: liked[(place >= first) & (place <= last)] for name, (first, last) in _PLACES.items()}
    promised = places.filter(pl.col("probability").is_not_null())
    expected, came = float(promised["probability"].sum()), int(promised["liked"].sum())
    return {
        "requests": exposures.height,
        "askers": named.n_unique(),
        "busiest_asker_requests": float(_sizes(named).max(initial=0)),
        "busiest_clicker_events": float(_sizes(events["user"]).max(initial=0)),
        "nameless": _mean(exposures["user"] == ""),
        "new_askers": _mean(~named.is_in(list(known))),
        "fallbacks": _mean(exposures["fallback"] != ""),
        "other_releases": _mean(exposures["release"] != release),
        "unlisted_items": float(np.mean(shown < 0)) if len(shown) else np.nan,
        "items_shown": places["item"].n_unique() / places.height if places.height else np.nan,
        "clicks_a_request": float(liked.sum() / max(exposures.height, 1)),
        "log_liked_of_promised": float(np.log((came + _HALF) / (expected + _HALF))) if promised.height else np.nan,
        **{f"click_through_{name}": float(each.mean()) if len(each) else np.nan for name, each in of_place.items()},
    }


def _known(recommender: Recommender, moment: int) -> frozenset[str]:
    """Users who had bought something before a moment."""
    histories = recommender.data.histories
    everybody = np.arange(histories.n_users, dtype=np.int32)
    return frozenset(recommender.data.users.external(everybody[histories.came_before(everybody, moment)]))


def _texts(column: pl.Series) -> Named:
    """A text column; empty is none."""
    names = sorted(name for name in column.unique().to_list() if name)
    return Named(IdMap(pl.Series(names, dtype=pl.String)).rows(column), names)


def _sizes(column: pl.Series) -> Array:
    """How often each text is there, but for the empty one."""
    named = column.filter(column != "")
    return named.value_counts()["count"].to_numpy() if len(named) else np.zeros(0, np.int64)


def _mean(mask: pl.Series) -> float:
    return float(mask.to_numpy().mean()) if len(mask) else np.nan
