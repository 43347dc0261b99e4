"""Feedback changes the next answer: live events count as the same lines of a history would, and without their store there is an answer."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import app_of
from starlette.testclient import TestClient

from bentos.asked import Feedback
from bentos.people import happened
from bentos.settings import Settings
from cortex_rec import columns, events
from cortex_rec.errors import ConfigError
from cortex_rec.events.protocol import Event, EventStore, Kind
from cortex_rec.features.assemble import assemble
from cortex_rec.features.recent import Recent
from cortex_rec.histories import from_interactions
from cortex_rec.queries import Queries
from cortex_rec.recommender import WITHOUT_EVENTS, Recommender
from cortex_rec.releases.store import open_release
from cortex_rec.requests import Request, Slate
from cortex_rec.testing.release import small_release
from cortex_rec.testing.shop import small_shop


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    root = tmp_path_factory.mktemp("releases")
    return Recommender.load(open_release(root, small_release(root).id).path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = events.open(tmp_path / "events.sqlite")
    yield store
    store.close()


@pytest.fixture
def recommender(plain: Recommender, store: EventStore) -> Recommender:
    return replace(plain, events=store)


def did(n: int, kind: Kind, item: str, *, user: str = "h000", basket: str = "", seconds: int = 0, price: float | None = None) -> Event:
    """The `n`-th event, some seconds after the release's moment."""
    return Event(str(n), kind, user, item, MOMENT + seconds, basket, price=price)


#: The moment of the small release: twelve weeks after its shop opened.
MOMENT = int(datetime(2024, 3, 25, tzinfo=UTC).timestamp())


def told(recommender: Recommender, user: str = "h000", n: int = 80, **asked: object) -> Slate:
    (slate,) = recommender.recommend([Request(user=user, n=n, **asked)])  # type: ignore[arg-type]
    return slate


def items(slate: Slate) -> list[str]:
    return [item.item for item in slate.items]


def bits(recommender: Recommender, queries: Queries) -> tuple[bytes, ...]:
    """All that retrieval gives and a ranker reads."""
    candidates = recommender.snapshot.union.retrieve(queries)
    matrix = assemble(queries, candidates, recommender.snapshot, recommender.data.catalogue)
    recent = (getattr(matrix.recent, field.name).tobytes() for field in fields(Recent))
    return (candidates.lists.item.tobytes(), candidates.scores.tobytes(), matrix.values.tobytes(), *recent)


def with_history(recommender: Recommender, bought: Sequence[Event], moment: int) -> Recommender:
    """As if the release had known these purchases, at the times that they count as."""
    shop, data = small_shop().interactions, recommender.data
    rows = [(one.user, one.item, min(one.time, moment - 1), one.basket, one.quantity, one.price) for one in bought]
    schema = {columns.USER: pl.String, columns.ITEM: pl.String, "at": pl.Int64, columns.BASKET: pl.String}
    later = pl.DataFrame(rows, schema | {columns.QUANTITY: pl.Float32, columns.PRICE: pl.Float32}, orient="row")
    later = later.with_columns(pl.from_epoch("at", time_unit="s").cast(columns.TIME_DTYPE).alias(columns.TIMESTAMP)).drop("at")
    longer = from_interactions(pl.concat([shop, later], how="diagonal"), data.users, data.items, data.stores)
    return replace(recommender, data=replace(data, histories=longer), events=None)


PURCHASES = st.lists(
    st.tuples(
        st.sampled_from([f"i{item:03}" for item in range(80)]),
        st.integers(-3_000, 500_000),
        st.sampled_from([0.5, 1.0, 3.0]),
        st.sampled_from([None, 0.99, 12.5]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["h000", "h017", "h059"]), PURCHASES)
def test_purchases_that_come_live_give_the_bits_of_the_same_purchases_in_the_history(
    plain: Recommender, tmp_path_factory: pytest.TempPathFactory, user: str, lines: list[tuple[str, int, float, float | None]]
) -> None:
    store = events.open(tmp_path_factory.mktemp("events") / "events.sqlite")
    # Two lines a basket; ids in the order of time, as a table's baskets of one second are taken in the order of their ids.
    ordered = sorted(lines, key=lambda line: line[1])
    bought = [
        Event(str(n), "purchase", user, item, MOMENT + seconds, f"b{n // 2:03}", quantity, price)
        for n, (item, seconds, quantity, price) in enumerate(ordered)
    ]
    store.append(bought)
    live, known = replace(plain, events=store), with_history(plain, bought, MOMENT)
    asked = [Request(user=user), Request(user="h001"), Request(user=user, items=("i003",))]
    ours, theirs = live.ask(asked), known.ask(asked)
    assert [len(basket) for basket in ours.baskets] == [len(basket) for basket in theirs.baskets]
    assert bits(live, ours.queries) == bits(known, theirs.queries)
    assert live.recommend(asked) == known.recommend(asked)
    assert bits(live, ours.queries) != bits(plain, plain.ask(asked).queries)
    store.close()


def test_the_release_ends_at_the_moment_that_these_tests_count_from(plain: Recommender) -> None:
    assert plain.snapshot.as_of == MOMENT


def test_what_a_newcomer_bought_a_moment_ago_gives_a_personal_answer(recommender: Recommender, store: EventStore) -> None:
    before = told(recommender, "newcomer")
    assert before.fallback == "user 'newcomer' is unknown to this release: answered with what is popular"
    store.append([did(n, "purchase", item, user="newcomer", basket="b1") for n, item in enumerate(("i003", "i015", "i027"))])
    after = told(recommender, "newcomer")
    assert after.fallback is None
    assert items(after) != items(before)
    assert after.items[0].probability is not None


def test_a_carted_item_is_in_hand_and_a_clicked_one_may_still_be_recommended(recommender: Recommender, store: EventStore) -> None:
    before = items(told(recommender))
    carted, clicked = before[0], before[5]
    store.append([did(1, "cart", carted, basket="s1"), did(2, "click", clicked, basket="s1", seconds=1)])
    after = told(recommender)
    assert carted not in items(after)
    assert clicked in items(after)
    in_hand = replace(recommender, events=None).ask([Request(user="h000", items=(carted, clicked))]).queries
    assert bits(recommender, recommender.ask([Request(user="h000")]).queries) == bits(recommender, in_hand)


def test_what_was_carted_and_bought_since_is_a_purchase_and_no_more_in_hand(recommender: Recommender, store: EventStore) -> None:
    first = items(told(recommender))[0]
    store.append([did(1, "cart", first, basket="s1"), did(2, "purchase", first, basket="s1", seconds=5)])
    asked = recommender.ask([Request(user="h000")])
    assert len(asked.baskets[0]) == 0
    assert recommender.data.items.external(asked.queries.histories.item[-1:]) == [first]
    assert asked.queries.histories.time[-1] == MOMENT - 1


def test_only_the_last_session_is_in_hand(recommender: Recommender, store: EventStore) -> None:
    old, paused, new = items(told(recommender))[:3]
    store.append([did(1, "cart", old, basket="s1"), did(2, "cart", new, basket="s2", seconds=9)])
    assert [old in items(told(recommender)), new in items(told(recommender))] == [True, False]
    # Without an id, half an hour without anything ends a session.
    store.append([did(3, "cart", paused, seconds=100), did(4, "cart", new, seconds=100 + 30 * 60 + 1)])
    assert [paused in items(told(recommender)), new in items(told(recommender))] == [True, False]
    store.append([did(5, "cart", old, seconds=100 + 2 * 30 * 60 + 1)])
    assert [old in items(told(recommender)), new in items(told(recommender))] == [False, False]


def test_a_hidden_item_is_gone_for_that_user_only_however_long_ago(recommender: Recommender, store: EventStore) -> None:
    first = items(told(recommender))[0]
    others = items(told(recommender, "h001"))
    store.append([did(1, "hide", first, seconds=-1_000_000)])
    assert first not in items(told(recommender))
    assert items(told(recommender, "h001")) == others


def test_what_the_release_does_not_know_or_knows_already_changes_nothing(recommender: Recommender, store: EventStore) -> None:
    before = told(recommender)
    last = int(recommender.data.histories.time.max())
    store.append([did(1, "purchase", "a new thing"), did(2, "cart", "another"), did(3, "hide", "a third")])
    store.append([did(4, "purchase", "i003", seconds=last - MOMENT), did(5, "cart", "i004", seconds=last - MOMENT)])
    store.append([did(6, "impression", "i005")])
    assert told(recommender) == before
    store.append([did(7, "purchase", "i003", seconds=last + 1 - MOMENT)])
    assert told(recommender) != before


def test_a_forgotten_user_is_answered_as_before_the_events(recommender: Recommender, store: EventStore) -> None:
    before = told(recommender)
    store.append([did(1, "purchase", "i003"), did(2, "hide", items(before)[0]), did(3, "cart", items(before)[1])])
    assert told(recommender) != before
    store.forget("h000")
    assert told(recommender) == before


def test_without_its_store_an_answer_says_so_and_is_the_one_without_events(recommender: Recommender, store: EventStore) -> None:
    plain = told(replace(recommender, events=None))
    store.append([did(1, "purchase", "i003")])
    store.close()
    slate = told(recommender)
    assert slate.degraded == (WITHOUT_EVENTS,)
    assert replace(slate, degraded=()) == plain


def test_who_is_not_asked_of_the_store_does_not_miss_it(recommender: Recommender, store: EventStore) -> None:
    store.close()
    assert recommender.recommend([Request(items=("i003",))])[0].degraded == ()


def test_live_events_in_a_batch_count_as_alone(recommender: Recommender, store: EventStore) -> None:
    store.append([did(1, "purchase", "i003"), did(2, "cart", "i004"), did(3, "purchase", "i005", user="h002"), did(4, "hide", "i006")])
    asked = [Request(user="h000"), Request(), Request(user="h002", items=("i001",)), Request(user="h001"), Request(user="h000", n=3)]
    assert recommender.recommend(asked) == [recommender.recommend([one])[0] for one in asked]


def test_what_is_to_come_is_refused_before_a_nightly_run_learns_up_to_then(tmp_path: Path) -> None:
    small_release(tmp_path / "releases")
    sent = {"event_id": "e1", "kind": "purchase", "user_id": "h000", "item_id": "i003"}
    with TestClient(app_of(tmp_path / "releases", tmp_path)) as client:
        refused = client.post("/feedback", json={"events": [sent | {"time": "2100-01-01T00:00:00Z"}]})
        assert (refused.status_code, refused.json()["error"]) == (422, "invalid_event")
        assert "2100-01-01T00:00:00+00:00 is to come" in refused.json()["detail"]
        soon = (datetime.now(UTC) + timedelta(hours=14)).isoformat()  # by the clock of a shop in the far east, without its zone
        assert client.post("/feedback", json={"events": [sent | {"time": soon}]}).json() == {"accepted": 1, "repeated": 0}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("2024-03-25T12:00:00", "2024-03-25T12:00:00"),  # by the shop's own clock
        ("2024-03-25T12:00:00Z", "2024-03-25T08:00:00"),
        ("2024-03-25T12:00:00+05:30", "2024-03-25T02:30:00"),
    ],
)
def test_events_are_kept_by_the_clock_of_the_shops_purchases(told: str, kept: str) -> None:
    sent = Feedback.model_validate({"events": [{"event_id": "1", "kind": "cart", "user_id": "u", "item_id": "i", "time": told}]}).events[0]
    settings = Settings.of({"CORTEX_REC_TIME_ZONE": "America/New_York"})
    now = datetime.now(settings.zone)
    assert happened(sent, settings.zone, now).time == int(datetime.fromisoformat(kept).replace(tzinfo=UTC).timestamp())


def test_an_event_without_a_time_happened_now_by_that_clock() -> None:
    sent = Feedback.model_validate({"events": [{"event_id": "1", "kind": "cart", "user_id": "u", "item_id": "i"}]}).events[0]
    here, there = (happened(sent, zone, datetime.now(zone)).time for zone in map(ZoneInfo, ("UTC", "Asia/Kolkata")))
    assert there - here in (19_800, 19_801)  # five and a half hours, and the second may have changed in between


def test_a_time_zone_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"CORTEX_REC_TIME_ZONE=Berlin: .*is no time zone's name, such as Europe/Berlin"):
        Settings.of({"CORTEX_REC_TIME_ZONE": "Berlin"})
