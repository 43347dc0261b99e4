"""The neural ranker in torch: the network that `neural.Neural` answers as, and how it learns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from cortex_rec.arrays import F32, I64, Array, ranges
from cortex_rec.config import Neural as NeuralConfig
from cortex_rec.errors import ConfigError
from cortex_rec.ranking.neural import HABITS, habits, tells
from cortex_rec.ranking.piecewise import Piecewise
from cortex_rec.ranking.training import TrainingLists
from cortex_rec.repeatable import device, repeatable

#: Share of the steps in which the learning rate rises to its height.
_WARM_UP: Final = 0.1
#: Gradients longer than this are shortened to it.
_LONGEST_GRADIENT: Final = 5.0
#: Inputs lie in [0, 1]; while learning they are kept in so many steps, in a quarter of the memory.
_GRAIN: Final = 255
#: Rows that are encoded at once.
_ROWS: Final = 8_192


@dataclass(frozen=True)
class Batch:
    """Some lists of one window.

    Parameters
    ----------
    counts
        Candidates of each list.
    inputs
        (n, width) float32 encoded features.
    item, bought, weight
        (n,) of the candidates: rows, labels, how many candidates each stands for.
    recent, habit
        (n_lists, length) rows and (n_lists, length, HABITS) of the latest items.
    vectors
        (n_items, d) scaled vectors of all items.
    """

    counts: list[int]
    inputs: Tensor
    item: Tensor
    bought: Tensor
    weight: Tensor
    recent: Tensor
    habit: Tensor
    vectors: Tensor


class Network(nn.Module):
    """Features, the candidate's vector and what the history says of it, crossed explicitly and by a deep part.

    Source
    ------
    Zhou et al. 2018, Deep interest network (target attention); Vaswani et al. 2017 (scaled dot products, heads);
    Wang et al. 2021, DCN V2 (low-rank crosses).
    """

    def __init__(self, inputs: int, dimensions: int, config: NeuralConfig) -> None:
        super().__init__()
        width = config.item_width
        self.first = nn.Linear(inputs, config.width)
        self.item = nn.Linear(dimensions, width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.habit_key, self.habit_value = nn.Linear(HABITS, width), nn.Linear(HABITS, width)
        self.habit_bias = nn.Linear(HABITS, config.heads)
        self.same = nn.Parameter(torch.ones(config.heads))
        joined = config.width + 3 * width + config.heads
        self.cross_in = nn.ModuleList(nn.Linear(joined, config.cross_rank, bias=False) for _ in range(config.crosses))
        self.cross_out = nn.ModuleList(nn.Linear(config.cross_rank, joined) for _ in range(config.crosses))
        sizes = [joined, *config.deep]
        self.deep = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.last = nn.Linear(sizes[-1] + joined, 1)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """(n,) scores."""
        candidate = self.item(batch.vectors[batch.item])
        context, attention = self._attended(candidate, batch)
        joined = torch.cat([torch.relu(self.first(batch.inputs)), candidate, context, candidate * context, attention], dim=1)
        crossed = joined
        for reduce, expand in zip(self.cross_in, self.cross_out, strict=True):
            crossed = crossed + joined * expand(reduce(crossed))
        deep = joined
        for layer in self.deep:
            deep = self.dropout(torch.relu(layer(deep)))
        scores: Tensor = self.last(torch.cat([deep, crossed], dim=1))[:, 0]
        return scores

    def _attended(self, candidate: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        lists, length = batch.recent.shape
        heads = len(self.same)
        vectors = self.item(batch.vectors[batch.recent.clamp(min=0)])
        keys = (self.key(vectors) + self.habit_key(batch.habit)).view(lists, length, heads, -1)
        values = (self.value(vectors) + self.habit_value(batch.habit)).view(lists, length, heads, -1)
        query = _padded(self.query(candidate), batch).view(lists, -1, heads, keys.shape[3])
        item = _padded(batch.item, batch, with_value=-2)
        fit = torch.einsum("blhd,brhd->bhlr", query, keys) / keys.shape[3] ** 0.5
        fit = fit + self.habit_bias(batch.habit).permute(0, 2, 1)[:, :, None]
        fit = fit + self.same[:, None, None] * (item[:, None, :, None] == batch.recent[:, None, None])
        fit = fit.masked_fill((batch.recent < 0)[:, None, None], -torch.inf)
        total = torch.logsumexp(torch.cat([fit, torch.zeros_like(fit[..., :1])], dim=3), dim=3, keepdim=True)
        context = torch.einsum("bhlr,brhd->blhd", torch.exp(fit - total), values).flatten(2)
        there = item != -2
        return context[there], total[..., 0].permute(0, 2, 1)[there]


class _Window:
    """One window's lists as tensors, from which batches are taken."""

    def __init__(self, lists: TrainingLists, features: Sequence[str], pieces: Piecewise, scale: F32, config: NeuralConfig) -> None:
        matrix = lists.matrix
        self._pointer = matrix.lists.pointer
        self._inputs = torch.from_numpy(_encoded(matrix.columns(features), pieces))
        self._item = torch.from_numpy(matrix.lists.item.astype(np.int64))
        self._bought = torch.from_numpy(lists.bought)
        self._weight = torch.from_numpy(lists.weight)
        recent, length = matrix.recent, config.history
        self._recent = torch.from_numpy(recent.item[:, :length].astype(np.int64))
        self._habit = torch.from_numpy(habits(recent.days[:, :length], recent.baskets[:, :length]))
        self._vectors = torch.from_numpy(matrix.vectors * scale)
        #: (n,) the lists to learn from
        self.telling: I64 = np.flatnonzero(tells(lists))

    def to(self, device: torch.device) -> "_Window":
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    def batch(self, chosen: I64) -> Batch:
        counts = np.diff(self._pointer)[chosen]
        rows = torch.from_numpy(ranges(self._pointer[chosen], counts)).to(self._item.device)
        lists = torch.from_numpy(chosen).to(self._item.device)
        inputs = self._inputs[rows].float() / _GRAIN
        item, bought, weight = self._item[rows], self._bought[rows], self._weight[rows]
        return Batch(counts.tolist(), inputs, item, bought, weight, self._recent[lists], self._habit[lists], self._vectors)


def train(
    lists: Sequence[TrainingLists],
    validation: Sequence[TrainingLists],
    features: Sequence[str],
    pieces: Piecewise,
    config: NeuralConfig,
    *,
    seed: int,
    threads: int,
    at: torch.device | None = None,
) -> dict[str, F32]:
    """Learn scores whose softmax over a list tells what was bought from what was not.

    Parameters
    ----------
    lists
        Training lists, one a window; at least one list has both bought and other candidates.
    validation
        The weights of the epoch with the least loss on these lists are kept; the last epoch's without any.
    features, pieces
        The columns that are read, and how they become inputs.
    at
        Where to train; `repeatable.device()` when absent.

    Returns
    -------
    dict
        float32 arrays as `neural.Neural` takes them.

    Raises
    ------
    ConfigError
        If the steps were so long that the weights are no numbers any more.

    Source
    ------
    Bruch et al. 2019, An analysis of the softmax cross entropy loss for learning-to-rank with binary relevance; a sampled
    candidate that was not bought counts in the denominator for all that it stands for.
    """
    at = at or device()
    with repeatable(seed, threads):
        scale = _scale(lists)
        windows, judged = ([_Window(each, features, pieces, scale, config).to(at) for each in several] for several in (lists, validation))
        network = Network(pieces.width, len(scale), config).to(at)
        optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        generator = np.random.default_rng(seed)
        steps = config.epochs * sum(-(-len(window.telling) // config.lists_a_step) for window in windows)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / (_WARM_UP * steps)) * (1 + np.cos(np.pi * step / steps)) / 2
        )
        best, least = network.state_dict(), np.inf
        for _ in range(config.epochs):
            network.train()
            for batch in _batches(windows, config.lists_a_step, generator):
                optimizer.zero_grad()
                loss(network(batch), batch).mean().backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), _LONGEST_GRADIENT)
                optimizer.step()
                schedule.step()
            lost = _judge(network, judged, config.lists_a_step)
            if lost <= least:
                best, least = {name: value.clone() for name, value in network.state_dict().items()}, lost
        weights = _exported(best, scale, config)
    if not all(np.isfinite(values).all() for values in weights.values()):
        raise ConfigError(f"ranking.neural: the weights grew beyond all bounds. Lower `learning_rate`, now {config.learning_rate}.")
    return weights


def loss(scores: Tensor, batch: Batch) -> Tensor:
    """(n_lists,) minus the logs of the bought candidates' shares in the softmax of their list, over the root of their number.

    Their mean would make a list with one bought item as loud as one with thirty, which says more; their sum would leave the small
    baskets unheard.
    """
    padded = _padded(scores + torch.log(batch.weight), batch, with_value=-torch.inf)
    wanted = _padded(batch.bought, batch)
    surprise = torch.logsumexp(padded, dim=1, keepdim=True) - padded
    return torch.where(wanted, surprise, 0).sum(dim=1) / wanted.sum(dim=1).sqrt()


def _padded(values: Tensor, batch: Batch, with_value: float = 0) -> Tensor:
    """(n_lists, longest list, ...) of (n, ...)."""
    return pad_sequence(list(torch.split(values, batch.counts)), batch_first=True, padding_value=with_value)


def _batches(windows: Sequence[_Window], size: int, generator: np.random.Generator) -> Iterator[Batch]:
    """All telling lists in random batches, each of one window."""
    parts = []
    for window in windows:
        shuffled = generator.permutation(window.telling)
        parts += [(window, shuffled[start : start + size]) for start in range(0, len(shuffled), size)]
    for place in generator.permutation(len(parts)):
        window, chosen = parts[place]
        yield window.batch(chosen)


@torch.no_grad()
def _judge(network: Network, windows: Sequence[_Window], size: int) -> float:
    """The mean loss on all telling lists; 0 where there is none, so that each epoch counts as better than those before."""
    network.eval()
    losses = [
        loss(network(batch), batch)
        for window in windows
        for batch in (window.batch(window.telling[start : start + size]) for start in range(0, len(window.telling), size))
    ]
    return float(torch.cat(losses).mean()) if losses else 0.0


def _encoded(values: F32, pieces: Piecewise) -> Array:
    """(n, width) uint8, a block of rows at a time."""
    result = np.empty((len(values), pieces.width), np.uint8)
    for start in range(0, len(values), _ROWS):
        result[start : start + _ROWS] = np.rint(pieces.encode(values[start : start + _ROWS]) * _GRAIN)
    return result


def _scale(lists: Sequence[TrainingLists]) -> F32:
    """(d,) float32 that brings each coordinate of the items' vectors to a spread of one; zero where all are the same."""
    vectors = lists[-1].matrix.vectors
    placed = vectors[np.any(vectors != 0, axis=1)]
    spread = placed.std(axis=0) if len(placed) else np.zeros(vectors.shape[1], np.float32)
    # The mean of equal numbers is rounded, so their spread is not quite zero.
    scale: F32 = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6)
    return scale


def _exported(state: dict[str, Tensor], scale: F32, config: NeuralConfig) -> dict[str, F32]:
    """Weights transposed, with the constants of the training folded in."""
    arrays = {name: value.cpu().numpy() for name, value in state.items()}
    weights = {name: np.ascontiguousarray(value.T) if name.endswith("weight") else value for name, value in arrays.items()}
    weights["item.weight"] = weights["item.weight"] * scale[:, None]
    for name in ("query.weight", "query.bias"):
        weights[name] = weights[name] / np.float32(np.sqrt(config.item_width // config.heads))
    return weights
