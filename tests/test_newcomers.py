"""A recommender that items were added to is, bit for bit, the one that would have been fitted with them in the catalogue."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_rec import snapshot, splits
from cortex_rec.arrays import vars_of
from cortex_rec.dataset import Dataset
from cortex_rec.embeddings.placed import Placed
from cortex_rec.encoding import Encoded, encode
from cortex_rec.errors import DataError
from cortex_rec.features import statistics, uplift
from cortex_rec.features.assemble import assemble
from cortex_rec.features.uplift import Uplift
from cortex_rec.histories import Past
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import ask
from cortex_rec.ranking import rankers, training
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Request
from cortex_rec.retrieval.graph import Graph
from cortex_rec.retrieval.protocol import Evidence
from cortex_rec.retrieval.union import REGISTRY
from cortex_rec.snapshot import Snapshot
from cortex_rec.testing.evidence import all_kinds_of_queries, unit_vectors
from cortex_rec.testing.release import CONFIG
from cortex_rec.testing.retriever_contract import assert_same_answers
from cortex_rec.testing.shop import small_shop

#: An item of a group that the shop has, one of which only the department is known, and one of which nothing is.
NEW = pl.DataFrame(
    [
        ("z0", "Hill oat milk 1 kg", "a jug of oat milk", "DAIRY", "DAIRY", "MILK", "Hill"),
        ("z1", "Cake 1 kg", None, "BAKERY", None, None, None),
        ("z2", "Something", None, None, None, None, None),
    ],
    schema=["item_id", "title", "description", "department", "category", "subcategory", "brand"],
    orient="row",
)
DIMENSIONS = 8


def from_the_start(shop: Dataset, new: pl.DataFrame) -> Dataset:
    return replace(shop, items=pl.concat([shop.items, new], how="diagonal"))


def places_of(n: int) -> Placed:
    """The first of them are the same for any n."""
    vectors = np.concatenate([unit_vectors(1, DIMENSIONS, seed=seed) for seed in range(n)])
    return Placed(vectors, np.sin(np.arange(n, dtype=np.float32)) / 10)


def fitted(data: Encoded, as_of: int) -> Snapshot:
    return snapshot.fit(data, places_of(len(data.items)), CONFIG, as_of=as_of)


@pytest.fixture(scope="module")
def before() -> Recommender:
    """Of the small shop, without the new items."""
    data = encode(small_shop())
    (window,), test = splits.windows(CONFIG.windows, data.histories)
    at_window = fitted(data, window.start)
    return Recommender(data, fitted(data, test.start), rankers.fit([training.build(at_window, data, window, CONFIG)], CONFIG))


@pytest.fixture(scope="module")
def widened(before: Recommender) -> Recommender:
    return before.with_items(NEW, places_of(83).take(slice(80, None)))


@pytest.fixture(scope="module")
def right(before: Recommender) -> Recommender:
    """Fitted with the new items in the catalogue; LightGCN's vectors of the others are those of `before`."""
    data = encode(from_the_start(small_shop(), NEW))
    at = fitted(data, before.snapshot.as_of)
    trained = before.snapshot.union.retrievers["graph"]
    assert isinstance(trained, Graph)
    same = trained.widened(Newcomers(data.catalogue, places_of(len(data.items)).take(slice(-3, None))))
    retrievers = {name: same if name == "graph" else each for name, each in at.union.retrievers.items()}
    return Recommender(data, replace(at, union=replace(at.union, retrievers=retrievers)), before.ranker)


REQUESTS = st.builds(
    Request,
    user=st.sampled_from([*(f"h{user:03}" for user in range(60)), None, "nobody"]),
    items=st.lists(st.sampled_from(["i000", "i013", "i079", "z0", "z1", "z2"]), max_size=3).map(tuple),
    store=st.sampled_from([None, "s0", "s1", "nowhere"]),
    n=st.integers(1, 90),
)


@settings(max_examples=40, deadline=None)
@given(requests=st.lists(REQUESTS, min_size=1, max_size=4))
def test_every_answer_and_reason_is_that_of_a_fit_with_the_items_from_the_start(
    widened: Recommender, right: Recommender, requests: list[Request]
) -> None:
    assert widened.recommend(requests) == right.recommend(requests)


def test_every_candidate_feature_and_score_has_the_same_bits(widened: Recommender, right: Recommender) -> None:
    assert bits(widened) == bits(right)


def test_a_new_item_is_among_the_candidates_and_recommended(before: Recommender, widened: Recommender) -> None:
    everybody = [Request(user=f"h{user:03}", n=90) for user in range(60)]
    named = [{item.item for item in slate.items} for slate in widened.recommend(everybody)]
    for item in ("z0", "z1", "z2"):
        assert sum(item in names for names in named) > 10
    (slate,) = widened.recommend([Request(items=("z0",))])
    assert "z0" not in {item.item for item in slate.items}
    titles = {item.item: item.title for slate in widened.recommend(everybody) for item in slate.items}
    assert titles["z0"] == "Hill oat milk 1 kg"
    reasons = {reason for slate in widened.recommend(everybody) for item in slate.items if item.item == "z2" for reason in item.reasons}
    assert "in the catalogue, not sold in the last four weeks" in reasons


def test_the_recommender_that_was_widened_is_untouched(before: Recommender, widened: Recommender) -> None:
    assert len(before.data.items) == len(before.data.catalogue) == 80
    assert len(widened.data.items) == len(widened.data.catalogue) == 83
    assert before.data.coupons.item_key.max() < before.data.coupons.campaign.max() * 80 + 80
    again = before.with_items(NEW, places_of(83).take(slice(80, None)))
    assert bits(again) == bits(widened)


def test_items_added_one_by_one_are_as_if_added_together(before: Recommender, widened: Recommender) -> None:
    one_by_one = before
    for place in range(3):
        one_by_one = one_by_one.with_items(NEW[place : place + 1], places_of(83).take(slice(80 + place, 81 + place)))
    assert bits(one_by_one) == bits(widened)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 50),
    size=st.tuples(st.integers(1, 12), st.integers(12, 40), st.integers(1, 12)),
    groups=st.lists(st.sampled_from([None, "MILK", "BREAD", "APPLES"]), min_size=1, max_size=6),
    offers=st.booleans(),
)
def test_in_any_small_shop_every_part_is_that_of_a_fit_with_the_items_from_the_start(
    seed: int, size: tuple[int, int, int], groups: list[str | None], offers: bool
) -> None:
    shop = small_shop(seed, *size)
    if not offers:
        shop = replace(shop, promotions=shop.promotions.clear(), campaigns=shop.campaigns.clear(), coupons=shop.coupons.clear())
    new = pl.DataFrame({"item_id": [f"z{i}" for i in range(len(groups))], "subcategory": pl.Series(groups, dtype=pl.String)})
    data, wide = encode(shop), encode(from_the_start(shop, new))
    added, as_of = data.with_items(new), int(data.histories.time.max()) + 1
    assert added.items.ids.to_list() == wide.items.ids.to_list()
    assert all(np.array_equal(codes, wide.catalogue.codes[name]) for name, codes in added.catalogue.codes.items())
    same(added.coupons, wide.coupons)

    narrow, whole = evidence(data, as_of), evidence(wide, as_of)
    newcomers = Newcomers(added.catalogue, whole.content.take(slice(len(data.items), None)))
    same(narrow.statistics.widened(newcomers), whole.statistics)
    same(lifts(narrow, data).widened(newcomers), lifts(whole, wide))
    for name in REGISTRY.keys() - {"graph"}:
        config = getattr(CONFIG.retrieval, name)
        widened = REGISTRY[name].fit(narrow, config).widened(newcomers)
        assert_same_answers(widened, REGISTRY[name].fit(whole, config), all_kinds_of_queries(whole))


def test_a_value_that_the_release_has_not_seen_counts_as_unknown_and_is_told(before: Recommender, widened: Recommender) -> None:
    values = {"department": ["DAIRY", "BAKERY", "PETS"], "brand": ["Hill", "Moon", "Moon"]}
    other = NEW.with_columns(pl.Series(name, of) for name, of in values.items())
    assert before.data.catalogue.unseen(other) == {"department": ["PETS"], "brand": ["Moon"]}
    assert before.data.catalogue.unseen(NEW) == {}
    assert bits(before.with_items(other, places_of(83).take(slice(80, None)))) == bits(widened)


def test_a_widened_recommender_is_saved_and_loaded_as_it_is(widened: Recommender, tmp_path: Path) -> None:
    for part in ("encoded", "snapshot"):
        (tmp_path / part).mkdir()
    widened.data.save(tmp_path / "encoded")
    widened.snapshot.save(tmp_path / "snapshot")
    again = Recommender(Encoded.load(tmp_path / "encoded"), Snapshot.load(tmp_path / "snapshot"), widened.ranker)
    assert bits(again) == bits(widened)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ({"title": ["Tea"]}, "no column 'item_id'"),
        ({"item_id": ["y0", None]}, "row 1 has no id"),
        ({"item_id": [""]}, "row 0 has no id"),
        ({"item_id": ["y0", "y1", "y1"]}, "item 'y1' is there twice"),
        ({"item_id": ["y0", "i003"]}, "item 'i003' is in the catalogue already. Leave it out, or give the new item another id"),
        ({"item_id": ["y0"], "departmant": ["DAIRY"]}, "'departmant' is no attribute of this release. Did you mean 'department'"),
        ({"item_id": ["y0"], "xyz": ["1"]}, "'xyz' is no attribute of this release. It has department, category, subcategory, brand"),
    ],
)
def test_a_table_that_cannot_be_added_says_which_item_or_column(before: Recommender, items: dict[str, list[str]], said: str) -> None:
    table = pl.DataFrame(items, schema=dict.fromkeys(items, pl.String))
    with pytest.raises(DataError, match=re.escape(said)):
        before.with_items(table, places_of(table.height))


@pytest.mark.parametrize("shape", [(2, DIMENSIONS), (3, DIMENSIONS + 1)])
def test_places_of_another_number_or_length_are_refused(before: Recommender, shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=re.escape(f"shape {shape}, expected (3, {DIMENSIONS})")):
        before.with_items(NEW, Placed(np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)))


def evidence(data: Encoded, as_of: int) -> Evidence:
    counts = statistics.fit(data.histories, data.catalogue.codes["subcategory"], len(data.items), len(data.stores), as_of=as_of)
    past, offers = Past(data.histories, as_of), data.promotions.active(as_of)
    return Evidence(past, counts, data.catalogue, offers, places_of(len(data.items)), as_of, 7)


def lifts(known: Evidence, data: Encoded) -> Uplift:
    return uplift.fit(data.histories, data.promotions, data.catalogue.codes["subcategory"], known.n_items, as_of=known.as_of)


def same(one: object, other: object) -> None:
    """Fail unless all arrays are equal bit for bit."""
    for name, array in vars_of(other).items():
        assert getattr(one, name).tobytes() == array.tobytes(), name


def bits(recommender: Recommender) -> list[bytes]:
    """Of all candidates of all kinds of askers: features, retrievers' scores and ranks, and the order in which they are answered."""
    data, at = recommender.data, recommender.snapshot
    queries = ask(data.histories, np.arange(-1, 60, dtype=np.int32), at.as_of, len(data.items))
    candidates = at.union.retrieve(queries)
    matrix, ranked = assemble(queries, candidates, at, data.catalogue), recommender.rank(queries)
    arrays = [candidates.lists.item, candidates.scores, candidates.ranks, matrix.values, matrix.vectors]
    arrays += [ranked.lists.item, ranked.scores, ranked.probabilities, ranked.found_by]
    return [np.ascontiguousarray(array).tobytes() for array in arrays]
