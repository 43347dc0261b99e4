"""Other libraries beside ours: one machine, one split, one metric code, quality against seconds of training.

`make bench NAME=peers DATA=<folder>`; the folder is `../shared/data/gowalla` when none is given, and `METHODS="linear,implicit ALS"` runs
some of the rows. The peers are installed once into an environment of their own under `benchmarks/out/peers` (2 to 5 minutes, 2 GB).
`BUDGET=1200` is how many seconds RecBole's LightGCN may train; each other peer has a quarter of it, or the passes of its settings if
they are over sooner. With `VALIDATION=1` a fifth of each user's train items takes the place of test: where settings are chosen.
"""

import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.harness import OUT, VALIDATION, Benchmark, asked
from benchmarks.lightgcn_text import DATA, SEED, K, figures, measured, part, read
from cortex_rec.config import LightGCN
from cortex_rec.errors import DataError

HERE: Final = Path(__file__).parent
FOLDER: Final = OUT / "peers"
OTHERS_SHARE: Final = 0.25
#: Settings of each peer, by the name of its row. LightGCN's are those that its authors' code is run with on Gowalla. ALS' are the best of
#: seven, BPR's of three, on the validation part of train; LensKit's are the best of implicit's with as many factors. `alpha` and `weight`
#: are one over the weight of what a user does not have, tuned values of which are .02 to .1 in Rendle et al. 2022 (Revisiting the
#: performance of iALS on item recommendation benchmarks, arXiv:2110.14037).
PEERS: Final[dict[str, dict[str, Any]]] = {
    "implicit ALS": {"factors": 256, "alpha": 20, "regularization": 50, "iterations": 16},
    "implicit BPR": {"factors": 64, "learning_rate": 0.05, "regularization": 0.01, "iterations": 40},
    "LensKit ALS": {"embedding_size": 128, "weight": 20, "regularization": 50, "epochs": 16},
    "RecBole LightGCN": {"embedding_size": 64, "n_layers": 3, "reg_weight": 1e-4, "learning_rate": 0.001, "train_batch_size": 2048},
}
#: What the peers' LightGCN is compared with.
OURS: Final = "lightgcn"
METHODS: Final = ("linear", OURS, "collaborative", *PEERS)
#: States of our LightGCN that are judged.
LOOKS: Final = 5


def main() -> None:
    """Print one row a method, of the end of its training, and draw the way there."""
    data, methods = asked("peers", __doc__, METHODS, data=DATA, what="folder with train.txt[.gz] and test.txt[.gz]")
    try:
        budget = float(os.environ.get("BUDGET", "1200"))
        read(data)
    except ValueError:
        sys.exit(f"BUDGET={os.environ['BUDGET']}: a number of seconds is expected, as in BUDGET=1200.")
    except DataError as error:
        sys.exit(str(error))
    benchmark, python = Benchmark("peers", seed=SEED), environment() if set(methods) & set(PEERS) else None
    FOLDER.mkdir(parents=True, exist_ok=True)
    curves: dict[str, list[dict[str, Any]]] = {}
    # A fresh process a method: what one left in memory is not counted to the next.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for method in methods:
            if method in PEERS:
                seconds = budget if method == "RecBole LightGCN" else budget * OTHERS_SHARE
                curves[method] = pool.submit(peer, python, method, seconds, data, VALIDATION).result()
            elif method == OURS:
                curves[method] = pool.submit(lightgcn, data, VALIDATION).result()
            else:
                curves[method] = [pool.submit(measured, data, method, VALIDATION).result()]
            # What is known is not lost with a run that is stopped.
            (FOLDER / "curves.json").write_text(json.dumps(curves, indent=1), encoding="utf-8")
            last = curves[method][-1]
            print(f"{method}: {last[f'recall@{K}']:.4f} {last[f'ndcg@{K}']:.4f}, {last['train_seconds']:.0f} s", flush=True)
    rows = [row(method, curve[-1], curves.get(OURS, [])) for method, curve in curves.items()]
    draw(curves, FOLDER.with_suffix(".svg"))
    benchmark.finish(
        rows,
        data=data.name,
        judged_by="validation" if VALIDATION else "test",
        budget_seconds=budget,
        settings=PEERS,
        curves=curves,
        peers=(HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()[1:],
    )


def environment() -> Path:
    """The peers' Python; made when it is not there or the requirements have changed."""
    venv, wanted = FOLDER / "venv", HERE / "requirements.txt"
    python, installed = venv / "bin" / "python", venv / "requirements.txt"
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        print("Installing the peers: 2 to 5 minutes, once.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)], check=True)
        shutil.copyfile(wanted, installed)
    return python


def peer(python: Path, method: str, budget: float, data: Path, validation: bool) -> list[dict[str, Any]]:
    """Train a peer in its environment and judge each state that it left."""
    split, folder = part(data, validation), FOLDER / method.replace(" ", "-").lower()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, array in (("user", split.train.owner), ("item", split.train.item), ("shape", [len(split.train), split.n_items])):
        np.save(folder / f"{name}.npy", np.asarray(array, np.int64))
    # implicit asks for one thread of OpenBLAS: its own threads call it.
    threads = {"OMP_NUM_THREADS": str(os.cpu_count()), "OPENBLAS_NUM_THREADS": "1"}
    command = [str(python), str(HERE / "fit.py"), method, str(folder), str(budget), json.dumps(PEERS[method])]
    with (folder / "log.txt").open("w") as log:
        done = subprocess.run(command, cwd=folder, env=os.environ | threads, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{method} ended with {done.returncode}; what it said is in {folder / 'log.txt'}.")
    found = []
    for number, state in enumerate(json.loads((folder / "states.json").read_text(encoding="utf-8"))):
        users, items = (np.load(folder / f"{number}-{side}.npy", mmap_mode="r") for side in ("users", "items"))
        found.append(state | figures(split, lambda chosen, users=users, items=items: users[chosen] @ items.T))
    shutil.rmtree(folder)
    return found


def lightgcn(data: Path, validation: bool) -> list[dict[str, Any]]:
    """Our LightGCN, judged on its way."""
    from cortex_rec.retrieval import lightgcn_softmax

    split, config, found = part(data, validation), LightGCN(), []
    states = lightgcn_softmax.train(split.train, split.n_items, config, seed=SEED, every=max(config.steps // LOOKS, 1))
    seconds = cpu = 0.0
    while True:
        started, spent = time.perf_counter(), time.process_time()
        state = next(states, None)
        seconds, cpu = seconds + time.perf_counter() - started, cpu + time.process_time() - spent
        if state is None:
            return found
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        now = {"steps": state.steps, "train_seconds": round(seconds, 1), "train_cpu_seconds": round(cpu, 1), "peak_rss_mb": peak}
        found.append(now | figures(split, state.scores))


def row(method: str, last: dict[str, Any], ours: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A method's last state, when our LightGCN was as good by both figures, and how many times fewer processor seconds that took."""
    names = (f"recall@{K}", f"ndcg@{K}")
    kept = {name: last[name] for name in (*names, "train_seconds", "train_cpu_seconds", "peak_rss_mb")}
    as_good = [state for state in ours if all(state[name] >= last[name] for name in names)] if method in PEERS else []
    matched = {f"lightgcn_{name}": as_good[0][name] if as_good else None for name in ("train_seconds", "train_cpu_seconds")}
    sooner = round(last["train_cpu_seconds"] / max(as_good[0]["train_cpu_seconds"], 0.1), 1) if as_good else None
    return {"method": method, "default": method == OURS, **kept, **matched, "times_sooner": sooner}


def draw(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Recall against seconds on the clock, one line a method; what is solved at once is a point."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "cortex-rec", "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for method, curve in curves.items():
            seconds, recall = ([state[name] for state in curve] for name in ("train_seconds", f"recall@{K}"))
            style = "--" if method in PEERS else "-"
            axes.plot(seconds, recall, style, marker="o", markersize=4, linewidth=1.8, label=method)
        axes.set_xscale("log")
        axes.set_xlabel("seconds of training")
        axes.set_ylabel(f"Recall@{K}")
        axes.grid(linewidth=0.4)
        axes.legend(frameon=False, fontsize=9)
        figure.savefig(path, metadata={"Date": None})
