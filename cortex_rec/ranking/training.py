"""Training lists: the candidates that would have been served at a past moment, their features then, and what was bought."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F32, I64, Bool, load_arrays, pointers, save_arrays
from cortex_rec.config import Config
from cortex_rec.encoding import Encoded
from cortex_rec.features.assemble import assemble
from cortex_rec.queries import ask
from cortex_rec.snapshot import Snapshot
from cortex_rec.splits import Window, truth

#: Users whose candidates are held in memory at once.
BLOCK = 250


@dataclass(frozen=True)
class TrainingLists:
    """One list a user of one window, with every bought candidate and a sample of the others.

    Parameters
    ----------
    names
        Feature names.
    values
        (n, len(names)) float32.
    bought
        (n,) bool.
    pointer
        (n_users + 1,) int64.
    """

    names: tuple[str, ...]
    values: F32
    bought: Bool
    pointer: I64

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        save_arrays(folder / "lists.safetensors", {"values": self.values, "bought": self.bought, "pointer": self.pointer})
        (folder / "names.json").write_text(json.dumps(self.names), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(tuple(json.loads((folder / "names.json").read_text(encoding="utf-8"))), **load_arrays(folder / "lists.safetensors"))


def build(snapshot: Snapshot, encoded: Encoded, window: Window, config: Config) -> TrainingLists:
    """Ask the retrievers as of the window's start for everybody who bought in it, and label what they found.

    Parameters
    ----------
    snapshot
        Fitted as of `window.start`.
    """
    users, bought = truth(encoded.histories, window)
    generator = np.random.default_rng([config.seed, window.start])
    values, labels, counts = [], [], []
    names: tuple[str, ...] = ()
    for start in range(0, len(users), BLOCK):
        queries = ask(encoded.histories, users[start : start + BLOCK], window.start, len(encoded.items))
        candidates = snapshot.union.retrieve(queries)
        lists = candidates.lists
        label = np.isin((lists.owner + start) * len(encoded.items) + lists.item, bought.owner * len(encoded.items) + bought.item)
        kept = sample(lists.owner, label, config.ranking.negatives, generator)
        matrix = assemble(queries, candidates, snapshot, encoded.catalogue)
        names = matrix.names
        values.append(matrix.values[kept])
        labels.append(label[kept])
        counts.append(np.bincount(lists.owner[kept], minlength=len(queries)))
    return TrainingLists(names, np.concatenate(values), np.concatenate(labels), pointers(np.concatenate(counts)))


def sample(owner: I64, bought: Bool, negatives: int, generator: np.random.Generator) -> I64:
    """Positions, ascending, of all bought candidates and of at most `negatives` random others of each list."""
    order = np.lexsort((generator.random(len(owner)), bought, owner))
    start = np.searchsorted(owner, owner)
    place = np.empty(len(owner), np.int64)
    place[order] = np.arange(len(owner)) - start[order]
    return np.flatnonzero(bought | (place < negatives))


def groups(lists: list[TrainingLists]) -> I64:
    """Lengths of all lists with at least one candidate, in order."""
    sizes = np.concatenate([np.diff(each.pointer) for each in lists])
    return sizes[sizes > 0]
