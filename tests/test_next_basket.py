"""The next-basket baselines by hand on a few baskets, and against short references that follow the papers' formulas."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_rec.arrays import DAY, NO_ROW, Ragged, pointers
from cortex_rec.evaluation import next_basket
from cortex_rec.evaluation.next_basket import TifuKnn, UpCf
from cortex_rec.histories import Histories

Baskets = list[list[int]]
N_ITEMS = 12
LATER = 1_000 * DAY
small = st.lists(st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=4), min_size=1, max_size=6), min_size=2, max_size=5)


def shop(*users: Baskets) -> Histories:
    """One basket a day for each user; an item may be on several lines of a basket."""
    lines = [(day, item) for baskets in users for day, basket in enumerate(baskets) for item in sorted(basket)]
    day, item = (np.array([line[part] for line in lines]) for part in (0, 1))
    n = len(lines)
    blank = np.full(n, np.nan, np.float32)
    pointer = pointers(np.array([sum(map(len, baskets)) for baskets in users]))
    return Histories(pointer, item.astype(np.int32), day * DAY, day, np.full(n, NO_ROW, np.int32), blank, blank, blank)


def everybody(histories: Histories) -> np.ndarray:
    return np.flatnonzero(np.diff(histories.pointer)).astype(np.int32)


def tifu_knn(*users: Baskets, as_of: int = LATER, **parameters: float) -> list[int]:
    """The list of the first user."""
    chosen = TifuKnn(**{"group_size": 7, "within_group": 1, "across_groups": 1, "k": 1, "own": 0.7} | parameters)
    return list(next_basket.tifu_knn(shop(*users), np.array([0], np.int32), chosen, as_of=as_of, n=9, n_items=N_ITEMS)[0])


def up_cf(*users: Baskets, n: int = 9, **parameters: float) -> list[int]:
    chosen = UpCf(**{"recency": 9, "locality": 1, "asymmetry": 0.5} | parameters)
    return list(next_basket.up_cf(shop(*users), np.array([0], np.int32), chosen, as_of=LATER, n=n, n_items=N_ITEMS)[0])


def test_personal_frequency_counts_baskets_not_lines_and_breaks_ties_by_item() -> None:
    past = shop([[3, 3, 3, 1], [1, 2], [5, 5]], [[4]])
    users = np.array([1, 0, -1], np.int32)
    found = next_basket.personal_frequency(past, users, as_of=2 * DAY, n=10)
    assert [list(found[user]) for user in range(3)] == [[4], [1, 2, 3], []]
    assert list(next_basket.personal_frequency(past, users, as_of=3 * DAY, n=2)[1]) == [1, 2]


def test_a_list_is_followed_by_the_ranking_without_what_it_has() -> None:
    past = shop([[3], [3]], [[1, 3], [1], [2]])
    ranking = next_basket.frequency(past, as_of=2 * DAY, n_items=N_ITEMS)
    assert list(ranking) == [3, 1]
    own = Ragged(np.array([0, 1, 3]), np.array([3, 7, 1], np.int32))
    found = next_basket.followed_by(own, np.array([3, 1, 2, 5], np.int32), 2)
    assert [list(found[user]) for user in range(2)] == [[3, 1, 2], [7, 1, 3, 2]]


def test_a_basket_fades_within_its_group_and_a_group_within_the_history() -> None:
    # Groups (9), (8), …: the basket that is second to last has half of its group, the one before it only a share of a group.
    past: Baskets = [[9], [8], [7], [6]]
    alone: Baskets = [[0]]
    fading = {"group_size": 2, "within_group": 0.5, "own": 1}
    assert tifu_knn(past, alone, across_groups=0.4, **fading) == [6, 7, 8, 9], "8 has 0.4 of 1, 7 has 0.5"
    assert tifu_knn(past, alone, across_groups=0.6, **fading) == [6, 8, 7, 9], "8 has 0.6 of 1, 7 has 0.5, 9 has 0.3"


def test_the_oldest_group_is_the_mean_of_the_baskets_that_it_has() -> None:
    # 6 and 7 share the latest group, 8 is alone in the oldest: 1/4, 0.5/4 and 0.4/2.
    assert tifu_knn([[8], [7], [6]], [[0]], group_size=2, within_group=0.5, across_groups=0.4, own=1) == [6, 8, 7]


def test_the_nearest_users_lend_what_they_bought() -> None:
    near, far = [[1, 4]], [[2, 3]]
    assert tifu_knn([[1]], far, near, k=1) == [1, 4]
    assert tifu_knn([[1]], far, near, k=2) == [1, 2, 3, 4]
    assert tifu_knn([[1]], [[1, 2, 3, 5]], near, k=1) == [1, 4], "who buys much else is further away"


def test_own_says_how_much_the_neighbours_count() -> None:
    asker, near, far = [[1], [5], [5]], [[1, 4]], [[2, 3]]
    assert tifu_knn(asker, far, near, own=0.4) == [1, 4, 5], "1: 0.4 / 3 + 0.6, 4: 0.6, 5: 0.4 x 2 / 3"
    assert tifu_knn(asker, far, near, own=0.9) == [5, 1, 4], "1: 0.9 / 3 + 0.1, 4: 0.1, 5: 0.9 x 2 / 3"


def test_a_user_without_a_purchase_so_far_is_nobodys_neighbour() -> None:
    silent: Baskets = [[], [], [], [9]]
    assert tifu_knn([[1]], silent, [[1, 4]], as_of=3 * DAY, k=1) == [1, 4]


def test_likeness_counts_the_askers_items_or_the_neighbours() -> None:
    few, many = [[1, 5]], [[1, 2, 3, 4]]
    assert up_cf([[1]], few, many, asymmetry=1) == [1, 2, 3, 4, 5], "both share all that the asker has"
    assert up_cf([[1]], few, many, asymmetry=0) == [1, 5, 2, 3, 4], "half of the few, a quarter of the many"


def test_locality_makes_one_close_neighbour_count_more_than_two_distant_ones() -> None:
    asker, close, distant, other = [[1, 2, 3, 4]], [[1, 2, 3, 9]], [[1, 2, 8, 10]], [[3, 4, 8, 11]]
    assert [item for item in up_cf(asker, close, distant, other, locality=1) if item in (8, 9)] == [8, 9]
    assert [item for item in up_cf(asker, close, distant, other, locality=5) if item in (8, 9)] == [9, 8]


def test_only_the_latest_baskets_are_lent() -> None:
    past: Baskets = [[1], [2], [2, 3]]
    assert up_cf(past, [[0]], recency=1) == [2, 3]
    assert up_cf(past, [[0]], recency=2) == [2, 3]
    assert up_cf(past, [[0]], recency=3) == [2, 1, 3]


def test_frequencies_are_shares_of_the_baskets_that_are_counted() -> None:
    # Both neighbours are as like; 5 was in the one basket of one, 4 in two of the other's four.
    assert up_cf([[1, 2]], [[1, 4], [1], [4], [1]], [[2, 5]], recency=9) == [2, 1, 5, 4]
    assert up_cf([[1, 2]], [[1, 4], [1], [4], [4]], [[2, 5], [2], [2]], recency=2) == [2, 1, 4], "5 is not among the latest two"


def test_a_list_has_room_for_new_items_behind_all_own_ones() -> None:
    own = list(range(8))
    assert up_cf([own], [[0, 8, 9, 10]], n=2) == [0, *range(1, 8), 8, 9]


def by_hand_tifu(users: list[Baskets], chosen: TifuKnn) -> np.ndarray:
    """Scores (n_users, n_items) with everybody else as neighbours."""

    def vector(baskets: Baskets) -> np.ndarray:
        latest_first = baskets[::-1]
        groups = [latest_first[at : at + chosen.group_size] for at in range(0, len(baskets), chosen.group_size)]
        total = np.zeros(N_ITEMS)
        for age, group in enumerate(groups):
            for place, basket in enumerate(group):
                total[list(set(basket))] += chosen.across_groups**age * chosen.within_group**place / len(group)
        return total / len(groups)

    vectors = [vector(baskets) for baskets in users]
    result = []
    for user, own in enumerate(vectors):
        others = [other for v, other in enumerate(vectors) if v != user]
        result.append(chosen.own * own + (1 - chosen.own) * np.mean(others, axis=0))
    return np.array(result)


def by_hand_up_cf(users: list[Baskets], chosen: UpCf) -> np.ndarray:
    popularity, sets = np.zeros((len(users), N_ITEMS)), [set().union(*baskets) for baskets in users]
    for user, baskets in enumerate(users):
        latest = baskets[-int(chosen.recency) :]
        for basket in latest:
            popularity[user, list(set(basket))] += 1 / len(latest)
    likeness = [[len(a & b) / (len(a) ** chosen.asymmetry * len(b) ** (1 - chosen.asymmetry)) for b in sets] for a in sets]
    return np.array(likeness) ** chosen.locality @ popularity


def agree(lists: Ragged, scores: np.ndarray) -> None:
    """Each list has exactly the items with a score, in an order that the scores allow."""
    for found, wanted in zip((lists[user] for user in range(len(lists))), scores, strict=True):
        assert set(found) == set(np.flatnonzero(wanted > 1e-12))
        assert (np.diff(wanted[found]) <= 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(small, st.integers(1, 4), st.sampled_from([0.5, 0.9, 1.0]), st.sampled_from([0.3, 0.7, 1.0]), st.sampled_from([0.2, 0.7, 1.0]))
def test_tifu_knn_with_all_as_neighbours_is_the_papers_sum(users: list[Baskets], m: int, within: float, across: float, own: float) -> None:
    chosen = TifuKnn(m, within, across, k=99, own=own)
    past = shop(*users)
    agree(next_basket.tifu_knn(past, everybody(past), chosen, as_of=LATER, n=N_ITEMS, n_items=N_ITEMS), by_hand_tifu(users, chosen))


@settings(max_examples=60, deadline=None)
@given(small, st.integers(1, 5), st.sampled_from([1, 2, 5]), st.sampled_from([0.0, 0.25, 1.0]))
def test_up_cf_is_the_papers_sum(users: list[Baskets], recency: int, locality: float, asymmetry: float) -> None:
    chosen = UpCf(recency, locality, asymmetry)
    past = shop(*users)
    agree(next_basket.up_cf(past, everybody(past), chosen, as_of=LATER, n=N_ITEMS, n_items=N_ITEMS), by_hand_up_cf(users, chosen))
