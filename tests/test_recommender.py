"""The request path: a batch equals its single requests, a reloaded release the one in memory, and everybody gets an answer."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex_rec.arrays import Ragged, load_arrays, save_arrays
from cortex_rec.errors import ArtifactError, InvalidRequest, UnknownItem
from cortex_rec.features.assemble import assemble
from cortex_rec.queries import Queries, ask
from cortex_rec.recommender import Recommender
from cortex_rec.releases.store import open_release
from cortex_rec.requests import Request
from cortex_rec.testing.evidence import subset
from cortex_rec.testing.release import small_release
from cortex_rec.testing.shop import small_shop

USERS = tuple(f"h{user:03}" for user in range(60))
ITEMS = tuple(f"i{item:03}" for item in range(80))
REQUESTS = st.builds(
    Request,
    user=st.sampled_from([*USERS, None, "nobody"]),
    items=st.lists(st.sampled_from(ITEMS), max_size=4).map(tuple),
    store=st.sampled_from([None, "s0", "s1", "s2", "nowhere"]),
    n=st.integers(1, 90),
)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("releases")
    return open_release(root, small_release(root).id).path


@pytest.fixture(scope="module")
def recommender(release: Path) -> Recommender:
    return Recommender.load(release)


def everything(recommender: Recommender, queries: Queries) -> list[tuple[bytes, ...]]:
    """For each query the bits of its candidates, features, retriever scores, ranks, and final scores in their order."""
    candidates = recommender.snapshot.union.retrieve(queries)
    matrix = assemble(queries, candidates, recommender.snapshot, recommender.data.catalogue)
    ranked = recommender.rank(queries)
    result = []
    for i in range(len(queries)):
        own = slice(candidates.lists.pointer[i], candidates.lists.pointer[i + 1])
        arrays = [
            candidates.lists.item,
            candidates.scores,
            candidates.ranks,
            matrix.values,
            ranked.lists.item,
            ranked.scores,
            ranked.found_by,
        ]
        result.append(tuple(np.ascontiguousarray(array[own]).tobytes() for array in arrays))
    return result


def queries_of(recommender: Recommender, users: list[int]) -> Queries:
    return ask(recommender.data.histories, np.array(users, np.int32), recommender.snapshot.as_of, len(recommender.data.items))


def assert_a_batch_equals_its_parts(recommender: Recommender, queries: Queries) -> None:
    together = everything(recommender, queries)
    for i in range(len(queries)):
        assert everything(recommender, subset(queries, [i])) == [together[i]], f"query {i}"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS, min_size=1, max_size=8))
def test_a_batch_answers_as_its_single_requests_do(recommender: Recommender, requests: list[Request]) -> None:
    assert recommender.recommend(requests) == [recommender.recommend([request])[0] for request in requests]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(range(-1, 60)), min_size=1, max_size=6, unique=True))
def test_features_and_scores_of_a_batch_are_those_of_its_parts_bit_for_bit(recommender: Recommender, users: list[int]) -> None:
    data = recommender.data
    assert_a_batch_equals_its_parts(
        recommender, ask(data.histories, np.array(users, np.int32), recommender.snapshot.as_of, len(data.items))
    )


def test_a_saved_and_reloaded_recommender_answers_as_the_one_in_memory(recommender: Recommender, tmp_path: Path) -> None:
    for part in ("encoded", "snapshot", "ranker"):
        (tmp_path / part).mkdir()
    recommender.data.save(tmp_path / "encoded")
    recommender.snapshot.save(tmp_path / "snapshot")
    recommender.ranker.save(tmp_path / "ranker")
    (tmp_path / "config.json").write_text('{"exploration": {"share": 0.1}}')
    again, recommender = Recommender.load(tmp_path), replace(recommender, exploration=0.1)
    requests = [Request(user=user, n=80) for user in (*USERS, None)] + [Request(items=("i003", "i004"), n=80)]
    assert again.recommend(requests) == recommender.recommend(requests)
    known = queries_of(recommender, list(range(60)))
    assert everything(again, known) == everything(recommender, known)


def test_an_answer_is_best_first_and_as_long_as_asked(recommender: Recommender) -> None:
    for n in (1, 10, 30):
        (slate,) = recommender.recommend([Request(user="h000", n=n)])
        scores = [item.score for item in slate.items]
        assert len(scores) == n
        assert scores == sorted(scores, reverse=True)
        assert len({item.item for item in slate.items}) == n
        assert slate.fallback is None


def test_a_longer_answer_starts_with_the_shorter_one(recommender: Recommender) -> None:
    short, long = recommender.recommend([Request(user="h001", n=5), Request(user="h001", n=40)])
    assert long.items[:5] == short.items


def test_an_item_has_the_title_of_the_catalogue(recommender: Recommender) -> None:
    titles = dict(small_shop().items.select("item_id", "title").rows())
    (slate,) = recommender.recommend([Request(user="h002", n=20)])
    assert [item.title for item in slate.items] == [titles[item.item] for item in slate.items]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(), "no user given: answered with what is popular"),
        (Request(user="nobody"), "user 'nobody' is unknown to this release: answered with what is popular"),
        (Request(items=("i000",)), "no user given: answered from the items in the basket"),
        (Request(user="nobody", items=("i000",)), "user 'nobody' is unknown to this release: answered from the items in the basket"),
    ],
)
def test_who_is_not_known_gets_an_answer_that_says_so(recommender: Recommender, request_: Request, said: str) -> None:
    (slate,) = recommender.recommend([request_])
    assert slate.fallback == said
    assert len(slate.items) == 10


def test_a_known_user_without_purchases_is_not_called_unknown(recommender: Recommender) -> None:
    later = recommender.data.histories.time + 400 * 86_400
    early = replace(recommender, data=replace(recommender.data, histories=replace(recommender.data.histories, time=later)))
    plain, with_basket = early.recommend([Request(user="h004"), Request(user="h004", items=("i000",))])
    assert plain.fallback == "no purchase of user 'h004' is known to this release: answered with what is popular"
    assert with_basket.fallback == "no purchase of user 'h004' is known to this release: answered from the items in the basket"


def test_without_a_history_the_answer_is_the_stores_best_sellers_in_their_order(recommender: Recommender) -> None:
    bought = small_shop().interactions.filter(
        recommender.snapshot.as_of - small_shop().interactions["timestamp"].dt.epoch("s") <= 28 * 86_400
    )
    for store in ("s0", "s1", "s2"):
        (slate,) = recommender.recommend([Request(store=store, n=10)])
        counts = dict(bought.filter(bought["store_id"] == store)["item_id"].value_counts().rows())
        sold = [counts.get(item.item, 0) for item in slate.items]
        assert sold == sorted(counts.values(), reverse=True)[:10]


def test_what_lies_in_the_basket_is_not_recommended_and_changes_the_answer(recommender: Recommender) -> None:
    plain, with_basket = recommender.recommend([Request(user="h004", n=80), Request(user="h004", items=("i000", "i001"), n=80)])
    assert not {"i000", "i001"} & {item.item for item in with_basket.items}
    assert {"i000", "i001"} & {item.item for item in plain.items}
    assert [item.score for item in plain.items] != [item.score for item in with_basket.items]


def test_an_unknown_store_is_answered_from_the_usual_one(recommender: Recommender) -> None:
    usual, unknown = recommender.recommend([Request(user="h004"), Request(user="h004", store="nowhere")])
    assert usual == unknown


def test_an_unknown_item_in_the_basket_is_named(recommender: Recommender) -> None:
    with pytest.raises(UnknownItem, match="item 'i999' is not in the catalogue"):
        recommender.recommend([Request(user="h004", items=("i000", "i999"))])


@pytest.mark.parametrize("n", [0, -3])
def test_less_than_one_item_cannot_be_asked_for(n: int) -> None:
    with pytest.raises(InvalidRequest, match=rf"n: {n} items .* at least 1"):
        Request(user="h004", n=n)


def test_no_request_has_no_answer(recommender: Recommender) -> None:
    assert recommender.recommend([]) == []


def test_what_a_user_bought_after_the_snapshot_is_not_known_to_it(recommender: Recommender) -> None:
    later = recommender.data.histories.time + 400 * 86_400
    forgetful = replace(recommender, data=replace(recommender.data, histories=replace(recommender.data.histories, time=later)))
    (slate,) = forgetful.recommend([Request(user="h004")])
    assert [item.item for item in slate.items] == [item.item for item in recommender.recommend([Request()])[0].items]


def test_equal_scores_are_in_the_order_of_the_rows(recommender: Recommender) -> None:
    class Indifferent:
        features = ()

        def score(self, matrix: object) -> np.ndarray:
            return np.zeros(len(matrix.values), np.float32)  # type: ignore[attr-defined]

        def probability(self, scores: np.ndarray) -> np.ndarray:
            return scores

    ranked = replace(recommender, ranker=Indifferent()).rank(  # type: ignore[arg-type]
        queries_of(recommender, [0, 1])
    )
    assert isinstance(ranked.lists, Ragged)
    assert all(np.all(np.diff(ranked.lists[i]) > 0) for i in range(2))


@pytest.mark.parametrize("change", ["an array more", "an array less"])
def test_a_release_of_another_version_is_named_as_one(release: Path, tmp_path: Path, change: str) -> None:
    other = tmp_path / "other"
    shutil.copytree(release, other)
    path = other / "snapshot" / "statistics.safetensors"
    arrays = {name: values.copy() for name, values in load_arrays(path).items()}
    if change == "an array more":
        arrays["of_tomorrow"] = arrays["price"]
    else:
        del arrays["price"]
    path.unlink()
    save_arrays(path, arrays)
    with pytest.raises(ArtifactError, match="was written by another version of CORTEX-Rec than this one"):
        Recommender.load(other)
