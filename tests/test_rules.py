"""Filters and rules: what must not be shown is not, what is asked for is there, and the rest is as the ranker has it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_rec import browsing
from cortex_rec.arrays import DAY
from cortex_rec.errors import InvalidRequest, UnknownItem
from cortex_rec.queries import Queries
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Filters, Request, Rules, Slate
from cortex_rec.reranking.arrange import Ruled, arrange
from cortex_rec.reranking.caps import room
from cortex_rec.retrieval.graph import Graph
from cortex_rec.retrieval.union import REGISTRY
from cortex_rec.watch import Stopwatch

ITEMS = [f"i{item:03}" for item in range(80)]
USERS = [f"h{user:03}" for user in range(0, 60, 7)]


def ask(recommender: Recommender, user: str | None = "h001", n: int = 10, **conditions: Any) -> Slate:
    return recommender.recommend([Request(user, n=n, **conditions)])[0]


def shown(slate: Slate) -> list[str]:
    return [item.item for item in slate.items]


def values(recommender: Recommender, items: list[str], group: str) -> list[str]:
    catalogue, rows = recommender.data.catalogue, recommender.data.items.rows(items)
    return [catalogue.names[group][code] for code in catalogue.codes[group][rows]]


def test_only_items_of_the_wanted_values_are_shown_and_there_are_still_n(recommender: Recommender) -> None:
    slate = ask(recommender, filters=Filters(groups={"department": ("DAIRY",), "brand": ("Own", "Hill")}))
    assert set(values(recommender, shown(slate), "department")) == {"DAIRY"}
    assert set(values(recommender, shown(slate), "brand")) == {"Own", "Hill"}
    assert len(slate.items) == 10
    whole = shown(ask(recommender, n=80))
    assert shown(slate) == [item for item in whole if item in shown(slate)], "in the ranker's order"


def test_what_was_bought_lately_or_is_excluded_is_left_out(recommender: Recommender) -> None:
    histories, as_of = recommender.data.histories, recommender.snapshot.as_of
    own = histories.take(recommender.data.users.rows(["h001"])).before(as_of)
    lately = set(recommender.data.items.external(np.unique(own.item[own.time >= as_of - 20 * DAY])))
    usual = shown(ask(recommender, n=80))
    assert lately & set(usual)
    assert shown(ask(recommender, n=80, filters=Filters(bought_days=20))) == [item for item in usual if item not in lately]
    assert shown(ask(recommender, n=80, filters=Filters(exclude=(usual[0], usual[3])))) == [
        item for item in usual if item not in (usual[0], usual[3])
    ]


def test_prices_and_the_stores_shelf_limit_the_answer(recommender: Recommender) -> None:
    statistics, items = recommender.snapshot.statistics, recommender.data.items
    cheap = shown(ask(recommender, n=80, filters=Filters(price_from=2, price_to=4)))
    assert cheap
    assert all(2 <= statistics.recent_price[row] <= 4 for row in items.rows(cheap))
    store = recommender.data.stores.row("s1")
    here = shown(ask(recommender, n=80, store="s1", filters=Filters(in_store=True)))
    rows = items.rows(here)
    lines, _ = statistics.in_store(np.full(len(rows), store, np.int32), rows)
    assert here
    assert np.all(lines > 0)


def test_retrieval_looks_further_until_there_are_n_or_nothing_is_left(recommender: Recommender) -> None:
    sizes = dict.fromkeys(recommender.snapshot.union.sizes, 1)
    narrow = replace(recommender, snapshot=replace(recommender.snapshot, union=replace(recommender.snapshot.union, sizes=sizes)))
    few = narrow.snapshot.union.retrieve(narrow.ask([Request("h001")]).queries)
    assert len(few.lists.item) < 10
    slate = ask(narrow, filters=Filters(groups={"department": ("DAIRY",)}))
    assert (len(slate.items), slate.widened > 0) == (10, True)
    all_dairy = [item for item in ITEMS if values(recommender, [item], "department") == ["DAIRY"]]
    slate = ask(narrow, n=80, filters=Filters(groups={"department": ("DAIRY",)}))
    assert sorted(shown(slate)) == all_dairy


def test_retrieval_looks_further_until_n_fit_under_all_caps_together(recommender: Recommender) -> None:
    sizes = dict.fromkeys(recommender.snapshot.union.sizes, 1)
    narrow = replace(recommender, snapshot=replace(recommender.snapshot, union=replace(recommender.snapshot.union, sizes=sizes)))
    caps = {"brand": 2, "department": 2}
    slate = ask(narrow, "h009", n=8, rules=Rules(caps=caps))
    # After the first look further, each cap alone had room for eight, and both together for seven.
    assert (len(slate.items), slate.widened) == (8, 2)


def test_room_under_caps_counts_unknown_values_as_none_and_several_caps_at_once() -> None:
    brand, shelf = np.array([0, 0, 0, 1, -1], np.int32), np.array([5, 5, 6, 5, 5], np.int32)
    assert room([(brand, 2)], 9) == 4
    assert room([(brand, 2)], 3) == 3
    assert room([(brand, 1), (shelf, 1)], 9) == 2
    assert room([(brand[:0], 1)], 9) == 0


CONDITIONS = st.builds(
    Filters,
    exclude=st.lists(st.sampled_from(ITEMS[:5]), unique=True).map(tuple),
    bought_days=st.none() | st.sampled_from([0.0, 7.0, 100.0]),
    groups=st.dictionaries(st.just("department"), st.just(("DAIRY", "PRODUCE")), max_size=1),
)
RULES = st.builds(
    Rules,
    pinned=st.lists(st.sampled_from(ITEMS[5:10]), unique=True, max_size=3).map(tuple),
    boosted=st.dictionaries(st.sampled_from(ITEMS), st.sampled_from([0.1, 1.0, 50.0]), max_size=3),
    diversity=st.sampled_from([0.0, 0.3, 1.0]),
    caps=st.dictionaries(st.sampled_from(["brand", "department"]), st.integers(1, 4), max_size=2),
    new_share=st.sampled_from([0.0, 0.25, 1.0]),
    tail_share=st.sampled_from([0.0, 0.5]),
)


@settings(max_examples=60, deadline=None)
@given(user=st.sampled_from([*USERS, "nobody", None]), n=st.integers(1, 25), filters=CONDITIONS, rules=RULES)
def test_whatever_is_asked_for_holds(recommender: Recommender, user: str | None, n: int, filters: Filters, rules: Rules) -> None:
    request = Request(user, n=n, filters=filters, rules=rules)
    answered = recommender.answer([request])
    (slate,) = recommender.recommend([request])
    items = shown(slate)
    assert len(set(items)) == len(items) <= n
    assert not set(items) & set(filters.exclude)
    allowed = set(recommender.data.items.external(answered.ranked.lists.item))
    pinned = [item for item in rules.pinned if item in allowed]
    assert items[: len(pinned)] == pinned[:n]
    if filters.groups:
        assert set(values(recommender, items, "department")) <= {"DAIRY", "PRODUCE"}
    for group, most in rules.caps.items():
        found = values(recommender, items, group)
        held = values(recommender, pinned, group)
        assert all(found.count(value) <= max(most, held.count(value)) for value in found)
    bought = set(recommender.data.items.external(np.unique(answered.asked.bought(0)[0])))
    supply = len(allowed - bought)
    if not rules.caps and not rules.tail_share and not pinned:
        assert sum(item not in bought for item in items) >= min(int(rules.new_share * len(items) + 1e-9), supply)
    if not rules.caps:
        assert len(items) == min(n, len(allowed))
    assert recommender.recommend([Request("h000"), request, Request(n=3)])[1] == slate, "the same in a batch"


def test_a_boost_lifts_an_item_and_one_that_changes_nothing_changes_nothing(recommender: Recommender) -> None:
    usual = ask(recommender)
    assert shown(ask(recommender, rules=Rules(boosted={"i001": 1.0}))) == shown(usual)
    low = usual.items[7].item
    lifted = shown(ask(recommender, rules=Rules(boosted={low: 1e6})))
    assert lifted[0] == low
    assert lifted[1:8] == shown(usual)[:7]


def ruled(appeal: list[float], **rules: Any) -> Ruled:
    n = len(appeal)
    return replace(Ruled(np.zeros(0, np.int64), np.array(appeal), np.zeros(n, bool), 0.0, np.eye(n, 4, dtype=np.float32)), **rules)


def test_the_next_place_goes_to_who_is_good_and_unlike_those_above() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32)
    close = ruled([4.0, 3.0, 2.0, 0.0], vectors=vectors, diversity=0.5)
    placed = arrange(4, close)
    # By hand: relevance 1, .75, .5, 0; after the first, gains are (.75 - 1) / 2, .5 / 2 and (0 - .6) / 2.
    assert placed.at.tolist() == [0, 2, 1, 3]
    assert placed.rules == {1: ("diversity",)}


def test_a_cap_lets_the_next_one_up_and_says_whom_it_kept_out() -> None:
    brand = np.array([0, 0, 0, 1, -1, -1], np.int32)
    placed = arrange(4, ruled([6, 5, 4, 3, 2, 1], caps={"brand": (brand, 1)}))
    assert placed.at.tolist() == [0, 3, 4, 5]
    assert placed.capped == {1: "brand", 2: "brand"}
    assert arrange(6, ruled([6, 5, 4, 3, 2, 1], caps={"brand": (np.zeros(6, np.int32), 2)})).at.tolist() == [0, 1]


def test_a_share_that_falls_behind_chooses() -> None:
    new = np.array([False, False, False, False, True, True])
    placed = arrange(4, ruled([6, 5, 4, 3, 2, 1], shares={"new_share": (new, 0.5)}))
    assert placed.at.tolist() == [0, 4, 1, 5]
    assert placed.rules == {1: ("new_share",), 3: ("new_share",)}
    assert arrange(3, ruled([3, 2, 1], shares={"new_share": (np.zeros(3, bool), 1.0)})).at.tolist() == [0, 1, 2]


BAD = [
    (lambda: Filters(bought_days=-1), "filters.bought_days: -1"),
    (lambda: Filters(price_from=3, price_to=2), "filters.price_from: 3 is above price_to, 2"),
    (lambda: Filters(groups={"brand": ()}), "filters.groups: no value of 'brand'"),
    (lambda: Rules(diversity=1.5), "rules.diversity: 1.5 is not between 0 and 1"),
    (lambda: Rules(boosted={"i001": 0}), "rules.boosted: 0 for 'i001'"),
    (lambda: Rules(caps={"brand": 0}), "rules.caps: 0 for 'brand'"),
    (lambda: Rules(pinned=("a", "a")), "rules.pinned: an item is named twice"),
    (lambda: Request(items=("a",), rules=Rules(pinned=("a",))), "rules.pinned: 'a' is in the basket or excluded"),
]


@pytest.mark.parametrize(("make", "told"), BAD, ids=[told for _, told in BAD])
def test_a_condition_that_makes_no_sense_is_refused_by_its_name(make: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match="^" + told.replace(".", r"\.")):
        make()


@pytest.mark.parametrize(
    ("conditions", "fault", "told"),
    [
        ({"filters": Filters(groups={"brnd": ("Own",)})}, InvalidRequest, "'brnd' is no group of this release. Did you mean 'brand'?"),
        ({"filters": Filters(groups={"department": ("DIARY",)})}, InvalidRequest, "no item's department is 'DIARY'. Did you mean 'DAIRY'?"),
        ({"filters": Filters(exclude=("i999",))}, UnknownItem, "filters.exclude: item 'i999'"),
        ({"rules": Rules(caps={"colour": 1})}, InvalidRequest, "rules.caps: 'colour' is no group"),
        ({"rules": Rules(pinned=("i999",))}, UnknownItem, "rules.pinned: item 'i999'"),
        ({"rules": Rules(boosted={"i999": 2})}, UnknownItem, "rules.boosted: item 'i999'"),
    ],
)  # fmt: skip
def test_what_the_release_does_not_know_is_named_with_the_way_out(
    recommender: Recommender, conditions: dict[str, Any], fault: type[Exception], told: str
) -> None:
    with pytest.raises(fault) as error:
        ask(recommender, **conditions)
    assert told in str(error.value)


def lost(self: object, queries: Queries, other: object) -> None:
    raise OSError("gone")


def test_a_retriever_that_fails_is_left_out_and_named(
    recommender: Recommender, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Graph, "retrieve", lost)
    slate = ask(recommender)
    assert len(slate.items) == 10
    assert slate.degraded == ("retriever 'graph' failed (OSError)",)
    assert "retriever graph failed" in caplog.text
    with pytest.raises(OSError, match="gone"):
        recommender.rank(recommender.ask([Request("h001")]).queries)


def test_when_all_fail_the_best_sellers_are_ranked(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    for registered in REGISTRY.values():
        monkeypatch.setattr(registered.model, "retrieve", lost)
        monkeypatch.setattr(registered.model, "score", lost)
    answered = recommender.answer([Request("h001")])
    lines = recommender.snapshot.statistics.lines[:, 1]
    assert set(answered.found.candidates.lists.item.tolist()) == set(np.flatnonzero(lines > 0).tolist())
    assert len(answered.degraded(0)) == len(REGISTRY)


def test_who_comes_too_late_is_not_asked(recommender: Recommender) -> None:
    ticks = iter(range(1_000))
    watch = Stopwatch(lambda: float(next(ticks)), patience=4.5)
    (slate,) = recommender.recommend([Request("h001")], watch)
    asked = [
        name for name in recommender.snapshot.union.names if f"retriever {name!r} was not asked, the time was up" not in slate.degraded
    ]
    assert asked == ["repeats", "copurchase", "neighbours"]
    assert slate.items
    assert list(watch.milliseconds) == ["ask", "retrieve", "features", "rank", "rules", "explain"]


def test_own_candidates_are_ranked_as_they_would_be_recommended(recommender: Recommender) -> None:
    usual = ask(recommender, n=80)
    own = [usual.items[at].item for at in (9, 2, 5)]
    ranked = browsing.rank_items(recommender, Request("h001"), [*own, own[0]])
    assert [(item.item, item.score) for item in ranked.items] == [(item.item, item.score) for item in usual.items if item.item in own]
    with pytest.raises(UnknownItem, match="items: item 'i999'"):
        browsing.rank_items(recommender, Request("h001"), ["i999"])


def test_own_candidates_are_ranked_and_the_answer_says_so_when_it_is_not_personal_or_a_retriever_fails(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = browsing.rank_items(recommender, Request("nobody"), ["i001", "i002"])
    assert stranger.fallback == ask(recommender, "nobody").fallback != browsing.rank_items(recommender, Request("h001"), ["i001"]).fallback
    monkeypatch.setattr(Graph, "retrieve", lost)
    failed = browsing.rank_items(recommender, Request("h001"), ["i001", "i002"])
    assert (len(failed.items), failed.degraded) == (2, ("retriever 'graph' failed (OSError)",))


def test_similar_items_are_the_nearest_and_not_the_item_itself(recommender: Recommender) -> None:
    vectors, slate = recommender.snapshot.content, browsing.similar(recommender, "i004", 5)
    cosines = vectors @ vectors[4]
    expected = [row for row in np.argsort(-cosines, kind="stable") if row != 4][:5]
    assert shown(slate) == [ITEMS[row] for row in expected]
    assert [item.score for item in slate.items] == pytest.approx(cosines[expected].tolist())
    assert len(browsing.similar(recommender, "i004", 200).items) == 79


def test_trending_is_what_sold_more_than_the_weeks_before(recommender: Recommender) -> None:
    week, month = recommender.snapshot.statistics.lines[:, 0], recommender.snapshot.statistics.lines[:, 1]
    slate = browsing.trending(recommender, 80)
    growth = (week + 10) / ((month - week) / 3 + 10)
    assert {item.item: item.score for item in slate.items} == {ITEMS[row]: pytest.approx(growth[row]) for row in np.flatnonzero(growth > 1)}
    assert [item.score for item in slate.items] == sorted((item.score for item in slate.items), reverse=True)
    assert shown(browsing.popular(recommender, 5)) == shown(ask(recommender, None, 5))
