"""Any file whose lines are `user item item …` in time order, by the leave-one-out protocol of papers on sequential recommendation.

`make bench NAME=sequences DATA=<file>`; `METHODS=popularity,transitions` runs some of the rows. Of each user with three items or more the
last one is test: all items are ranked for the history before it, and HR@10 and NDCG@10 are means over the users. What is before the last
item is learned from, the last but one included. Where no sequence has an item twice before its last one, the history's items are masked;
otherwise none is. Figures without a mask stand beside. With `VALIDATION=1` the last items are first taken out of the data, so that the last
but one is test: where settings are chosen. `transformer` and `sequence` are learned once, in the time of the first of them.
"""

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.harness import ROOT, VALIDATION, Benchmark, asked
from cortex_rec.arrays import F32, I64, Ragged
from cortex_rec.config import Sequence as SequenceConfig
from cortex_rec.config import Transitions as TransitionsConfig
from cortex_rec.errors import DataError
from cortex_rec.evaluation.full_ranking import Scores, judge
from cortex_rec.retrieval import sequence, transitions
from cortex_rec.retrieval.sequence import Sequence
from cortex_rec.sources import sequence_text

DATA: Final = ROOT.parent / "shared" / "data" / "amazon-beauty" / "Beauty.txt"
K: Final = 10
SEED: Final = 7
#: Shorter sequences are learned from and not judged.
LEAST: Final = 3


@dataclass(frozen=True, eq=False)
class Split:
    """Each user's items but the last, and that one; of sequences that are too short everything and nothing."""

    train: Ragged
    test: Ragged
    n_items: int

    @cached_property
    def repeats(self) -> bool:
        """Whether a training sequence has an item twice."""
        return len(np.unique(self.train.owner * self.n_items + self.train.item)) < len(self.train.item)

    @property
    def nothing(self) -> Ragged:
        """An empty list for each user."""
        return Ragged(np.zeros_like(self.train.pointer), self.train.item[:0])


def read(path: Path, validation: bool) -> Split:
    """The split of a file; with `validation` as if every last item were not there.

    Raises
    ------
    DataError
        If the file cannot be read, or no line is long enough to be judged.
    """
    sequences, n_items = sequence_text.read(path)
    train, test = last_apart(sequences)
    if validation:
        train, test = last_apart(train)
    if len(test.item) == 0:
        raise DataError(f"{path}: no line has {LEAST + validation} items or more: nobody can be judged.", table="interactions")
    return Split(train, test, n_items)


def last_apart(sequences: Ragged) -> tuple[Ragged, Ragged]:
    """The sequences without their last item, and that one, where there are `LEAST`."""
    is_last = np.zeros(len(sequences.item), bool)
    is_last[sequences.pointer[1:][np.diff(sequences.pointer) >= LEAST] - 1] = True
    rest, last = (Ragged.from_owner(sequences.owner[part], sequences.item[part], len(sequences)) for part in (~is_last, is_last))
    return rest, last


def popularity(split: Split) -> Scores:
    """Everybody gets what occurs most often in train."""
    times = np.bincount(split.train.item, minlength=split.n_items).astype(np.float32)
    return lambda users: np.tile(times, (len(users), 1))


def markov(split: Split) -> Scores:
    """The plain baseline: how often the last item was followed at once by each."""
    return _transitions(split, TransitionsConfig(reach=1, backward=0, in_power=0, out_power=0, fading=100))


def closed_form(split: Split) -> Scores:
    """Near pairs in both directions, all items of the history."""
    return _transitions(split, TransitionsConfig())


def transformer(split: Split) -> Scores:
    """The learned part of the mixture alone."""
    model = _mixture(split)

    def scores(users: I64) -> F32:
        found = np.full((len(users), split.n_items), -np.inf, np.float32)
        # The items of train are numbered anew in their order.
        history = split.train.take(users)
        found[:, model.sold] = model.encoder.logits(Ragged(history.pointer, np.searchsorted(model.sold, history.item).astype(np.int32)))
        return found

    return scores


def mixture(split: Split) -> Scores:
    """The retriever: both parts."""
    model = _mixture(split)
    return lambda users: model.scores(split.train.take(users))


def _transitions(split: Split, config: TransitionsConfig) -> Scores:
    model = transitions.learn(split.train, split.n_items, config)
    return lambda users: model.scores(split.train.take(users))


@cache
def _mixture(split: Split) -> Sequence:
    """Learned once for both rows that it answers."""
    return sequence.learn(split.train, split.n_items, SequenceConfig(), seed=SEED)


METHODS: Final[dict[str, Callable[[Split], Scores]]] = {
    "popularity": popularity,
    "markov": markov,
    "transitions": closed_form,
    "transformer": transformer,
    "sequence": mixture,
}
#: What the figures of the JSON file's own `hr@10` and `ndcg@10` are of.
BEST: Final = "sequence"


def measured(split: Split, method: str) -> dict[str, Any]:
    """One row of the table."""
    started, spent = time.perf_counter(), time.process_time()
    scores = METHODS[method](split)
    trained, trained_cpu = time.perf_counter() - started, time.process_time() - spent
    users = np.flatnonzero(np.diff(split.test.pointer))
    started = time.perf_counter()
    figures = judge(scores, users, split.nothing if split.repeats else split.train, split.test, K)
    ranked = time.perf_counter() - started
    unmasked = figures if split.repeats else judge(scores, users, split.nothing, split.test, K)
    return {
        "method": method,
        "default": method == BEST,
        f"hr@{K}": round(float(figures[f"recall@{K}"].mean()), 6),
        f"ndcg@{K}": round(float(figures[f"ndcg@{K}"].mean()), 6),
        f"unmasked hr@{K}": round(float(unmasked[f"recall@{K}"].mean()), 6),
        f"unmasked ndcg@{K}": round(float(unmasked[f"ndcg@{K}"].mean()), 6),
        "train_seconds": round(trained, 1),
        "train_cpu_seconds": round(trained_cpu, 1),
        "queries_per_second": round(len(users) / ranked),
    }


def main(name: str = "sequences") -> None:
    """Print one row a method."""
    data, methods = asked(name, __doc__, METHODS, data=DATA, what="file whose lines are `user item item …` in time order, or its .gz")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    benchmark, rows = Benchmark(name, seed=SEED), []
    try:
        split = read(data, VALIDATION)
    except DataError as error:
        sys.exit(str(error))
    for method in methods:
        rows.append(measured(split, method))
        print(f"{method}: {rows[-1][f'hr@{K}']:.4f} {rows[-1][f'ndcg@{K}']:.4f}", flush=True)
    best = {key: value for row in rows if row["default"] for key, value in row.items() if key in (f"hr@{K}", f"ndcg@{K}")}
    judged_by = "last but one" if VALIDATION else "last"
    benchmark.finish(rows, data=data.name, judged_by=judged_by, history_masked=not split.repeats, **best)


if __name__ == "__main__":
    main()
