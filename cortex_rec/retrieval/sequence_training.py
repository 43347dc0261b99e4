"""How the transformer over a history learns, in torch: every place of every sequence foretells the next item."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Final

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn
from torch.nn.functional import dropout

from cortex_rec.arrays import F32, I64, Ragged, ranges
from cortex_rec.config import SequenceEncoder as EncoderConfig
from cortex_rec.repeatable import repeatable
from cortex_rec.retrieval.sequence_encoder import EPSILON, Encoder
from cortex_rec.retrieval.transitions import pairs

#: Size of the items' first vectors, root of the mean square of an entry.
_START: Final = 0.1
#: How far apart items are near each other for these, and how near: distance to the power of minus the second.
_REACH: Final = 20
_DECAY: Final = 0.5
#: Steps in which the learning rate rises to its height.
_WARM_UP: Final = 100
#: What is kept is the running mean of the weights, to which each step adds this share: as good as a falling learning rate, at any step.
_SHARE: Final = 0.01
#: Sequences that are sorted by length together, so that those of a step need little padding.
_POOL: Final = 4_096


class Network(nn.Module):
    """What `Encoder` answers as; its parameters have the same names."""

    def __init__(self, items: F32, popularity: F32, config: EncoderConfig) -> None:
        super().__init__()
        self.items = nn.Parameter(torch.from_numpy(items))
        self.popularity = nn.Parameter(torch.from_numpy(popularity))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.after = nn.LayerNorm(config.dimensions, EPSILON)
        self.dropout = config.dropout

    def forward(self, items: Tensor) -> Tensor:
        """(n, length, d) vectors of every place of (n, length) items, each of what is there and before."""
        state = dropout(self.items[items] * self.items.shape[1] ** 0.5, self.dropout, self.training)
        for block in self.blocks:
            state = block(state)
        found: Tensor = self.after(state)
        return found

    def encoder(self) -> Encoder:
        """The same in NumPy."""
        return Encoder({name: value.detach().numpy().copy() for name, value in self.state_dict().items()})


class Block(nn.Module):
    """Attention to what came before, by content and distance, and a layer on each place."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        d = config.dimensions
        self.before_attention, self.before_dense = nn.LayerNorm(d, EPSILON), nn.LayerNorm(d, EPSILON)
        self.attend, self.join = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.widen, self.narrow = nn.Linear(d, config.width), nn.Linear(config.width, d)
        self.distance = nn.Parameter(torch.zeros(config.heads, config.length))
        self.dropout = config.dropout

    def forward(self, state: Tensor) -> Tensor:
        n, length, d = state.shape
        heads = len(self.distance)
        query, key, value = self.attend(self.before_attention(state)).view(n, length, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        back = torch.arange(length)[:, None] - torch.arange(length)
        logits = query @ key.transpose(2, 3) / (d // heads) ** 0.5 + self.distance[:, back.clamp(min=0)]
        weights = self._dropped(logits.masked_fill(back < 0, -torch.inf).softmax(-1))
        state = state + self._dropped(self.join((weights @ value).transpose(1, 2).reshape(n, length, d)))
        inner = self._dropped(torch.relu(self.widen(self.before_dense(state))))
        return state + self._dropped(self.narrow(inner))

    def _dropped(self, state: Tensor) -> Tensor:
        return dropout(state, self.dropout, self.training)


def train(
    sequences: Ragged, n_items: int, config: EncoderConfig, *, steps: int, seed: int, look: Callable[[int, Encoder], bool] | None = None
) -> Encoder:
    """Learn by the softmax over the catalogue, its sum estimated from a sample of items that all places of a step share.

    Parameters
    ----------
    sequences
        Each user's items in time order; those with fewer than two are left out.
    n_items
        Size of the catalogue.
    steps
        How many to make.
    seed
        Of the first vectors, of dropout and of the order of the sequences.
    look
        Shown what is learned after every `config.every` steps and after the last one; the training ends when it says so.

    Source
    ------
    Kang, McAuley 2018, Self-attentive sequential recommendation (SASRec, arXiv:1808.09781). The loss is that of Klenitskiy, Vasilev 2023,
    Turning dross into gold loss (arXiv:2309.07602): a softmax over many items, not one negative a place. The items' vectors
    start from the singular vectors of who is near whom, and places are told apart by their distance, not by their number.
    """
    generator = np.random.default_rng(seed)
    popularity = np.log(np.maximum(np.bincount(sequences.item, minlength=n_items), 0.5)).astype(np.float32)
    with repeatable(seed, torch.get_num_threads()):
        network = Network(spectral(sequences, n_items, config.dimensions, seed), popularity, config)
        average = deepcopy(network)
        optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=(0.9, 0.98))
        batches = _batches(sequences, config, generator)
        for step in range(1, steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * min(1, step / _WARM_UP)
            sample = np.sort(generator.choice(n_items, min(config.negatives, n_items), replace=False))
            network.train()
            optimizer.zero_grad()
            loss(network, next(batches), torch.from_numpy(sample)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                for mean, value in zip(average.parameters(), network.parameters(), strict=True):
                    mean.lerp_(value, max(_SHARE, 1 / step))
            if look is not None and (step % config.every == 0 or step == steps) and look(step, average.encoder()):
                break
    return average.encoder()


def loss(network: Network, batch: Tensor, sample: Tensor) -> Tensor:
    """The mean over all places of a batch (n, length + 1), padded at its end with -1, of minus the next item's log share."""
    state, right = network(batch[:, :-1].clamp(min=0)), batch[:, 1:]
    there = right >= 0
    state, right = state[there], right[there]
    own = (state * network.items[right]).sum(1) + network.popularity[right]
    drawn = state @ network.items[sample].T + network.popularity[sample]
    # The right item counts once and exactly; the others of the sample stand for all others.
    others = drawn.masked_fill(sample == right[:, None], -torch.inf).logsumexp(1) + np.log(len(network.items) / len(sample))
    found: Tensor = (torch.logaddexp(own, others) - own).mean()
    return found


def spectral(sequences: Ragged, n_items: int, dimensions: int, seed: int) -> F32:
    """(n_items, dimensions) float32 vectors whose inner products say how near two items lie in the sequences; steps of training saved."""
    near = pairs(sequences, n_items, _REACH, _DECAY)
    scale = sp.diags_array(np.maximum(np.bincount(sequences.item, minlength=n_items), 1) ** -0.5)
    left, power, _ = randomized_svd(scale @ (near + near.T) @ scale, min(dimensions, n_items), n_iter=4, random_state=seed)
    vectors = np.random.default_rng(seed).normal(size=(n_items, dimensions)) * 1e-3
    vectors[:, : len(power)] += left * np.sqrt(power)
    found: F32 = (vectors * _START / np.sqrt(np.mean(vectors**2))).astype(np.float32)
    return found


def _batches(sequences: Ragged, config: EncoderConfig, generator: np.random.Generator) -> Iterator[Tensor]:
    """Pass after pass over the sequences in shuffled batches of about as many places, each (n, longest) padded with -1."""
    lengths = np.minimum(np.diff(sequences.pointer), config.length + 1)
    usable = np.flatnonzero(lengths > 1)
    while True:
        parts: list[I64] = []
        usable = generator.permutation(usable)
        for pool in np.split(usable, range(_POOL, len(usable), _POOL)):
            ordered = pool[np.argsort(lengths[pool], kind="stable")]
            places = np.cumsum(lengths[ordered] - 1)
            parts += np.split(ordered, np.searchsorted(places, range(config.places, int(places[-1]), config.places)))
        for i in generator.permutation(len(parts)):
            if len(parts[i]):
                yield _padded(sequences, parts[i], lengths[parts[i]])


def _padded(sequences: Ragged, rows: I64, lengths: I64) -> Tensor:
    """(n, longest) int64, the last items of some sequences, then -1."""
    batch = np.full((len(rows), int(lengths.max())), -1, np.int64)
    batch[np.arange(batch.shape[1]) < lengths[:, None]] = sequences.item[ranges(sequences.pointer[rows + 1] - lengths, lengths)]
    return torch.from_numpy(batch)
