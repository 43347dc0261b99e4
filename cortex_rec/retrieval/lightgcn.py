"""LightGCN's training: vectors that are smoothed over the graph of who bought what."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as nn
from sklearn.utils.extmath import randomized_svd

from cortex_rec.arrays import F32, Ragged
from cortex_rec.config import Graph as GraphConfig
from cortex_rec.repeatable import device, fixed_order
from cortex_rec.retrieval.propagation import propagation


@dataclass(frozen=True)
class Trained:
    """Propagated vectors and the parameters under them, all float32, one row a user or item."""

    users: F32
    items: F32
    base_users: F32
    base_items: F32


@fixed_order()
def train(
    pairs: Ragged,
    n_items: int,
    config: GraphConfig,
    *,
    seed: int,
    start: tuple[F32, F32] | None = None,
    at: torch.device | None = None,
) -> Trained:
    """Learn vectors whose inner products tell bought from not bought.

    Parameters
    ----------
    pairs
        Each user's distinct items.
    n_items
        Size of the catalogue.
    seed
        Of the first vectors and of the sampling.
    start
        Parameters (n_users, d) and (n_items, d) of an earlier fit; then `config.refresh_steps` steps are made in place
        of `config.steps`.
    at
        Where to train; `repeatable.device()` when absent. What chance draws is drawn on the CPU, so it is the same everywhere.

    Returns
    -------
    Trained
        Rows of users and items without a purchase are zero.

    Raises
    ------
    EmptyTrainingSetError
        If there is no pair.

    Source
    ------
    He et al. 2020, LightGCN (arXiv:2002.02126), equations 3 to 8; the loss is a softmax over sampled negatives corrected
    for how often each is drawn (Yi et al. 2019, sampling-bias-corrected neural modeling).
    """
    n_users, n_pairs = len(pairs), len(pairs.item)
    generator = torch.Generator().manual_seed(seed)
    at = at or device()
    propagate = propagation(pairs, n_items, config.layers, at)
    base = torch.nn.Parameter(torch.from_numpy(np.concatenate(start or spectral(pairs, n_items, config.dimensions, seed))).to(at))
    optimizer = torch.optim.Adam([base], lr=config.learning_rate)
    user, item = torch.from_numpy(pairs.owner.copy()), torch.from_numpy(pairs.item.astype(np.int64))
    buyers = torch.bincount(item, minlength=n_items)
    inactive, unsold = (torch.bincount(user, minlength=n_users) == 0).to(at), (buyers == 0).to(at)
    user, item, frequency = user.to(at), item.to(at), (buyers.float() / n_pairs).to(at)
    for _ in range(config.steps if start is None else config.refresh_steps):
        edges = torch.randint(n_pairs, (config.batch_size,), generator=generator).to(at)
        negative = item[torch.randint(n_pairs, (config.negatives,), generator=generator).to(at)]
        vectors = propagate(base)
        users, positives, negatives = vectors[user[edges]], vectors[n_users + item[edges]], vectors[n_users + negative]
        right = (users * positives).sum(1, keepdim=True) / config.temperature
        wrong = users @ negatives.T / config.temperature - torch.log(frequency[negative])
        wrong = wrong.masked_fill(negative.unsqueeze(0) == item[edges].unsqueeze(1), -torch.inf)
        right = right - torch.log(frequency[item[edges]]).unsqueeze(1)
        loss = nn.cross_entropy(torch.cat([right, wrong], dim=1), torch.zeros(len(edges), dtype=torch.long, device=at))
        penalty = config.weight_decay * (base[user[edges]].square().sum() + base[n_users + item[edges]].square().sum()) / len(edges)
        optimizer.zero_grad()
        (loss + penalty).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        vectors = propagate(base)
        vectors[:n_users][inactive] = 0
        vectors[n_users:][unsold] = 0
    result, trained = vectors.cpu().numpy(), base.detach().cpu().numpy()
    return Trained(result[:n_users], result[n_users:], trained[:n_users], trained[n_users:])


def spectral(pairs: Ragged, n_items: int, dimensions: int, seed: int) -> tuple[F32, F32]:
    """Singular vectors of the normalised graph: what propagation alone would converge to, and minutes of steps saved."""
    bought = sp.csr_matrix((np.ones(len(pairs.item), np.float32), pairs.item, pairs.pointer), shape=(len(pairs), n_items))
    left, right = (1 / np.sqrt(np.maximum(np.asarray(bought.sum(axis=axis)).ravel(), 1)) for axis in (1, 0))
    u, s, vt = randomized_svd(sp.diags(left) @ bought @ sp.diags(right), dimensions, n_iter=3, random_state=seed)
    spread = np.sqrt(s / s.mean()) * np.sqrt(0.01 * len(pairs))
    items = vt.T * spread * np.sqrt(n_items / len(pairs))
    return (u * spread).astype(np.float32), items.astype(np.float32)
