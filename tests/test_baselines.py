"""The baselines by hand on a small history, and the issue's table on the real year."""

from datetime import UTC, datetime
from functools import cache

import numpy as np
import polars as pl
import pytest

from cortex_rec import columns
from cortex_rec.arrays import DAY, I32, NO_ROW, Ragged
from cortex_rec.config import CompleteJourneySource, Windows
from cortex_rec.evaluation import baselines, metrics
from cortex_rec.histories import Histories, from_interactions
from cortex_rec.ids import IdMap
from cortex_rec.sources import complete_journey

#: NDCG@10 by test week: households, popularity, personal decay, popularity among new items.
PUBLISHED = {
    49: (1_301, 0.123, 0.307, 0.017),
    50: (1_323, 0.089, 0.277, 0.015),
    51: (1_314, 0.092, 0.274, 0.016),
    52: (1_396, 0.106, 0.258, 0.023),
    53: (1_219, 0.099, 0.256, 0.012),
}


def history(*events: tuple[int, int, float]) -> Histories:
    """Events (user, item, day), sorted by user and time."""
    user, item, day = (np.array(column) for column in zip(*sorted(events, key=lambda e: (e[0], e[2], e[1])), strict=True))
    n = len(user)
    return Histories(
        np.searchsorted(user, np.arange(user.max() + 2)),
        item.astype(np.int32),
        (day * DAY).astype(np.int64),
        np.arange(n),
        np.full(n, NO_ROW, np.int32),
        np.full(n, 9, np.float32),
        np.ones(n, np.float32),
        np.zeros(n, np.float32),
    )


def test_popularity_counts_order_lines_of_the_window_and_breaks_ties_by_item() -> None:
    past = history((0, 3, 95), (0, 3, 96), (0, 1, 97), (1, 2, 98), (1, 0, 10), (1, 4, 100))
    assert list(baselines.popularity(past, as_of=100 * DAY, n_items=5)) == [3, 1, 2]


def test_personal_decay_puts_two_old_purchases_below_one_of_today_after_two_half_lives() -> None:
    past = history((0, 1, 0), (0, 1, 1), (0, 2, 119), (1, 5, 50), (1, 6, 500))
    found = baselines.personal_decay(past, np.array([1, 0, -1], np.int32), as_of=120 * DAY, n=10, half_life_days=60)
    assert [list(found[user]) for user in range(3)] == [[5], [2, 1], []]
    assert list(baselines.personal_decay(past, np.array([0], np.int32), as_of=120 * DAY, n=1)[0]) == [2]


def test_everyone_gets_as_many_new_items_as_asked_for() -> None:
    ranking = np.array([5, 3, 8, 1, 0], np.int32)
    before = Ragged(np.array([0, 2, 2]), np.array([3, 8], np.int32))
    found = metrics.without(baselines.everyone(ranking, before, 2), before)
    assert [list(found[user]) for user in range(2)] == [[5, 1], [5, 3]]


@cache
def year() -> tuple[Histories, I32, int]:
    table = complete_journey.read(CompleteJourneySource(), Windows(training=1)).interactions
    table = table.select(columns.USER, columns.ITEM, columns.TIMESTAMP)
    users, items = IdMap.of(table[columns.USER]), IdMap.of(table[columns.ITEM])
    histories = from_interactions(table, users, items, IdMap(pl.Series([], dtype=pl.String)))
    return histories, np.arange(len(users), dtype=np.int32), len(items)


def distinct(events: Histories) -> Ragged:
    pair = np.unique(events.owner * (1 << 32) + events.item)
    return Ragged.from_owner(pair >> 32, pair & 0xFFFFFFFF, events.n_users)


@pytest.mark.parametrize("week", PUBLISHED)
def test_the_baselines_of_the_real_year_are_those_published(week: int) -> None:
    histories, everybody, n_items = year()
    start = int(datetime(2017, 1, 2, tzinfo=UTC).timestamp()) + (week - 2) * 7 * DAY
    before, after = histories.before(start), histories.between(start, start + 7 * DAY)
    users = everybody[(np.diff(before.pointer) > 0) & (np.diff(after.pointer) > 0)]
    truth, bought = distinct(after.take(users)), distinct(before.take(users))
    popular = baselines.everyone(baselines.popularity(before, as_of=start, n_items=n_items), bought, 10)
    personal = baselines.personal_decay(before, users, as_of=start, n=10)

    def ndcg(ranked: Ragged, relevant: Ragged) -> float:
        return float(np.nanmean(metrics.per_user(ranked, relevant, [10])["ndcg@10"]))

    households, popularity, decay, new_items = PUBLISHED[week]
    assert len(users) == households
    assert ndcg(popular, truth) == pytest.approx(popularity, rel=0.02)
    assert ndcg(personal, truth) == pytest.approx(decay, rel=0.02)
    # Published to three digits only: half of the last one is already 3 % of figures as small as these.
    fresh = ndcg(metrics.without(popular, bought), metrics.without(truth, bought))
    assert fresh == pytest.approx(new_items, rel=0.02, abs=0.0005)
