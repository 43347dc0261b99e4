"""The next item by what was bought in which order: counted transitions and a transformer over the history, mixed."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
from threadpoolctl import ThreadpoolController

from cortex_rec.arrays import F32, F64, I32, I64, Ragged, find, load_arrays, save_arrays, vars_of
from cortex_rec.config import Sequence as SequenceConfig
from cortex_rec.errors import EmptyTrainingSetError
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval import transitions
from cortex_rec.retrieval.protocol import Evidence, ScoresAll
from cortex_rec.retrieval.sequence_encoder import Encoder
from cortex_rec.retrieval.transitions import Transitions

#: What is looked at to end the training and to mix: NDCG of so many items.
K: Final = 20
#: What an item has of the counts' chance that never followed one of the history.
FLOOR: Final = np.float32(1e-3)
#: The shares of the transformer that are tried.
SHARES: Final = np.linspace(0, 1, 11)
#: Held-out users whose scores of all items are in memory at once.
BLOCK: Final = 512
_LOG: Final = logging.getLogger(__name__)
# Several threads sum a product in another order than one does.
_blas: Final = ThreadpoolController().select(user_api="blas")


@dataclass(frozen=True)
class Sequence(ScoresAll):
    """An item's score is the geometric mean of two estimates of the chance that it is next: a stranger is answered as a known user is.

    Parameters
    ----------
    sold
        (k,) int32 ascending rows of the items with a purchase; both parts number those alone.
    n_items
        (1,) int32 size of the catalogue.
    share
        (1,) float32, the weight of the transformer in that mean.
    transitions, encoder
        The parts.
    """

    sold: I32
    n_items: I32
    share: F32
    transitions: Transitions
    encoder: Encoder

    def scores(self, lists: Ragged) -> F32:
        """(len(lists), n_items) float32 for histories in time order, above zero; zeros where no item of the history was ever sold."""
        own = _numbered(lists, self.sold)
        known = np.exp(_mixed(*_logs(self.transitions, self.encoder, own), float(self.share[0])))
        known[np.diff(own.pointer) == 0] = 0
        found = np.zeros((len(lists), int(self.n_items[0])), np.float32)
        found[:, self.sold] = known
        return found

    def _dense(self, queries: Queries) -> Iterator[F64]:
        # One after the other, since the products of several histories round otherwise.
        pointer, item = queries.histories.pointer, queries.histories.item
        for i in range(len(queries)):
            with _blas.limit(limits=1):
                found = self.scores(Ragged.of([item[pointer[i] : pointer[i + 1]]]))[0]
            yield found.astype(np.float64)

    def widened(self, new: Newcomers) -> Self:
        return replace(self, n_items=self.n_items + np.int32(len(new)))

    def save(self, folder: Path) -> None:
        save_arrays(folder / "sequence.safetensors", {"sold": self.sold, "n_items": self.n_items, "share": self.share})
        save_arrays(folder / "transitions.safetensors", vars_of(self.transitions))
        save_arrays(folder / "encoder.safetensors", self.encoder.weights)

    @classmethod
    def load(cls, folder: Path) -> Self:
        parts = Transitions(**load_arrays(folder / "transitions.safetensors")), Encoder(load_arrays(folder / "encoder.safetensors"))
        return cls(**load_arrays(folder / "sequence.safetensors"), transitions=parts[0], encoder=parts[1])


def fit(evidence: Evidence, config: SequenceConfig, *, start: object = None) -> Sequence:
    """Learn from all users' purchases in time order."""
    histories = evidence.histories.whole()
    return learn(Ragged(histories.pointer, histories.item), evidence.n_items, config, seed=evidence.seed)


def learn(sequences: Ragged, n_items: int, config: SequenceConfig, *, seed: int) -> Sequence:
    """Find out on some sequences' last items how long to train and how to mix, then learn both parts from everything.

    Parameters
    ----------
    sequences
        Each user's items in time order.
    n_items
        Size of the catalogue.
    seed
        Of who is held out and of the transformer.

    Raises
    ------
    EmptyTrainingSetError
        If no sequence has three items: one to hold out, and a pair to learn from.
    """
    # Imported here so that a service that only answers never loads torch.
    from cortex_rec.retrieval import sequence_training

    sold = np.unique(sequences.item).astype(np.int32)
    sequences = _numbered(sequences, sold)
    users = np.flatnonzero(np.diff(sequences.pointer) >= 3)
    if len(users) == 0:
        raise EmptyTrainingSetError(
            "No user has three purchases before the training cut-off: the sequence retriever holds one out and learns from pairs. "
            "Take an earlier start of the data, or leave this retriever out.",
            table="interactions",
        )
    users = np.sort(np.random.default_rng(seed).permutation(users)[: config.judged])
    rest, known, truth = _without_last(sequences, users)
    counts = transitions.learn(rest, len(sold), config.transitions)
    looks: list[tuple[int, F64]] = []

    def look(step: int, encoder: Encoder) -> bool:
        looks.append((step, judged(counts, encoder, known, truth)))
        found = looks[-1][1]
        _LOG.info("sequence: %d steps, held-out ndcg@%d %.4f alone, %.4f mixed, %.4f without", step, K, found[-1], found.max(), found[0])
        best_step = max(looks, key=_alone)[0]
        return step - best_step >= config.encoder.patience * config.encoder.every

    sequence_training.train(rest, len(sold), config.encoder, steps=config.encoder.steps, seed=seed, look=look)
    steps, figures = max(looks, key=_alone)
    share = SHARES[np.argmax(figures)]
    return Sequence(
        sold,
        np.array([n_items], np.int32),
        np.array([share], np.float32),
        transitions.learn(sequences, len(sold), config.transitions),
        sequence_training.train(sequences, len(sold), config.encoder, steps=steps, seed=seed),
    )


def judged(counts: Transitions, encoder: Encoder, known: Ragged, truth: I32) -> F64:
    """(len(SHARES),) float64 NDCG of the first `K` items with each share of the transformer; the history's own items take no place."""
    total = np.zeros(len(SHARES))
    for part in np.split(np.arange(len(known)), range(BLOCK, len(known), BLOCK)):
        lists, rows = known.take(part), np.arange(len(part))
        logs = _logs(counts, encoder, lists)
        for i, share in enumerate(SHARES):
            found = _mixed(*logs, share)
            right = found[rows, truth[part]][:, None]
            found[lists.owner, lists.item] = -np.inf
            # Of those that tie half are before it.
            rank = np.sum(found > right, axis=1) + np.maximum(np.sum(found == right, axis=1) - 1, 0) / 2
            total[i] += np.sum(np.where(rank < K, 1 / np.log2(rank + 2), 0))
    return total / len(known)


def _alone(look: tuple[int, F64]) -> float:
    """What the transformer reaches without the counts, by which the training ends."""
    return float(look[1][-1])


def _logs(counts: Transitions, encoder: Encoder, lists: Ragged) -> tuple[F32, F32]:
    """The two estimates (len(lists), n) of the logarithm of each item's chance to be next."""
    counted, learned = counts.scores(lists), encoder.logits(lists)
    total = counted.sum(axis=1, keepdims=True)
    np.divide(counted, total, out=counted, where=total > 0)
    learned -= learned.max(axis=1, keepdims=True)
    return np.log(counted + FLOOR), learned - np.log(np.exp(learned).sum(axis=1, keepdims=True))


def _mixed(counted: F32, learned: F32, share: float) -> F32:
    """The weighted mean of the logarithms: what both hold for likely comes first."""
    found: F32 = counted * np.float32(1 - share)
    found += learned * np.float32(share)
    return found


def _numbered(lists: Ragged, sold: I32) -> Ragged:
    """The same lists without what was never sold, in the numbering of what was."""
    rows = find(sold, lists.item)
    kept = rows >= 0
    return Ragged.from_owner(lists.owner[kept], rows[kept].astype(np.int32), len(lists))


def _without_last(sequences: Ragged, users: I64) -> tuple[Ragged, Ragged, I32]:
    """All sequences without the last item of some users, those users' alone, and these last items."""
    last = sequences.pointer[users + 1] - 1
    kept = np.ones(len(sequences.item), bool)
    kept[last] = False
    rest = Ragged.from_owner(sequences.owner[kept], sequences.item[kept], len(sequences))
    return rest, rest.take(users), sequences.item[last]
