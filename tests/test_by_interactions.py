"""People of whom little is known: what is asked for them, what it may not rest on, and how it is judged."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from judged import judged, ragged

from cortex_rec import splits
from cortex_rec.arrays import F32, I32, NO_ROW, Ragged
from cortex_rec.config import Evaluation
from cortex_rec.evaluation import by_interactions, judge, report
from cortex_rec.evaluation.by_interactions import LENGTHS, Shortened
from cortex_rec.evaluation.evaluate import evaluate
from cortex_rec.people import People
from cortex_rec.queries import Queries, usual_store
from cortex_rec.recommender import Recommender
from cortex_rec.retrieval.graph import Graph
from cortex_rec.retrieval.neighbours import Neighbours
from cortex_rec.splits import Window

#: Of the four users of `judged`, 0 and 2: truth {0, 2} and {4, 5}.
SHORTENED = Shortened(np.array([0, 2]), {0: ragged([1, 0], [1, 0]), 3: ragged([2, 0], [5, 1, 4])})
TWO = 1 + 1 / math.log2(3)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return evaluate(judged(), Evaluation(bootstrap_samples=100), seed=3, shortened=SHORTENED)


def test_every_length_is_judged_by_what_the_same_users_bought(result: dict[str, Any]) -> None:
    found = result["by_interactions"]
    assert found["users"] == 2
    none, three = found["lengths"]
    assert (none["interactions"], three["interactions"]) == (0, 3)
    assert none["ndcg@10"] == pytest.approx(np.mean([1 / math.log2(3) / TWO, 0]), abs=1e-6)
    assert three["ndcg@10"] == pytest.approx(np.mean([1, (1 + 1 / 2) / TWO]), abs=1e-6)
    assert (none["recall@20"], three["recall@20"]) == (0.25, 1)


def test_beside_them_stand_the_whole_history_and_popularity(result: dict[str, Any]) -> None:
    found = result["by_interactions"]
    assert found["whole"]["ndcg@10"] == pytest.approx(np.mean([1.5 / TWO, 0.5 / TWO]), abs=1e-6)
    assert found["popularity"]["ndcg@10"] == pytest.approx(np.mean([1.5 / TWO, 0]), abs=1e-6)
    assert "difference" not in found["popularity"]


def test_the_baseline_and_the_whole_history_are_those_of_the_same_users() -> None:
    some = Shortened(np.array([1]), {0: ragged([7])})
    found = by_interactions.describe(some, ragged([1], [2, 7], [7]), ragged([7], [1, 2, 7], [2]), ragged([1], [7], [2]), samples=10, seed=1)
    assert found["lengths"][0]["ndcg@10"] == 1
    assert found["whole"]["ndcg@10"] == pytest.approx(1 / math.log2(3))
    assert found["popularity"]["ndcg@10"] == pytest.approx(1 / math.log2(4))


def test_the_lead_over_popularity_is_taken_user_by_user(result: dict[str, Any]) -> None:
    gain = result["by_interactions"]["lengths"][1]["difference"]["ndcg@10"]
    of_user = 1 - 1.5 / TWO, 1.5 / TWO
    assert gain["value"] == pytest.approx(np.mean(of_user), abs=1e-6)
    # Of two users, a resample is one of them twice or both.
    assert (gain["low"], gain["high"]) == pytest.approx((min(of_user), max(of_user)), abs=1e-6)


def test_who_was_not_asked_has_no_figures_and_no_section() -> None:
    silent = evaluate(judged(), Evaluation(bootstrap_samples=100), seed=3)
    assert silent["by_interactions"] is None
    assert "From a stranger to a regular" not in report.render(silent, {})


def test_the_page_shows_every_length(result: dict[str, Any]) -> None:
    text = report.render(result, {}).split("From a stranger to a regular")[1].split("</section>")[0]
    for words in ("none", "all, and the user is known", "popularity", f"{result['by_interactions']['lengths'][1]['ndcg@10']:.3f}"):
        assert words in text


def test_a_sample_of_test_users_is_asked_for_as_strangers_with_their_latest_purchases(recommender: Recommender, window: Window) -> None:
    found = judge.shorten(recommender, window, seed=3, users=5)
    assert (len(found.users), tuple(found.lists)) == (5, LENGTHS)
    users, _ = splits.truth(recommender.data.histories, window)
    apart = judge._without(recommender, users[found.users])
    for length, lists in found.lists.items():
        for at, user in enumerate(users[found.users]):
            own = recommender.data.histories.before(window.start).take(np.array([user], np.int32)).latest(length)
            assert len(own.item) == length
            alone = Queries(own, np.array([NO_ROW], np.int32), window.start, usual_store(own, window.start), len(recommender.data.items))
            assert apart.rank(alone).lists.item.tolist() == lists[at].tolist()


def test_the_same_seed_asks_for_the_same_users(recommender: Recommender, window: Window) -> None:
    first, again, other = (judge.shorten(recommender, window, seed=seed, users=5) for seed in (3, 3, 4))
    assert all(first.lists[length].item.tolist() == again.lists[length].item.tolist() for length in LENGTHS)
    assert first.users.tolist() == again.users.tolist() != other.users.tolist()


def test_a_stranger_gets_the_same_list_as_every_other(recommender: Recommender, window: Window) -> None:
    lists = judge.shorten(recommender, window, seed=3, users=5).lists[0]
    assert len({tuple(lists[i].tolist()) for i in range(5)}) == 1


def test_nothing_that_was_learned_of_the_person_reaches_the_answer(recommender: Recommender, window: Window) -> None:
    before = judge.shorten(recommender, window, seed=3, users=3)
    users, _ = splits.truth(recommender.data.histories, window)
    slandered = slander(recommender, users[before.users])
    known = recommender.rank(asked(recommender, window, users[before.users])).lists
    assert slandered.rank(asked(recommender, window, users[before.users])).lists.item.tolist() != known.item.tolist()
    after = judge.shorten(slandered, window, seed=3, users=3)
    for length in LENGTHS:
        assert after.lists[length].item.tolist() == before.lists[length].item.tolist()


def test_nobody_is_their_own_neighbour_when_asked_for_as_a_stranger(recommender: Recommender, window: Window) -> None:
    users, _ = splits.truth(recommender.data.histories, window)
    neighbours = recommender.snapshot.union.retrievers["neighbours"]
    assert isinstance(neighbours, Neighbours)
    own = asked(recommender, window, users[:4])
    stranger = replace(own, users=np.full(4, NO_ROW, np.int32))
    everything = Ragged(np.arange(5) * own.n_items, np.tile(np.arange(own.n_items, dtype=np.int32), 4))
    assert neighbours.score(stranger, everything).tolist() != neighbours.score(own, everything).tolist()
    for i in range(4):
        one = slice(i * own.n_items, (i + 1) * own.n_items)
        found = neighbours.without(users[i : i + 1]).score(stranger, everything)[one]
        assert found.tolist() == neighbours.score(own, everything)[one].tolist()


def test_where_nobody_has_bought_enough_the_longest_histories_are_taken(
    recommender: Recommender, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "LENGTHS", (0, 2, 10_000))
    found = judge.shorten(recommender, window, seed=3)
    users, _ = splits.truth(recommender.data.histories, window)
    lines = np.diff(recommender.data.histories.before(window.start).pointer)[users]
    assert tuple(found.lists) == (0, 2)
    assert found.users.tolist() == np.flatnonzero(lines == lines.max()).tolist()


def test_a_sample_without_anybody_gives_none_and_no_warning() -> None:
    nobody = by_interactions.describe(
        Shortened(np.zeros(0, np.int64), {0: ragged()}), ragged([1]), ragged([1]), ragged([1]), samples=10, seed=1
    )
    assert nobody["users"] == 0
    assert math.isnan(nobody["lengths"][0]["ndcg@10"])


def asked(recommender: Recommender, window: Window, users: I32) -> Queries:
    own = recommender.data.histories.before(window.start).take(users)
    return Queries(own, users, window.start, usual_store(own, window.start), len(recommender.data.items))


def slander(recommender: Recommender, users: I32) -> Recommender:
    """The same recommender, but all that was learned of some people is false."""
    snapshot = recommender.snapshot
    graph, neighbours = (snapshot.union.retrievers[name] for name in ("graph", "neighbours"))
    assert isinstance(graph, Graph)
    assert isinstance(neighbours, Neighbours)
    vectors: F32 = graph.users.copy()
    vectors[users] = np.random.default_rng(0).standard_normal((len(users), vectors.shape[1]))
    lent = neighbours.recent.copy()
    for user in users:
        lent[neighbours.recent_pointer[user] : neighbours.recent_pointer[user + 1]] = 1_000
    people = {name: values.copy() for name, values in snapshot.people.attributes.items()}
    for values in people.values():
        values[users] = 99
    false = {"graph": replace(graph, users=vectors), "neighbours": replace(neighbours, recent=lent)}
    union = replace(snapshot.union, retrievers={**snapshot.union.retrievers, **false})
    return replace(recommender, snapshot=replace(snapshot, union=union, people=People(people)))


def test_of_a_window_whose_users_are_drawn_those_cut_short_are_some_of_them(recommender: Recommender, window: Window) -> None:
    found = judge.shorten(recommender, window, seed=3, most=10)
    assert found.users.max() < 10
    assert len(evaluate(judge.judge(recommender, window, most=10, seed=3), Evaluation(bootstrap_samples=20), seed=3, shortened=found))
    everyone, _ = splits.truth(recommender.data.histories, window)
    assert len(everyone) > 10
