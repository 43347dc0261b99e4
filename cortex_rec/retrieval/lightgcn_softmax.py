"""LightGCN in some hundred large steps: each propagates once and tells a block of users' items from a large sample of the catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch.nn.functional import normalize

from cortex_rec.arrays import F32, F64, I64, Ragged, ranges
from cortex_rec.config import LightGCN
from cortex_rec.repeatable import device, fixed_order
from cortex_rec.retrieval.lightgcn import spectral
from cortex_rec.retrieval.propagation import Propagate, propagation

#: Users whose products with the sample are in memory at once.
CHUNK: Final = 1_024
#: What is left of a sum of which a user's own items were all; below it a logarithm has no meaning.
_LEAST: Final = 1e-12


@dataclass(frozen=True)
class State:
    """What is known after some steps.

    Parameters
    ----------
    steps
        How many.
    users, items
        (n_users, d) and (n_items, d) float32 propagated vectors of unit length; zeros without a purchase.
    popularity
        (n_items,) float32, what the number of its buyers adds to an item's cosine.
    """

    steps: int
    users: F32
    items: F32
    popularity: F32

    def scores(self, users: I64) -> F32:
        """(len(users), n_items) float32."""
        found: F32 = self.users[users] @ self.items.T
        found += self.popularity
        return found


def train(pairs: Ragged, n_items: int, config: LightGCN, *, seed: int, every: int, at: torch.device | None = None) -> Iterator[State]:
    """Learn vectors whose cosines tell bought from not bought, and show them after every `every` steps, the start and the end included.

    Parameters
    ----------
    pairs
        Each user's distinct items.
    n_items
        Size of the catalogue.
    seed
        Of the first vectors and of the sampling.
    at
        Where to train; `repeatable.device()` when absent.

    Raises
    ------
    EmptyTrainingSetError
        If there is no pair.

    Source
    ------
    The model is He et al. 2020, LightGCN (arXiv:2002.02126). The loss is the sampled softmax of cosines with a temperature (Wu et al. 2022,
    On the effectiveness of sampled softmax loss for item recommendation, arXiv:2201.02327), in which an item competes with a sample of
    those that the user does not have. Items are drawn by a power of their number of buyers, as word2vec does (Mikolov et al. 2013,
    arXiv:1310.4546), so cosines need not say what everybody buys; the same power comes back into the score, as the logarithm that a
    sampled softmax is corrected by (Yi et al. 2019, doi:10.1145/3298689.3346996). A step's cost is that of its two propagations, forth and
    back, hence the steps are few, their batches large, and their length falls to zero in a straight line.
    """
    generator, at = np.random.default_rng(seed), at or device()
    propagate = propagation(pairs, n_items, config.layers, at)
    base = torch.nn.Parameter(torch.from_numpy(np.concatenate(spectral(pairs, n_items, config.dimensions, seed))).to(at))
    optimizer = torch.optim.Adam([base], lr=config.learning_rate)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / config.steps)
    buyers = np.bincount(pairs.item, minlength=n_items)
    drawn_by = buyers.astype(np.float64) ** config.popularity
    popularity = (config.temperature * config.popularity * np.log(np.maximum(buyers, 1))).astype(np.float32)
    active, waiting = np.flatnonzero(np.diff(pairs.pointer)), np.zeros(0, np.int64)
    for step in range(config.steps + 1):
        if step % every == 0 or step == config.steps:
            yield _state(step, propagate, base, pairs, popularity)
        if step == config.steps:
            return
        if len(waiting) == 0:
            waiting = generator.permutation(active)
        users, waiting = np.sort(waiting[: config.users]), waiting[config.users :]
        sample = _sample(generator, drawn_by, config.negatives)
        with fixed_order():
            optimizer.zero_grad()
            _descend(propagate, base, pairs, users, sample, config.temperature)
            optimizer.step()
        falling.step()


def fit(pairs: Ragged, n_items: int, config: LightGCN, *, seed: int, at: torch.device | None = None) -> State:
    """What `train` ends in."""
    *_, last = train(pairs, n_items, config, seed=seed, every=config.steps, at=at)
    return last


def _sample(generator: np.random.Generator, drawn_by: F64, n: int) -> I64:
    """At most `n` distinct items, ascending, each as likely as it weighs."""
    share = drawn_by / drawn_by.sum()
    return np.sort(generator.choice(len(share), size=min(n, int(np.count_nonzero(share))), replace=False, p=share))


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
    # An own item competes with none of the others, though they are in the sample.
    sampled = torch.from_numpy(weight * np.isin(item, sample)).float().to(at)
    others = drawn.index_add(0, owners, -torch.exp(right) * sampled).clamp(min=_LEAST)
    return (torch.log(others[owners] + torch.exp(right)) - right).sum()


def _state(step: int, propagate: Propagate, base: torch.Tensor, pairs: Ragged, popularity: F32) -> State:
    with torch.no_grad():
        vectors = normalize(propagate(base)).cpu().numpy()
    n_users, n_items = len(pairs), len(popularity)
    vectors[:n_users][np.diff(pairs.pointer) == 0] = 0
    vectors[n_users:][np.bincount(pairs.item, minlength=n_items) == 0] = 0
    return State(step, vectors[:n_users], vectors[n_users:], popularity)
