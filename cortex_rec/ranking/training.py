"""Training lists: the candidates that would have been served at a past moment, their features then, and what was bought."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from cortex_rec.arrays import F32, I64, Array, Bool, Ragged, is_in, load_arrays, pointers, save_arrays, vars_of
from cortex_rec.config import Config
from cortex_rec.encoding import Encoded
from cortex_rec.features.assemble import Matrix, assemble
from cortex_rec.features.recent import Recent
from cortex_rec.queries import ask
from cortex_rec.snapshot import Snapshot
from cortex_rec.splits import Window, truth

#: Users whose candidates are held in memory at once.
BLOCK = 250
#: Users of a part, where the parts of a window are built apart from each other: a multiple of `BLOCK`.
PART: Final = 500
#: Lists kept apart below which figures on them jump: windows before the last are drawn on, too.
FEWEST: Final = 250
#: Share of all rows of which a feature is known at least; `expectations/features.json` calls less a fault.
LEAST_KNOWN: Final = 0.0005


@dataclass(frozen=True)
class TrainingLists:
    """One list a user of one window, with every bought candidate and a sample of the others.

    Parameters
    ----------
    matrix
        What a ranker reads.
    bought
        (n,) bool.
    weight
        (n,) float32 how many candidates a row stands for: 1 for a bought one, for another one the candidates of its list that were
        not bought over those of them that were kept. Weighted figures are those of whole lists.
    """

    matrix: Matrix
    bought: Bool
    weight: F32

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        matrix = self.matrix
        arrays = {f"recent_{name}": values for name, values in vars_of(matrix.recent).items()}
        arrays |= {"pointer": matrix.lists.pointer, "item": matrix.lists.item, "values": matrix.values, "vectors": matrix.vectors}
        save_arrays(folder / "lists.safetensors", arrays | {"bought": self.bought, "weight": self.weight})
        (folder / "names.json").write_text(json.dumps(matrix.names), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_arrays(folder / "lists.safetensors")
        recent = Recent(arrays["recent_item"], arrays["recent_days"], arrays["recent_baskets"])
        names = tuple(json.loads((folder / "names.json").read_text(encoding="utf-8")))
        matrix = Matrix(Ragged(arrays["pointer"], arrays["item"]), names, arrays["values"], recent, arrays["vectors"])
        return cls(matrix, arrays["bought"], arrays["weight"])


def build(snapshot: Snapshot, encoded: Encoded, window: Window, config: Config, blocks: slice = slice(None)) -> TrainingLists:
    """Ask the retrievers as of the window's start for those who bought in it (`windows.users` at most), and label what they found.

    Parameters
    ----------
    snapshot
        Fitted as of `window.start`.
    blocks
        Which of the window's blocks of `BLOCK` users; each has its own draw of negatives, so that `joined` parts are the same as the whole.
    """
    users, bought = truth(encoded.histories, window, most=config.windows.users, seed=config.seed)
    parts: list[TrainingLists] = []
    for start in range(0, len(users), BLOCK)[blocks]:
        generator = np.random.default_rng([config.seed, window.start, start])
        queries = ask(encoded.histories, users[start : start + BLOCK], window.start, len(encoded.items))
        candidates = snapshot.union.retrieve(queries)
        label = is_in(candidates.lists, bought.take(np.arange(start, start + len(queries))))
        matrix = assemble(queries, candidates, snapshot, encoded.catalogue)
        parts.append(sampled(matrix, label, config.ranking.negatives, generator))
    return joined(parts)


def joined(parts: Sequence[TrainingLists]) -> TrainingLists:
    """Lists of one window's users, one part after another."""
    matrices = [part.matrix for part in parts]
    lists = Ragged.joined([matrix.lists for matrix in matrices])
    recent = Recent(*(np.concatenate([getattr(matrix.recent, name) for matrix in matrices]) for name in ("item", "days", "baskets")))
    matrix = Matrix(lists, matrices[0].names, np.concatenate([each.values for each in matrices]), recent, matrices[0].vectors)
    return TrainingLists(matrix, np.concatenate([part.bought for part in parts]), np.concatenate([part.weight for part in parts]))


def parts(n_users: int) -> list[slice]:
    """Blocks of a window with so many users, cut into parts of `PART` users, for `build`."""
    return [slice(at, at + PART // BLOCK) for at in range(0, -(-n_users // BLOCK), PART // BLOCK)]


def sampled(matrix: Matrix, bought: Bool, negatives: int, generator: np.random.Generator) -> TrainingLists:
    """All bought candidates and at most `negatives` random others of each list."""
    lists = matrix.lists
    kept = sample(lists.owner, bought, negatives, generator)
    owner, n = lists.owner[kept], len(lists)
    others = np.bincount(lists.owner[~bought], minlength=n) / np.maximum(np.bincount(owner[~bought[kept]], minlength=n), 1)
    weight = np.where(bought[kept], 1, others[owner]).astype(np.float32)
    return TrainingLists(matrix.rows(kept), bought[kept], weight)


def sample(owner: I64, bought: Bool, negatives: int, generator: np.random.Generator) -> I64:
    """Positions, ascending, of all bought candidates and of at most `negatives` random others of each list."""
    order = np.lexsort((generator.random(len(owner)), bought, owner))
    start = np.searchsorted(owner, owner)
    place = np.empty(len(owner), np.int64)
    place[order] = np.arange(len(owner)) - start[order]
    return np.flatnonzero(bought | (place < negatives))


def held_out(lists: Sequence[TrainingLists], share: float, *, seed: int) -> tuple[list[TrainingLists], list[TrainingLists]]:
    """What to learn from, and a share of the last window's users kept apart; at least one user is on either side where there are two.

    The last window is the one most like the days to come, so it is where stopping and calibration are judged; its other
    users are learned from. A shop with few users a window keeps some of the windows before it apart, too.
    """
    sizes = np.array([len(each.matrix.lists) for each in lists])
    enough = np.flatnonzero(share * np.cumsum(sizes[::-1]) >= FEWEST)
    judged = int(enough[0]) + 1 if len(enough) else len(lists)
    learned, validation = list(lists[:-judged]), []
    for each in lists[-judged:]:
        n = len(each.matrix.lists)
        apart = np.zeros(n, bool)
        apart[np.random.default_rng([seed, n]).permutation(n)[: min(max(round(share * n), 1), n - 1)]] = True
        learned.append(_of_users(each, ~apart))
        validation.append(_of_users(each, apart))
    return learned, validation


def groups(lists: Sequence[TrainingLists]) -> I64:
    """Lengths of all lists with at least one candidate, in order."""
    sizes = np.concatenate([np.diff(each.matrix.lists.pointer) for each in lists])
    return sizes[sizes > 0]


def bought(lists: Sequence[TrainingLists]) -> Bool:
    """(n,) bool over all windows."""
    return np.concatenate([each.bought for each in lists])


def named(lists: Sequence[TrainingLists]) -> tuple[str, ...]:
    """The feature names of all windows, in the order in which they are first met."""
    return tuple(dict.fromkeys(name for each in lists for name in each.matrix.names))


def column(lists: Sequence[TrainingLists], name: str) -> F32:
    """(n,) float32 values of one feature over all windows, NaN where a window lacks it."""
    return np.concatenate([each.matrix.columns([name])[:, 0] for each in lists])


def informative(lists: Sequence[TrainingLists]) -> tuple[str, ...]:
    """Names of the features that tell something.

    Over all windows together they take two values, of which NaN may be one, and are known of a share `LEAST_KNOWN` of the rows: the gap
    between two purchases of an item, where hardly anybody buys twice, is learned from a handful of users.
    """
    return tuple(name for name in named(lists) if _varies(column(lists, name)))


def spread(scores: Sequence[Array], lists: Sequence[TrainingLists]) -> float:
    """Standard deviation of scores around the mean of each list, over all windows; 1 where all of a list are the same."""
    squares, rows = 0.0, 0
    for found, each in zip(scores, lists, strict=True):
        owner, values = each.matrix.lists.owner, found.astype(np.float64)
        mean = np.bincount(owner, values) / np.maximum(np.bincount(owner), 1)
        squares += float(np.sum((values - mean[owner]) ** 2))
        rows += len(values)
    return float(np.sqrt(squares / rows)) if squares > 0 else 1.0


def _of_users(lists: TrainingLists, chosen: Bool) -> TrainingLists:
    """The lists of some users; `chosen` is (n_lists,) bool."""
    matrix = lists.matrix
    rows = chosen[matrix.lists.owner]
    kept = Ragged(pointers(np.diff(matrix.lists.pointer)[chosen]), matrix.lists.item[rows])
    recent = Recent(*(values[chosen] for values in vars_of(matrix.recent).values()))
    return TrainingLists(Matrix(kept, matrix.names, matrix.values[rows], recent, matrix.vectors), lists.bought[rows], lists.weight[rows])


def _varies(values: F32) -> bool:
    known = values[~np.isnan(values)]
    return len(known) > 0 and len(known) >= LEAST_KNOWN * len(values) and (len(known) < len(values) or bool(np.any(known != known[0])))
