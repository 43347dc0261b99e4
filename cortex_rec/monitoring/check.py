"""A day held against a release's reference: what is judged, what is not and why, and whether it is a day for an alarm."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import DAY
from cortex_rec.config import Monitoring
from cortex_rec.encoding import Encoded
from cortex_rec.errors import DataError
from cortex_rec.histories import from_interactions
from cortex_rec.monitoring import answers, frozen, purchases, requests, stores, thresholds
from cortex_rec.monitoring.bins import Bins
from cortex_rec.monitoring.known import Known
from cortex_rec.monitoring.profiles import Profiles
from cortex_rec.monitoring.purchases import Lines
from cortex_rec.monitoring.raw import WEEK, Raw, layout
from cortex_rec.monitoring.reference import Reference
from cortex_rec.monitoring.signals import Rule
from cortex_rec.monitoring.verdict import Part, Verdict, verdict
from cortex_rec.recommender import Recommender
from cortex_rec.splits import day_of

#: Lines, buyers and requests of a day below which nothing is said about it.
FEWEST: Final[Mapping[str, int]] = {"purchases": 20, "answers": 5, "requests": 20}
_WHAT: Final = {"purchases": "purchases", "answers": "known buyers", "requests": "answers in the log"}
_MORE: Final = {
    "purchases": "Train on more weeks",
    "answers": "Ask for more training windows (`windows.training`)",
    "requests": "Wait until the log is some weeks old",
}
#: Weeks of the log that a day of it is held against.
LOG_WEEKS: Final = 8


@dataclass(frozen=True)
class Seen:
    """What the shop tells of a day and of the time before it.

    Parameters
    ----------
    bought
        Columns of `columns.INTERACTIONS`: all purchases up to the day's end; what is later is left out.
    items
        The shop's items as they are now; None where no source tells them.
    exposures
        The log of answers of the day and of `LOG_WEEKS` before it; None where none is kept.
    events
        `requests.EVENTS` of the same time; None where none are kept.
    """

    bought: pl.DataFrame
    items: pl.DataFrame | None = None
    exposures: pl.DataFrame | None = None
    events: pl.DataFrame | None = None


def check(
    recommender: Recommender,
    reference: Reference,
    seen: Seen,
    config: Monitoring,
    *,
    release: str,
    day: int,
    seed: int,
    truth: Known | None = None,
) -> Verdict:
    """Hold a day's purchases, answers and requests against the reference.

    Parameters
    ----------
    recommender, reference, release
        The release in production, what it keeps, and its id.
    day
        The day's first second, on the shop's own wall clock.
    seed
        Decides which buyers are answered.
    truth
        What `seen.bought` says of the release's moment, for who checks several days and sums it up once (`truth_of`).

    Raises
    ------
    DataError
        If the day lies before the release's moment, which it has learned from.
    """
    as_of = recommender.snapshot.as_of
    if day < as_of:
        raise DataError(
            f"day {day_of(day)}: lies before {day_of(as_of)}, up to which release {release} has learned. "
            "Ask for a day from then on, or for an older release."
        )
    bought = _checked(seen.bought)
    since = _since(bought, seen.items, recommender.data, as_of, day)
    truth = truth_of(bought, recommender.data, as_of) if truth is None else truth
    own, content = since.between(day, day + DAY), recommender.snapshot.content

    parts = []
    if len(own) < FEWEST["purchases"]:
        parts += [_few("purchases", len(own)), Part("answers", "too few", "nobody is answered on so few purchases")]
    else:
        known = Known.of_release(recommender, own.pairs(len(recommender.data.items)))
        bought_then = purchases.raw(since, known, recommender.data, content, day, truth)
        # Answering takes the most time by far: not for nothing.
        answered = answers.raw(recommender, own, day=day, users=config.users, seed=seed) if len(reference.answers.days) else None
        for name, kept, one, rule in (
            ("purchases", reference.purchases, bought_then, purchases.RULE),
            ("answers", reference.answers, answered, answers.RULE),
        ):
            parts.append(_part(name, kept.days, one, kept.layout, rule, day, int(kept.days.block.max(initial=-1)) + 1))
        parts.append(frozen.judge(reference.answers.days, answered))
        parts.append(stores.judge(reference.purchases.days, bought_then, reference.purchases.layout))
    parts.append(_requests(recommender, seen, release, day))
    notes = _notes(recommender.data, seen, truth)
    return verdict(parts, notes, release=release, as_of=as_of, day=day, alarm_weeks=config.alarm_weeks)


def _part(name: str, days: Profiles, one: Raw | None, bins: Mapping[str, Bins], rule: Rule, day: int, block: int) -> Part:
    """Judge a day by the days before it; says why where that cannot be."""
    size = 0 if one is None else one.size
    if len(days) and (one is None or size < FEWEST[name]):
        return _few(name, size)
    judged = thresholds.judge(days.followed_by(day, block, one.counted(bins)), rule) if len(days) and one is not None else None
    if judged is None:
        return Part(name, "too few", f"{len(days)} days are kept, too few to know what is ordinary. {_MORE[name]}", size, len(days))
    return Part.judged(name, size, judged)


def _few(name: str, size: int) -> Part:
    return Part(name, "too few", f"{size} {_WHAT[name]} on the day, {FEWEST[name]} are needed to tell anything", size)


def _requests(recommender: Recommender, seen: Seen, release: str, day: int) -> Part:
    """The day of the log beside its own weeks before."""
    if seen.exposures is None:
        return Part("requests", "absent", "no log of answers was given; CORTEX_REC_EXPOSURES makes the service keep one")
    events = pl.DataFrame(schema=requests.EVENTS) if seen.events is None else seen.events
    shown = seen.exposures

    def of_day(start: int) -> Raw:
        own, theirs = (frame.filter((pl.col("time") >= start) & (pl.col("time") < start + DAY)) for frame in (shown, events))
        return requests.raw(own, theirs, recommender, start, release=release)

    one = of_day(day)
    if one.size < FEWEST["requests"]:
        return _few("requests", one.size)
    before = [(start, (start - day) // WEEK, of_day(start)) for start in range(day - LOG_WEEKS * WEEK, day, DAY)]
    whole = [(start, block, each) for start, block, each in before if each.size >= FEWEST["requests"]]
    bins = layout([each for _, _, each in whole])
    return _part("requests", Profiles.of([(s, b, each.counted(bins)) for s, b, each in whole]), one, bins, requests.RULE, day, 0)


def _checked(bought: pl.DataFrame) -> pl.DataFrame:
    """The purchases, whose columns must be those of `columns.INTERACTIONS`; further ones are left out and told in the notes."""
    missing = [name for name in columns.INTERACTIONS_REQUIRED if name not in bought.columns]
    if missing:
        raise DataError(
            f"interactions: column {missing[0]!r} is missing. It has {bought.columns}; map yours in `source.interactions.columns`.",
            table="interactions",
        )
    return bought.select([name for name in columns.INTERACTIONS if name in bought.columns])


def _since(bought: pl.DataFrame, items: pl.DataFrame | None, data: Encoded, as_of: int, day: int) -> Lines:
    seconds = pl.col(columns.TIMESTAMP).dt.epoch("s")
    return purchases.of_table(bought.filter((seconds >= as_of) & (seconds < day + DAY)), items, data)


def truth_of(bought: pl.DataFrame, data: Encoded, as_of: int) -> Known | None:
    """What the purchases before the release's moment say, of items and users that it knows; None where there are none."""
    before = bought.filter(pl.col(columns.TIMESTAMP).dt.epoch("s") < as_of)
    for column, ids in ((columns.USER, data.users), (columns.ITEM, data.items)):
        before = before.filter(pl.col(column).is_in(ids.ids.implode()))
    if before.is_empty():
        return None
    histories = from_interactions(before, data.users, data.items, data.stores)
    return Known.of(histories, len(data.items), len(data.stores), as_of)


def _notes(data: Encoded, seen: Seen, truth: Known | None) -> list[str]:
    notes = []
    extra = set(seen.bought.columns) - set(columns.INTERACTIONS)
    if seen.items is not None:
        extra |= set(seen.items.columns) - set(columns.ITEMS) - set(data.catalogue.codes)
    if extra:
        notes.append(f"columns that the release does not know are not compared: {', '.join(sorted(extra))}")
    if truth is None:
        notes.append("no purchase before the release's moment was given: whether what it serves is stale is not judged")
    if seen.items is None:
        notes.append("no table of items was given: groups are those of the release, a renamed one would not be seen")
    if seen.exposures is not None and seen.events is None:
        notes.append("no live events were given: click-through is not judged")
    return notes
