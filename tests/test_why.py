"""The trace of an answer: it counts what the stages did, and says of any item where it fell out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex_rec.errors import UnknownItem
from cortex_rec.features.kinds import KINDS
from cortex_rec.recommender import Recommender
from cortex_rec.releases.store import open_release
from cortex_rec.requests import Filters, Request, Rules, Slate
from cortex_rec.testing.release import small_release
from cortex_rec.watch import Stopwatch

USER = "h005"


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    root: Path = tmp_path_factory.mktemp("releases")
    return Recommender.load(open_release(root, small_release(root, seed=0).id).path)


def traced(recommender: Recommender, **asked: Any) -> tuple[Slate, dict[str, Any]]:
    (slate,) = recommender.recommend([Request(**{"user": USER, "trace": True} | asked)])
    assert slate.trace is not None
    return slate, slate.trace


def why_not(recommender: Recommender, item: str, **asked: Any) -> tuple[str, str]:
    told = traced(recommender, why_not=item, **asked)[1]["why_not"]
    assert told["item"] == item
    return told["stage"], told["text"]


def ranking(recommender: Recommender, **asked: Any) -> list[str]:
    """All candidates as the ranker has them."""
    (slate,) = recommender.recommend([Request(**{"user": USER, "n": 80} | asked)])
    return [each.item for each in slate.items]


def test_an_answer_has_a_trace_only_when_asked_and_is_otherwise_the_same(recommender: Recommender) -> None:
    (plain,) = recommender.recommend([Request(USER)])
    slate, _ = traced(recommender)
    assert plain.trace is None
    assert slate.items == plain.items


def test_it_is_plain_json(recommender: Recommender) -> None:
    _, told = traced(recommender, why_not="i001", rules=Rules(new_share=0.5))
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_it_counts_what_retrievers_found_and_filters_left_out(recommender: Recommender) -> None:
    request = Request(USER, n=5, filters=Filters(bought_days=7, groups={"department": ("DAIRY", "BAKERY")}))
    found = recommender.answer([request]).found
    _, told = traced(recommender, n=5, filters=request.filters)
    candidates, names = told["candidates"], recommender.snapshot.union.names
    assert candidates["total"] == len(found.everything.lists.item)
    assert candidates["by_retriever"] == {name: np.isfinite(found.everything.ranks[:, at]).sum() for at, name in enumerate(names)}
    assert candidates["by_retriever"]["repeats"] > 0
    assert candidates["filtered"]["groups"] > 0
    assert candidates["filtered"]["bought_days"] > 0
    assert candidates["total"] - sum(candidates["filtered"].values()) == told["ranked"] == len(found.candidates.lists.item)
    assert candidates["widened"] == found.widened[0]


def test_it_tells_of_each_item_who_found_it_its_features_and_what_they_add(recommender: Recommender) -> None:
    answered = recommender.answer([Request(USER)])
    slate, told = traced(recommender)
    assert list(told["items"]) == [each.item for each in slate.items]
    for place, item in enumerate(slate.items):
        one, row = told["items"][item.item], answered.ranked.rows[place]
        assert (one["place"], one["ranked_place"], one["rules"]) == (place + 1, place + 1, [])
        assert one["score"] == item.score
        values = answered.matrix.values[row]
        assert list(one["features"]) == list(answered.matrix.names)
        assert [value is None for value in one["features"].values()] == np.isnan(values).tolist()
        assert [value for value in one["features"].values() if value is not None] == values[~np.isnan(values)].tolist()
        ranks = answered.found.candidates.ranks[row]
        assert [each["rank"] for each in one["retrievers"].values()] == ranks[~np.isnan(ranks)].tolist()
        assert list(one["contributions"]) == list(KINDS)
        added = recommender.ranker.contributions_by_kind(answered.matrix.rows(np.array([row])))
        assert added is not None
        assert list(one["contributions"].values()) == pytest.approx(added[0].tolist())


def test_a_stranger_is_not_told_of_contributions_since_the_ranker_did_not_order_the_list(recommender: Recommender) -> None:
    slate, told = traced(recommender, user=None)
    assert {len(one["contributions"]) for one in told["items"].values()} == {0}
    assert list(told["items"]) == [each.item for each in slate.items]


def test_rules_are_told_by_how_many_items_they_moved_and_whom(recommender: Recommender) -> None:
    first = ranking(recommender)
    slate, told = traced(recommender, n=10, rules=Rules(pinned=(first[30],)))
    assert told["rules"] == [{"rule": "pinned", "moved": 1}]
    assert slate.items[0].item == first[30]
    one = told["items"][first[30]]
    assert (one["place"], one["ranked_place"], one["rules"]) == (1, 31, ["pinned"])


def test_milliseconds_are_those_of_the_watch_that_was_brought(recommender: Recommender) -> None:
    ticks = iter(range(100))
    (slate,) = recommender.recommend([Request(USER, trace=True)], Stopwatch(lambda: next(ticks) / 1_000))
    assert slate.trace is not None
    assert slate.trace["milliseconds"].keys() == {"ask", "retrieve", "features", "rank", "rules", "explain"}
    assert slate.trace["milliseconds"]["features"] == 1.0
    assert traced(recommender)[1]["milliseconds"] == {}


def test_an_item_that_no_retriever_found(recommender: Recommender) -> None:
    union = recommender.snapshot.union
    narrow = replace(recommender, snapshot=replace(recommender.snapshot, union=replace(union, sizes=dict.fromkeys(union.names, 3))))
    everything = narrow.answer([Request(USER)]).found.everything.lists.item
    lost = next(row for row in range(len(recommender.data.items)) if row not in everything)
    stage, text = why_not(narrow, recommender.data.items.external([lost])[0])
    assert stage == "retrieve"
    assert text == "None of the 9 retrievers has it among its best for this user."


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"filters": {"exclude": 1}}, "`filters.exclude` names it."),
        ({"items": 1}, "It is in the basket or the cart already."),
        ({"filters": {"groups": 1}}, "It is of another group than `filters.groups` asks for."),
        ({"filters": {"bought_days": 84.0}}, "The user bought it within the days of `filters.bought_days`."),
        ({"filters": {"price_from": 1_000.0}}, "Its price is not known or not in the range that the filters ask for."),
    ],
)
def test_an_item_that_a_filter_left_out(recommender: Recommender, asked: dict[str, Any], says: str) -> None:
    item = ranking(recommender)[0]
    row = recommender.data.items.rows([item])[0]
    catalogue = recommender.data.catalogue
    others = tuple(name for code, name in enumerate(catalogue.names["department"]) if code != catalogue.codes["department"][row])
    given = {"exclude": (item,), "groups": {"department": others}}
    if "items" in asked:
        assert why_not(recommender, item, items=(item,)) == ("filter", says)
        return
    filters = {name: given.get(name, value) for name, value in asked["filters"].items()}
    assert why_not(recommender, item, filters=Filters(**filters)) == ("filter", says)


def test_an_item_whose_score_is_too_low(recommender: Recommender) -> None:
    first = ranking(recommender)
    (slate,) = recommender.recommend([Request(USER, n=80)])
    stage, text = why_not(recommender, first[14], n=10)
    assert stage == "rank"
    ranked, score, least = len(first), slate.items[14].score, slate.items[9].score
    assert text == (
        f"It was found, but the ranker has it at place 15 of {ranked}: its score is {score:.2f}, the lowest of those shown is {least:.2f}."
    )


def test_an_item_that_a_cap_keeps_out(recommender: Recommender) -> None:
    first, catalogue = ranking(recommender), recommender.data.catalogue
    codes = catalogue.codes["brand"][recommender.data.items.rows(first)]
    second = next(place for place in range(1, 10) if codes[place] in codes[:place])
    stage, text = why_not(recommender, first[second], n=10, rules=Rules(caps={"brand": 1}))
    assert stage == "rules"
    assert text.endswith("`rules.caps` lets in at most 1 of its brand.")


def test_an_item_that_another_was_moved_before(recommender: Recommender) -> None:
    first = ranking(recommender)
    stage, text = why_not(recommender, first[9], n=10, rules=Rules(pinned=(first[40],)))
    assert stage == "rules"
    assert text == f"It was found, and the ranker has it at place 10 of {len(first)}; the rules put other items into the 10 places."


def test_an_item_of_a_higher_score_than_one_that_a_rule_put_there(recommender: Recommender) -> None:
    first = ranking(recommender)
    stage, text = why_not(recommender, first[12], n=10, rules=Rules(pinned=(first[40],)))
    assert stage == "rules"
    assert text == f"It was found, and the ranker has it at place 13 of {len(first)}; the rules put other items into the 10 places."


def test_an_item_that_is_in_the_answer(recommender: Recommender) -> None:
    assert why_not(recommender, ranking(recommender)[2]) == ("answered", "It is in the answer, at place 3.")


def test_an_item_that_nobody_knows_is_named(recommender: Recommender) -> None:
    with pytest.raises(UnknownItem, match="why_not: item 'nothing' is not in the catalogue"):
        traced(recommender, why_not="nothing")
