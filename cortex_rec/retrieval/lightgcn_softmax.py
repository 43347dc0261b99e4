"""LightGCN in a hundred large steps: each propagates once and tells a block of users' items from a large sample of the catalogue."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch.nn.functional import normalize

from cortex_rec.arrays import F32, I64, Ragged, ranges
from cortex_rec.config import LightGCN
from cortex_rec.evaluation.full_ranking import judge
from cortex_rec.repeatable import fixed_order
from cortex_rec.retrieval.lightgcn import spectral
from cortex_rec.retrieval.propagation import Propagate, propagation
from cortex_rec.splits import held_out

#: Users whose products with the sample are in memory at once.
CHUNK: Final = 1_024
#: What early stopping looks at: NDCG of so many items, of so many users.
K: Final = 20
JUDGED: Final = 3_000
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What is known after some steps.

    Parameters
    ----------
    steps
        How many.
    users, items
        (n_users, d) and (n_items, d) float32 propagated vectors of unit length; zeros without a purchase.
    """

    steps: int
    users: F32
    items: F32

    def scores(self, users: I64) -> F32:
        """(len(users), n_items) float32 cosines."""
        found: F32 = self.users[users] @ self.items.T
        return found


def train(pairs: Ragged, n_items: int, config: LightGCN, *, seed: int, device: str = "cpu") -> Iterator[State]:
    """Learn vectors whose cosines tell bought from not bought, and show them after every `config.every` steps, the start included.

    Parameters
    ----------
    pairs
        Each user's distinct items.
    n_items
        Size of the catalogue.
    seed
        Of the first vectors and of the sampling.
    device
        Of torch.

    Raises
    ------
    EmptyTrainingSetError
        If there is no pair.

    Source
    ------
    The model is He et al. 2020, LightGCN (arXiv:2002.02126). The loss is the softmax over the catalogue of cosines with a temperature
    (Wu et al. 2022, On the effectiveness of sampled softmax loss for item recommendation, arXiv:2201.02327), its sum estimated from a
    uniform sample, in which the user's own items are counted exactly. A step's cost is that of its two propagations, forth and back,
    hence the steps are few and their batches large.
    """
    generator, at = np.random.default_rng(seed), torch.device(device)
    propagate = propagation(pairs, n_items, config.layers, at)
    base = torch.nn.Parameter(torch.from_numpy(np.concatenate(spectral(pairs, n_items, config.dimensions, seed))).to(at))
    optimizer = torch.optim.Adam([base], lr=config.learning_rate)
    buyers = np.flatnonzero(np.diff(pairs.pointer))
    waiting = np.zeros(0, np.int64)
    for step in range(config.steps + 1):
        if step % config.every == 0:
            yield _state(step, propagate, base, pairs, n_items)
        if len(waiting) == 0:
            waiting = generator.permutation(buyers)
        users, waiting = np.sort(waiting[: config.users]), waiting[config.users :]
        sample = np.sort(generator.choice(n_items, min(config.negatives, n_items), replace=False))
        with fixed_order():
            optimizer.zero_grad()
            _descend(propagate, base, pairs, users, sample, config.temperature)
            optimizer.step()


def fit(pairs: Ragged, n_items: int, config: LightGCN, *, seed: int, device: str = "cpu") -> State:
    """Find out on held-out pairs how many steps are best, then make as many with all pairs."""
    learned, judged = held_out(pairs, config.held_out, seed=seed)
    users = np.flatnonzero(np.diff(judged.pointer))
    users = np.sort(np.random.default_rng(seed).permutation(users)[:JUDGED])
    best, best_steps = -1.0, 0
    for state in train(learned, n_items, config, seed=seed, device=device):
        found = float(np.mean(judge(state.scores, users, learned, judged, K)[f"ndcg@{K}"])) if len(users) else float(state.steps)
        _LOG.info("lightgcn: %d steps, held-out ndcg@%d %.4f", state.steps, K, found)
        if found > best:
            best, best_steps = found, state.steps
        elif state.steps - best_steps >= config.patience * config.every:
            break
    return next(state for state in train(pairs, n_items, config, seed=seed, device=device) if state.steps == best_steps)


def _descend(propagate: Propagate, base: torch.Tensor, pairs: Ragged, users: I64, sample: I64, temperature: float) -> None:
    """Add the gradient of the mean loss of the users' pairs to that of `base`: chunk by chunk to the vectors, once through the graph."""
    unit = normalize(propagate(base))
    vectors = unit.detach().requires_grad_()
    n_users, counts = len(pairs), np.diff(pairs.pointer)
    for start in range(0, len(users), CHUNK):
        chunk = users[start : start + CHUNK]
        item = pairs.item[ranges(pairs.pointer[chunk], counts[chunk])].astype(np.int64)
        owner = np.repeat(np.arange(len(chunk)), counts[chunk])
        loss = _loss(vectors[:n_users], vectors[n_users:], chunk, owner, item, sample, temperature)
        (loss / counts[users].sum()).backward()
    unit.backward(vectors.grad)  # type: ignore[no-untyped-call]


def _loss(users: torch.Tensor, items: torch.Tensor, chunk: I64, owner: I64, item: I64, sample: I64, temperature: float) -> torch.Tensor:
    """The summed loss of the pairs (chunk[owner], item)."""
    at, own = items.device, users[torch.from_numpy(chunk).to(users.device)]
    owners, rows = torch.from_numpy(owner).to(at), torch.from_numpy(item).to(at)
    # No cosine is above 1, so with 1 taken from each no exponential overflows.
    right = ((own[owners] * items[rows]).sum(1) - 1) / temperature
    weight = len(items) / len(sample)
    drawn = torch.exp((own @ items[torch.from_numpy(sample).to(at)].T - 1) / temperature).sum(1) * weight
    # An own item counts once, whether or not it is in the sample as well.
    correction = torch.from_numpy(1 - weight * np.isin(item, sample)).float().to(at)
    total = drawn.index_add(0, owners, torch.exp(right) * correction)
    return (torch.log(total)[owners] - right).sum()


def _state(step: int, propagate: Propagate, base: torch.Tensor, pairs: Ragged, n_items: int) -> State:
    with torch.no_grad():
        vectors = normalize(propagate(base)).cpu().numpy()
    n_users = len(pairs)
    vectors[:n_users][np.diff(pairs.pointer) == 0] = 0
    vectors[n_users:][np.bincount(pairs.item, minlength=n_items) == 0] = 0
    return State(step, vectors[:n_users], vectors[n_users:])
