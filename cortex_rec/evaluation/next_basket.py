"""What an expert of next-basket recommendation compares with: personal frequency, TIFU-KNN and UP-CF.

All three look at baskets only: an item is in a basket or not, whatever its quantity, and time is the order of the baskets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cortex_rec.arrays import F64, I32, I64, Ragged, pointers
from cortex_rec.evaluation.baselines import everyone
from cortex_rec.evaluation.metrics import top, without
from cortex_rec.histories import Histories
from cortex_rec.retrieval.protocol import best
from cortex_rec.splits import distinct

#: Users scored at once, each on all items.
_BLOCK = 64


@dataclass(frozen=True)
class TifuKnn:
    """Parameters of `tifu_knn`; the defaults are the best of `make bench NAME=next-basket`.

    Parameters
    ----------
    group_size
        Baskets of a group; the oldest group holds what is left over.
    within_group
        A basket weighs this much of the next one in its group.
    across_groups
        A group weighs this much of the next one.
    k
        How many nearest users lend their vectors.
    own
        Weight of the user's own vector, 0 to 1; the neighbours' mean has the rest. The paper's alpha.
    """

    group_size: int = 7
    within_group: float = 0.95
    across_groups: float = 0.7
    k: int = 50
    own: float = 0.5


@dataclass(frozen=True)
class UpCf:
    """Parameters of `up_cf`; the defaults are the best of `make bench NAME=next-basket`.

    Parameters
    ----------
    recency
        How many of their latest baskets everybody's frequencies are counted in. The paper's r.
    locality
        Power that likeness is raised to: the larger, the fewer neighbours count. The paper's q.
    asymmetry
        0 to 1: how much of the asker's number of items, rather than the neighbour's, divides what the two share. The paper's alpha.
    """

    recency: int = 25
    locality: float = 5
    asymmetry: float = 0.75


def personal_frequency(histories: Histories, users: I32, *, as_of: int, n: int) -> Ragged:
    """Each user's own items by the number of their baskets that had it (P-TopFreq).

    Equal numbers go by item row. A user with fewer than `n` items gets a shorter list: nothing is filled up.

    Parameters
    ----------
    histories
        All users; what happened at or after `as_of` is not looked at.
    users
        (n_users,) int32 rows of the users wanted; -1 gives an empty list.
    as_of
        Moment of the recommendation, seconds since 1970 in the shop's time zone.
    n
        Longest list.

    Returns
    -------
    Ragged
        One list a user, best first.

    Source
    ------
    Li et al. 2023, A next basket recommendation reality check (arXiv:2109.14233).
    """
    own = histories.before(as_of).take(users)
    counts = _by_item(own, np.ones(len(own.item)), int(own.item.max(initial=-1)) + 1).tocoo()
    order = np.lexsort((counts.col, -counts.data, counts.row))
    return top(Ragged.from_owner(counts.row[order].astype(np.int64), counts.col[order], len(users)), n)


def frequency(histories: Histories, *, as_of: int, n_items: int) -> I32:
    """All items ever sold before `as_of`, those in the most baskets first, ties by item row (G-TopFreq)."""
    before = histories.before(as_of)
    return best(_by_item(before, np.ones(len(before.item)), n_items).sum(axis=0), n_items)


def followed_by(lists: Ragged, ranking: I32, n: int) -> Ragged:
    """Each list, and after it the best `n` of the ranking that it lacks: personal then global frequency is GP-TopFreq."""
    rest = top(without(everyone(ranking, lists, n), lists), n)
    owner = np.concatenate([lists.owner, rest.owner])
    order = np.argsort(owner, kind="stable")
    return Ragged.from_owner(owner[order], np.concatenate([lists.item, rest.item])[order], len(lists))


def tifu_knn(histories: Histories, users: I32, parameters: TifuKnn, *, as_of: int, n: int, n_items: int) -> Ragged:
    """Frequencies that fade from group to group of baskets, blended with those of the nearest users.

    Every basket weighs `within_group` for each later one in its group; a group's vector is the mean of its baskets and a
    user's the mean of the groups, where one weighs `across_groups` for each later one. Neighbours are the `k` users at the
    smallest Euclidean distance, the user not among them.

    Parameters
    ----------
    histories
        All users, who are also the neighbours; what happened at or after `as_of` is not looked at.
    users
        (n_users,) int32 rows of the users wanted; each has a purchase before `as_of`.
    as_of
        Moment of the recommendation, seconds since 1970 in the shop's time zone.
    n
        So many items that the user never bought have a place in the list, after or between the user's own.
    n_items
        Size of the catalogue.

    Returns
    -------
    Ragged
        One list a user, best first; items that neither the user nor a neighbour ever bought are left out.

    Source
    ------
    Hu et al. 2020, Modeling personalized item frequency information for next-basket recommendation (arXiv:2006.00556), equations
    of section 4. The paper's groups, not its published program's, which splits every history into the same number of groups.
    """
    before = histories.before(as_of)
    vectors = _by_item(before, _fading(before, parameters), n_items)
    holders = vectors.T.tocsr()
    length = (vectors**2).sum(axis=1)
    silent = np.diff(before.pointer) == 0

    def weights(block: I32) -> F64:
        distance = length[block, None] + length - 2 * (vectors[block] @ holders).toarray()
        distance[:, silent] = np.inf
        distance[np.arange(len(block)), block] = np.inf
        near = np.argsort(distance, axis=1, kind="stable")[:, : min(parameters.k, int(np.count_nonzero(~silent)) - 1)]
        result = np.zeros(distance.shape)
        np.put_along_axis(result, near, (1 - parameters.own) / max(near.shape[1], 1), axis=1)
        result[np.arange(len(block)), block] = parameters.own
        return result

    return _ranked(before, users, weights, vectors, n)


def up_cf(histories: Histories, users: I32, parameters: UpCf, *, as_of: int, n: int, n_items: int) -> Ragged:
    """Everybody's frequencies in their latest baskets, the user's own included, weighted by likeness to the power `locality`.

    The likeness of a user who bought the items A to one who bought B is `|A & B| / (|A| ** asymmetry * |B| ** (1 - asymmetry))`,
    over the whole of both histories; a user is like themselves by 1.

    Parameters
    ----------
    histories
        All users, who are also the neighbours; what happened at or after `as_of` is not looked at.
    users
        (n_users,) int32 rows of the users wanted; each has a purchase before `as_of`.
    as_of
        Moment of the recommendation, seconds since 1970 in the shop's time zone.
    n
        So many items that the user never bought have a place in the list, after or between the user's own.
    n_items
        Size of the catalogue.

    Returns
    -------
    Ragged
        One list a user, best first; items that nobody of any likeness bought in their latest baskets are left out.

    Source
    ------
    Faggioli, Polato, Aiolli 2020, Recency aware collaborative filtering for next basket recommendation, UMAP '20 (UP-CF@r).
    """
    before = histories.before(as_of)
    latest = _by_item(before, (_back(before) < parameters.recency).astype(np.float64), n_items)
    counted = np.minimum(np.maximum(before.baskets, 1), parameters.recency)
    lent = (sparse.diags_array(1 / counted) @ latest).tocsr()
    bought = _by_item(before, np.ones(len(before.item)), n_items)
    bought.data[:] = 1
    holders = bought.T.tocsr()
    size = np.maximum(np.diff(bought.indptr), 1).astype(np.float64)

    def weights(block: I32) -> F64:
        shared = (bought[block] @ holders).toarray()
        likeness: F64 = shared / (size[block, None] ** parameters.asymmetry * size ** (1 - parameters.asymmetry))
        return likeness**parameters.locality

    return _ranked(before, users, weights, lent, n)


def _by_item(histories: Histories, weight: F64, n_items: int) -> sparse.csr_array:
    """(n_users, n_items) sums of a weight (n_events,) over the baskets that had the item; a basket's lines weigh the same."""
    basket = pointers(histories.baskets)[histories.owner] + histories.basket
    _, first = np.unique(basket * max(n_items, 1) + histories.item, return_index=True)
    place = (histories.owner[first], histories.item[first])
    result = sparse.coo_array((weight[first], place), (histories.n_users, n_items)).tocsr()
    result.eliminate_zeros()
    return result


def _back(histories: Histories) -> I64:
    """(n_events,) how many of the user's baskets are later than the event's."""
    return histories.baskets[histories.owner] - 1 - histories.basket


def _fading(histories: Histories, parameters: TifuKnn) -> F64:
    """(n_events,) weight of each event's basket in its user's vector."""
    group, place = np.divmod(_back(histories), parameters.group_size)
    baskets = histories.baskets[histories.owner]
    groups = -(-baskets // parameters.group_size)
    size = np.minimum(baskets - group * parameters.group_size, parameters.group_size)
    weight: F64 = parameters.within_group**place * parameters.across_groups**group / (size * groups)
    return weight


def _ranked(before: Histories, users: I32, weights: Callable[[I32], F64], lent: sparse.csr_array, n: int) -> Ragged:
    """Lists by the sum of what all users lend, times a block's (n_block, n_users) weights; as long as `n` new items need."""
    longest = np.diff(distinct(before.take(users)).pointer) + n
    known = np.flatnonzero(lent.sum(axis=0)).astype(np.int32)
    lent = lent[:, known]
    lists: list[I32] = []
    for at in range(0, len(users), _BLOCK):
        scores = np.ascontiguousarray(weights(users[at : at + _BLOCK]) @ lent)
        lists += [best(row, int(length), known) for row, length in zip(scores, longest[at:], strict=False)]
    return Ragged(pointers(np.array([len(items) for items in lists])), np.concatenate([*lists, np.zeros(0, np.int32)]))
