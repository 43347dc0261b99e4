"""How the fusion network learns from who bought what."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from cortex_rec.arrays import F32, F64, I32, I64, pointers
from cortex_rec.config import FusionEmbedding
from cortex_rec.embeddings.content import Content
from cortex_rec.embeddings.fusion import Fusion, Tower
from cortex_rec.embeddings.fusion_network import Items, Network
from cortex_rec.errors import ConfigError, EmptyTrainingSetError
from cortex_rec.histories import Histories, Past
from cortex_rec.repeatable import repeatable

#: Items of the user that stand for the history of the one to be found, drawn with replacement from so many before and after it: in a
#: year of purchases what was bought in the same weeks says more.
_HISTORY: Final = 5
_NEAR: Final = 40
#: Kept principal components of the pictures. Their variances are made more equal by this power: the first ones tell how much of the
#: picture the thing fills and how bright it is.
_PICTURE: Final = 128
_FLATTENED: Final = 0.5
#: Share of the steps in which the learning rate rises to its height.
_WARM_UP: Final = 0.1
_LONGEST_GRADIENT: Final = 5.0
_NEVER: Final = -1e4
#: Vectors that are prepared at once, as numbers of twice the size.
_BLOCK: Final = 200_000


@dataclass(frozen=True)
class _Purchases:
    """Each user's distinct items in the order of their first purchase, of users with at least two.

    Parameters
    ----------
    item
        (n,) int32 rows.
    pointer
        Where the items of each of these users begin, and where those of the last one end.
    """

    item: I32
    pointer: I64

    @classmethod
    def of(cls, histories: Histories | Past) -> "_Purchases":
        items, counts = [], []
        for _, block in histories.blocks():
            owner, item = block.owner, block.item
            _, first = np.unique(owner * (int(item.max(initial=0)) + 1) + item, return_index=True)
            first.sort()
            number = np.bincount(owner[first], minlength=block.n_users)
            items.append(item[first[number[owner[first]] >= 2]])
            counts.append(number[number >= 2])
        return cls(np.concatenate(items), pointers(np.concatenate(counts)))

    def draw(self, chosen: I64, generator: np.random.Generator) -> tuple[I64, I64]:
        """(n,) items to be found and (n, _HISTORY) items of the same users."""
        user = np.searchsorted(self.pointer, chosen, side="right")
        low, high = np.maximum(self.pointer[user - 1], chosen - _NEAR), np.minimum(self.pointer[user], chosen + _NEAR + 1)
        at = low[:, None] + (generator.random((len(chosen), _HISTORY)) * (high - low - 1)[:, None]).astype(np.int64)
        return self.item[chosen].astype(np.int64), self.item[at + (at >= chosen[:, None])].astype(np.int64)


def fit(
    content: Content,
    histories: Histories | Past,
    config: FusionEmbedding,
    *,
    seed: int,
    threads: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Fusion:
    """Learn from who bought what where items lie, by what they say and show.

    An item is to be found, among those of the same step, from the mean of the vectors of others that its buyer bought. Only what
    describes the item is read, never which one it is, so one that nobody bought yet is placed as well.

    Parameters
    ----------
    content
        All items; words, pictures or attributes may be lacking.
    histories
        Only what happened before the moment as of which it learns; item rows are those of `content`.
    seed, threads
        The result depends on both, on the number of threads in the last bits.
    progress
        Called with the numbers of steps done and to do.

    Raises
    ------
    EmptyTrainingSetError
        If nobody bought two different items.
    ConfigError
        If the steps were so long that the weights are no numbers any more.

    Source
    ------
    A softmax over the items of a step, corrected for how often each is among them: Yi et al. 2019, sampling-bias-corrected neural
    modeling. Volkovs et al. 2017, DropoutNet (parts taken for absent while learning).
    """
    purchases = _Purchases.of(histories)
    if len(purchases.item) == 0:
        raise EmptyTrainingSetError(
            "fusion: nobody bought two different items before the training cut-off. Move `windows.end` or ask for fewer training windows."
        )
    sold = np.flatnonzero(np.bincount(purchases.item, minlength=len(content)))
    text, image = _Prepared.of(content.text, content.text.shape[1], 0), _Prepared.of(content.image, _PICTURE, _FLATTENED)
    tables = {name: _rows(codes, sold) for name, codes in content.attributes.items()}
    coded = [rows[codes] for (rows, _), codes in zip(tables.values(), content.attributes.values(), strict=True)]
    codes = np.stack(coded, axis=1) if coded else np.zeros((len(content), 0), np.int64)
    items = Items(torch.from_numpy(text.vectors), torch.from_numpy(image.vectors), torch.from_numpy(codes))
    sizes, towers = tuple(n for _, n in tables.values()), []
    for tower in range(config.towers):
        with repeatable(seed + tower, threads):
            network = Network(text.vectors.shape[1], image.vectors.shape[1], sizes, config)
            told = partial(_told, progress, tower, config.towers)
            _learn(network, items, purchases, config, np.random.default_rng(seed + tower), told)
        towers.append(Tower(_exported(network, text, image, tuple(tables))))
    if not all(np.isfinite(values).all() for tower in towers for values in tower.weights.values()):
        raise ConfigError(f"embeddings.fusion: the weights grew beyond all bounds. Lower `learning_rate`, now {config.learning_rate}.")
    rows = {name: row.astype(np.int32) for name, (row, _) in tables.items()}
    side_by_side = np.eye(config.towers * config.dimensions, dtype=np.float32)
    fusion = Fusion(content.text.shape[1], content.image.shape[1], rows, tuple(towers), side_by_side)
    of_sold = fusion.place(content.take(sold.astype(np.int32))).vectors
    return replace(fusion, projection=_projection(of_sold, config.dimensions))


def _learn(
    network: Network,
    items: Items,
    purchases: _Purchases,
    config: FusionEmbedding,
    generator: np.random.Generator,
    progress: Callable[[int, int], None],
) -> None:
    n = len(purchases.item)
    batch = min(config.batch_size, n)
    steps = min(config.steps, -(-config.epochs * n // batch))
    frequency = np.bincount(purchases.item, minlength=len(items.codes)) / n
    matrices = [each for name, each in network.named_parameters() if each.ndim == 2 and not name.startswith("attributes")]
    others = [each for name, each in network.named_parameters() if each.ndim < 2 or name.startswith("attributes")]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / (_WARM_UP * steps)) * (1 + np.cos(np.pi * step / steps)) / 2
    )
    network.train()
    order = np.zeros(0, np.int64)
    for step in range(steps):
        if len(order) < batch:
            order = generator.permutation(n)
        chosen, order = order[:batch], order[batch:]
        optimizer.zero_grad()
        _loss(network, items, frequency, *purchases.draw(chosen, generator)).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _LONGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        progress(step + 1, steps)


def _loss(network: Network, items: Items, frequency: F64, wanted: I64, history: I64) -> Tensor:
    """The mean surprise at the items to be found, among all items of the step."""
    drawn, place = np.unique(np.concatenate([wanted[:, None], history], axis=1), return_inverse=True)
    at = torch.from_numpy(place.reshape(len(wanted), -1))
    vectors, appeal = network(items.take(torch.from_numpy(drawn)))
    taste = nn.functional.normalize(vectors[at[:, 1:]].sum(dim=1), dim=1)
    # Best sellers are among the items of nearly every step, others seldom.
    chance = 1 - (1 - frequency[drawn]) ** place.size
    scores = network.sharpness.exp() * (taste @ vectors.T) + appeal - torch.from_numpy(np.log(chance).astype(np.float32))
    return nn.functional.cross_entropy(scores.scatter(1, at[:, 1:], _NEVER), at[:, 0])


@dataclass(frozen=True)
class _Prepared:
    """Vectors about their mean and of a common size, and what turns raw ones into them: `(raw - mean) @ axes`."""

    vectors: F32
    mean: F32
    axes: F32

    @classmethod
    def of(cls, raw: F32, dimensions: int, flattened: float) -> "_Prepared":
        """Keep principal components, each divided by its spread to the power of `flattened`."""
        rows = np.flatnonzero(np.any(raw != 0, axis=1))
        n = len(rows)
        if n < 2:
            empty = np.zeros((raw.shape[1], 0), np.float32)
            return cls(np.zeros((len(raw), 0), np.float32), np.zeros(raw.shape[1], np.float32), empty)

        def total(of: Callable[[F64], F64]) -> F64:
            """The sum of something over blocks of the vectors that are there."""
            return reduce(np.add, (of(raw[rows[at : at + _BLOCK]].astype(np.float64)) for at in range(0, n, _BLOCK)))

        mean = total(lambda known: known.sum(axis=0)) / n
        variance, axes = np.linalg.eigh(total(lambda known: (known - mean).T @ (known - mean)) / n)
        kept = np.flatnonzero(variance > 1e-6 * variance[-1])[::-1][:dimensions]
        axes = axes[:, kept] / np.sqrt(variance[kept]) ** flattened
        axes /= np.sqrt(total(lambda known: np.square((known - mean) @ axes).sum()) / (n * len(kept))) if len(kept) else 1
        vectors = np.zeros((len(raw), len(kept)), np.float32)
        for at in range(0, n, _BLOCK):
            block = rows[at : at + _BLOCK]
            vectors[block] = (raw[block] - mean) @ axes
        return cls(vectors, mean.astype(np.float32), axes.astype(np.float32))


def _rows(codes: I32, bought: I64) -> tuple[I64, int]:
    """For each code, and last for -1, the row that it learns in; and how many there are.

    What stands on one item alone would only tell which item it is, and what nobody bought teaches nothing: both count as unknown.
    """
    n_codes = int(codes.max(initial=-1)) + 1
    times = np.bincount(codes[codes >= 0], minlength=n_codes)
    sold = np.zeros(n_codes + 1, bool)
    sold[codes[bought]] = True
    useful = np.flatnonzero((times >= 2) & sold[:n_codes])
    rows = np.full(n_codes + 1, len(useful), np.int64)
    rows[useful] = np.arange(len(useful))
    return rows, len(useful) + 1


def _projection(vectors: F32, dimensions: int) -> F32:
    """(width, at most `dimensions`): the directions that hold most of the vectors (n, width); all as they are where they are few."""
    width = vectors.shape[1]
    if width <= dimensions:
        return np.eye(width, dtype=np.float32)
    _, axes = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)
    return np.ascontiguousarray(axes[:, ::-1][:, :dimensions]).astype(np.float32)


def _told(progress: Callable[[int, int], None], tower: int, towers: int, done: int, total: int) -> None:
    progress(tower * total + done, towers * total)


def _exported(network: Network, text: _Prepared, image: _Prepared, attributes: tuple[str, ...]) -> dict[str, F32]:
    """Weights transposed, with the preparation folded in."""
    state = {name: values.numpy() for name, values in network.state_dict().items()}
    sharpness = np.exp(state.pop("sharpness"))
    weights = {}
    for name, prepared in (("text", text), ("image", image)):
        inputs, bias = state.pop(f"{name}.linear.weight", None), state.pop(f"{name}.linear.bias", None)
        weight = np.zeros((len(prepared.mean), len(state[f"{name}.absent"])), np.float32) if inputs is None else prepared.axes @ inputs.T
        weights[f"{name}.weight"] = weight
        weights[f"{name}.bias"] = -(prepared.mean @ weight) + (0 if bias is None else bias)
    for number, name in enumerate(attributes):
        weights[f"attribute.{name}"] = state.pop(f"attributes.{number}.weight").copy()
    for name in ("appeal.weight", "appeal.bias"):
        state[name] = state[name] / sharpness
    return weights | {name: np.ascontiguousarray(values.T) for name, values in state.items()}
