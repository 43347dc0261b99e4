"""Ranking metrics of every user at once. `ranked` lists are best first with unique items, `truth` lists are sets."""

from collections.abc import Sequence

import numpy as np

from cortex_rec.arrays import F32, F64, I64, Bool, Ragged, is_in, owners, pointers, ranges

NAMES = ("ndcg", "recall", "map", "mrr", "hit_rate")


def per_user(ranked: Ragged, truth: Ragged, cutoffs: Sequence[int]) -> dict[str, F64]:
    """Binary-relevance metrics at each cut-off.

    Parameters
    ----------
    ranked
        One list a user, best first, any length, no item twice.
    truth
        The relevant items of the same users.
    cutoffs
        List lengths K to judge.

    Returns
    -------
    dict
        `ndcg@K`, `recall@K`, `map@K`, `mrr@K`, `hit_rate@K`, each (n_users,) float64 in [0, 1]; NaN for users without
        truth. The ideal list of NDCG and the divisor of MAP have min(K, |truth|) items.
    """
    longest = max(cutoffs)
    hits = _first(ranked, is_in(ranked, truth), longest)
    n_truth = np.diff(truth.pointer)
    known = n_truth > 0
    divisor = np.where(known, n_truth, 1)
    rank = np.arange(1, longest + 1)
    discount = 1 / np.log2(rank + 1)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    found = np.cumsum(hits, axis=1)
    gain = np.cumsum(hits * discount, axis=1)
    precision = np.cumsum(hits * (found / rank), axis=1)
    first_rank = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, longest + 1)
    result = {}
    for k in cutoffs:
        best = np.minimum(divisor, k)
        result[f"ndcg@{k}"] = gain[:, k - 1] / ideal[best]
        result[f"recall@{k}"] = found[:, k - 1] / divisor
        result[f"map@{k}"] = precision[:, k - 1] / best
        result[f"mrr@{k}"] = np.where(first_rank <= k, 1 / first_rank, 0.0)
        result[f"hit_rate@{k}"] = (first_rank <= k).astype(np.float64)
    return {name: np.where(known, values, np.nan) for name, values in result.items()}


def auc_per_user(pointer: I64, scores: F32, relevant: Bool) -> F64:
    """How often a relevant candidate scores above an irrelevant one of the same user; a tie counts half.

    Parameters
    ----------
    pointer
        (n_users + 1,) int64; the candidates of user `u` are `pointer[u]:pointer[u + 1]`.
    scores, relevant
        (n_candidates,) the ranker's score, and whether the user bought the candidate.

    Returns
    -------
    F64
        (n_users,); NaN where the candidates are all relevant or all irrelevant.
    """
    owner = owners(pointer)
    n_users = len(pointer) - 1
    order = np.lexsort((scores, owner))
    sorted_owner, sorted_score = owner[order], scores[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (sorted_owner[1:] != sorted_owner[:-1]) | (sorted_score[1:] != sorted_score[:-1])
    start = np.flatnonzero(new)
    size = np.diff(np.append(start, len(order)))
    # The middle of a run of equal scores is the rank that each of its members gets, which counts a tie as half.
    rank = np.repeat(start + (size + 1) / 2, size) - pointer[sorted_owner]
    positives = np.bincount(owner[relevant], minlength=n_users)
    negatives = np.diff(pointer) - positives
    rank_sum = np.bincount(sorted_owner, weights=rank * relevant[order], minlength=n_users)
    pairs = positives * negatives
    return np.where(pairs > 0, (rank_sum - positives * (positives + 1) / 2) / np.where(pairs > 0, pairs, 1), np.nan)


def without(lists: Ragged, excluded: Ragged) -> Ragged:
    """The lists less each user's excluded items, order kept."""
    return where(lists, ~is_in(lists, excluded))


def where(lists: Ragged, mask: Bool) -> Ragged:
    """The entries of the lists at which `mask` is true, order kept."""
    return Ragged(pointers(np.bincount(lists.owner[mask], minlength=len(lists))), lists.item[mask])


def top(lists: Ragged, k: int) -> Ragged:
    """The first `k` entries of each list."""
    counts = np.minimum(np.diff(lists.pointer), k)
    return Ragged(pointers(counts), lists.item[ranges(lists.pointer[:-1], counts)])


def _first(lists: Ragged, flags: Bool, k: int) -> Bool:
    """The first `k` flags of each list as a matrix (n_users, k), false where a list is shorter."""
    position = np.arange(len(flags)) - lists.pointer[lists.owner]
    matrix = np.zeros((len(lists), k), np.bool_)
    near = position < k
    matrix[lists.owner[near], position[near]] = flags[near]
    return matrix
