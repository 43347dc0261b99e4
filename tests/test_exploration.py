"""Items that nobody has bought yet get a bounded share of the places, the best of them first."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_rec.arrays import Bool, pointers
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Request
from cortex_rec.reranking.shares import explore
from cortex_rec.testing.release import small_release

LISTS = st.lists(st.lists(st.booleans(), max_size=40), min_size=1, max_size=4)


def explored(lists: Sequence[Sequence[bool]], share: float) -> list[list[int]]:
    pointer = pointers(np.array([len(each) for each in lists]))
    unsold: Bool = np.array([new for each in lists for new in each], bool)
    order = explore(pointer, unsold, share)
    return [(order[pointer[i] : pointer[i + 1]] - pointer[i]).tolist() for i in range(len(lists))]


def test_a_fifth_of_the_places_goes_to_new_items_and_each_fifth_place_has_one() -> None:
    new = [place in (7, 8, 11, 12) for place in range(13)]
    assert explored([new], 0.2) == [[0, 1, 2, 3, 7, 4, 5, 6, 9 - 1, 9, 10, 11, 12]]


def test_a_new_item_that_stands_higher_by_itself_counts_and_is_not_moved() -> None:
    assert explored([[False, True, False, False, False, True, False, False, False, False]], 0.2) == [list(range(10))]


def test_a_list_without_new_items_and_a_share_of_nothing_change_nothing() -> None:
    assert explored([[False] * 5, [], [False, False, True]], 0.0) == [[0, 1, 2, 3, 4], [], [0, 1, 2]]
    assert explored([[False] * 5, [], [True]], 0.5) == [[0, 1, 2, 3, 4], [], [0]]


@given(LISTS, st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.5]))
def test_every_beginning_of_a_list_has_its_share_and_both_kinds_keep_their_order(lists: list[list[bool]], share: float) -> None:
    for new, order in zip(lists, explored(lists, share), strict=True):
        assert sorted(order) == list(range(len(new)))
        mask = np.array([new[at] for at in order], bool)
        assert all(kind == sorted(kind) for kind in ([at for at in order if new[at]], [at for at in order if not new[at]]))
        for places in range(1, len(new) + 1):
            before, after = sum(new[:places]), int(mask[:places].sum())
            assert after >= min(int(share * places + 1e-9), sum(new))
            assert after <= max(before, int(np.ceil(share * places)))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(tmp_path_factory.mktemp("releases")).path


def test_an_answer_has_its_share_of_products_that_nobody_bought(release: Path) -> None:
    plain = Recommender.load(release)
    unsold = {plain.data.items.external([row])[0] for row in np.flatnonzero(plain.snapshot.statistics.unsold)}
    assert len(unsold) == 2
    requests = [Request(user, n=10) for user in plain.data.users.external(range(20))]
    told = replace(plain, exploration=0.2).recommend(requests)
    for usual, slate in zip(plain.recommend(requests), told, strict=True):
        assert len({each.item for each in slate.items} & unsold) == 2
        assert slate.items[4].item in unsold or unsold & {each.item for each in slate.items[:4]}
        kept = [each.item for each in slate.items if each.item not in unsold]
        assert kept == [each.item for each in usual.items if each.item not in unsold][: len(kept)]
