"""One method of another library, trained under a budget of seconds. Runs in the peers' own environment; `compare.py` starts and judges it.

`python fit.py METHOD FOLDER SECONDS SETTINGS`: the folder has `user.npy` and `item.npy`, the distinct pairs to learn from, and
`shape.npy`, how many users and items there are. Into it go `<state>-users.npy` and `<state>-items.npy`, float32 vectors whose inner
products rank the items, and at last `states.json`: the seconds that training had taken by each state, on the clock and of the
processor. Reading, saving and importing do not count, what a library makes of the pairs before its first step does.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

#: Of every method.
SEED = 7
#: How much longer the training must have taken when the next state is saved: judging all users takes its time, too.
GROWTH = 4


class Pairs(NamedTuple):
    """Who has what, by row."""

    user: np.ndarray
    item: np.ndarray
    n_users: int
    n_items: int
    folder: Path


#: The vectors of all users and of all items, asked for when a state is saved.
Vectors = Callable[[], tuple[np.ndarray, np.ndarray]]


def implicit_model(name: str, pairs: Pairs, settings: dict[str, Any]) -> Iterator[Vectors]:
    """A model of implicit, pass by pass; a second call of `fit` goes on from where the first ended."""
    import scipy.sparse as sp
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    ones = np.ones(len(pairs.user), np.float32)
    matrix = sp.csr_matrix((ones, (pairs.user, pairs.item)), shape=(pairs.n_users, pairs.n_items))
    kind = {"als": AlternatingLeastSquares, "bpr": BayesianPersonalizedRanking}[name]
    passes = settings.pop("iterations")
    yield None
    model = kind(**settings, iterations=1, random_state=np.random.default_rng(SEED))
    for _ in range(passes):
        model.fit(matrix, show_progress=False)
        yield lambda: (model.user_factors, model.item_factors)


def lenskit_als(pairs: Pairs, settings: dict[str, Any]) -> Iterator[Vectors]:
    """LensKit's ALS, which solves each row exactly."""
    import pandas as pd
    from lenskit.als import ImplicitMFScorer
    from lenskit.data import from_interactions_df
    from lenskit.training import TrainingOptions

    data = from_interactions_df(pd.DataFrame({"user_id": pairs.user, "item_id": pairs.item}))
    scorer = ImplicitMFScorer(**settings)
    yield None
    trainer = scorer.create_trainer(data, TrainingOptions(rng=SEED))

    def vectors() -> tuple[np.ndarray, np.ndarray]:
        return (
            placed(scorer.user_embeddings, scorer.users.ids(), pairs.n_users),
            placed(scorer.item_embeddings, scorer.items.ids(), pairs.n_items),
        )

    for _ in range(scorer.config.epochs):
        trainer.train_epoch()
        yield vectors


def recbole_lightgcn(pairs: Pairs, settings: dict[str, Any]) -> Iterator[Vectors]:
    """RecBole's LightGCN, step by step, until nobody asks for more."""
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset
    from recbole.data.dataloader import TrainDataLoader
    from recbole.model.general_recommender import LightGCN
    from recbole.sampler import Sampler
    from recbole.utils import init_seed

    atomic = pairs.folder / "atomic"
    atomic.mkdir(exist_ok=True)
    lines = [f"{user}\t{item}" for user, item in zip(pairs.user, pairs.item, strict=True)]
    (atomic / "atomic.inter").write_text("\n".join(["user_id:token\titem_id:token", *lines]) + "\n")
    all_is_train = {"split": {"RS": [1, 0, 0]}, "order": "RO", "group_by": "none", "mode": "full"}
    places = {"data_path": str(pairs.folder), "checkpoint_dir": str(pairs.folder / "saved")}
    config = Config("LightGCN", "atomic", config_dict={"use_gpu": False, "seed": SEED, "eval_args": all_is_train, **places, **settings})
    init_seed(SEED, True)
    data, *_ = create_dataset(config).build()
    sampler = Sampler(["train"], [data]).set_phase("train")
    loader = TrainDataLoader(config, data, sampler, shuffle=True)
    yield None
    model = LightGCN(config, data)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    names = [data.id2token(field, np.arange(1, n)).astype(int) for field, n in (("user_id", model.n_users), ("item_id", model.n_items))]

    def vectors() -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            users, items = (part.numpy()[1:] for part in model.forward())
        return placed(users, names[0], pairs.n_users), placed(items, names[1], pairs.n_items)

    # What RecBole's Trainer does of a batch, with a look between two.
    for _ in count():
        for batch in loader:
            optimizer.zero_grad()
            model.calculate_loss(batch).backward()
            optimizer.step()
            yield vectors


def placed(vectors: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """The vectors in their rows of (n, d), zeros in the others."""
    found = np.zeros((n, vectors.shape[1]), np.float32)
    found[np.asarray(rows)] = vectors
    return found


METHODS: dict[str, Callable[[Pairs, dict[str, Any]], Iterator[Vectors]]] = {
    "implicit ALS": lambda pairs, settings: implicit_model("als", pairs, settings),
    "implicit BPR": lambda pairs, settings: implicit_model("bpr", pairs, settings),
    "LensKit ALS": lenskit_als,
    "RecBole LightGCN": recbole_lightgcn,
}


def main() -> None:
    """Train until the budget or the method's own passes end, and save some states on the way."""
    method, folder, budget, settings = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), json.loads(sys.argv[4])
    # RecBole reads the command line, too.
    del sys.argv[1:]
    shape = np.load(folder / "shape.npy")
    pairs = Pairs(np.load(folder / "user.npy"), np.load(folder / "item.npy"), int(shape[0]), int(shape[1]), folder)
    training = METHODS[method](pairs, settings)
    # The first state is that all is read and imported.
    next(training)
    states: list[dict[str, float]] = []
    seconds = cpu = 0.0
    due, last = 0.0, None
    for step in count(1):
        started, spent = time.perf_counter(), time.process_time()
        vectors = next(training, None)
        seconds, cpu = seconds + time.perf_counter() - started, cpu + time.process_time() - spent
        over = vectors is None or seconds >= budget
        last = vectors or last
        if over or seconds >= due:
            for part, found in zip(("users", "items"), last(), strict=True):
                np.save(folder / f"{len(states)}-{part}.npy", np.asarray(found, np.float32))
            peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            taken = {"train_seconds": round(seconds, 1), "train_cpu_seconds": round(cpu, 1)}
            states.append({"steps": step - (vectors is None), **taken, "peak_rss_mb": peak})
            due = GROWTH * seconds
        if over:
            break
    (folder / "states.json").write_text(json.dumps(states))


if __name__ == "__main__":
    main()
