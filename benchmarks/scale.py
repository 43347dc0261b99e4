"""How the cost grows with the data: the whole training flow, a night's refresh and the lists of all users, on made-up shops of any size.

`SIZES=1400000,14000000,140000000` are the order lines of each shop, made by `cortex-rec synth`: users grow with them, items with their
square root. A shop's last eight days are held back; a night brings the first of them, at the sizes `NIGHTS=1400000,14000000`.
`COMPARED=1400000` are the sizes at which a release made from scratch that night is made, too: what the refreshed one and it recommend is
judged by the seven days after. `FRESH=0` keeps what an earlier run has trained; its rows say at which commit. At the largest size of
`NIGHTS` implicit and LensKit learn the same distinct purchases as LightGCN, our graph retriever, and give the hundred best items of all
users that these have not; `PEERS=0` leaves them out. Each shop's release answers some users one by one: how long retrieval takes, and what
its indexes find of what is nearest; so does that of one more shop, which lists a million items and has as many lines as the largest of
`NIGHTS`; `MILLION=0` leaves it out.
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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import yaml

from benchmarks.harness import OUT, Benchmark, commit, whole_numbers
from benchmarks.peers.compare import HERE, environment
from cortex_rec import columns
from cortex_rec.arrays import DAY, Ragged, find
from cortex_rec.config import FilesSource, TableFiles, Windows
from cortex_rec.config import Graph as GraphConfig
from cortex_rec.dataset import Dataset
from cortex_rec.encoding import Encoded, follow
from cortex_rec.evaluation import metrics, significance
from cortex_rec.recommender import Recommender
from cortex_rec.releases import contest
from cortex_rec.releases.store import open_release
from cortex_rec.requests import Request
from cortex_rec.retrieval.graph import Graph
from cortex_rec.retrieval.index import Index, search
from cortex_rec.retrieval.vector import Vector
from cortex_rec.snapshot import Snapshot
from cortex_rec.sources import read
from cortex_rec.splits import Window, distinct
from cortex_rec.stages import RECORD

SIZES: Final = whole_numbers("SIZES", "1400000,14000000,140000000")
NIGHTS: Final = whole_numbers("NIGHTS", "1400000,14000000")
COMPARED: Final = whole_numbers("COMPARED", "1400000")
FRESH: Final = os.environ.get("FRESH", "1") != "0"
PEERS: Final = os.environ.get("PEERS", "1") != "0"
MILLION: Final = os.environ.get("MILLION", "1") != "0"
ITEMS: Final = 1_000_000
SEED: Final = 7
#: How many users a release is asked for one by one, and how many of them before the clock runs.
SERVED: Final = 300
WARM_UP: Final = 20
#: Items of each list beside the peers', and how many ours looks at, since a user's own are left out of them.
LISTED: Final = 100
LOOKED_AT: Final = 500
#: The peers' settings, factors of our length; passes and weights are those of `make bench NAME=peers`.
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "implicit ALS": {"factors": 64, "alpha": 20, "regularization": 50, "iterations": 16},
    "LensKit ALS": {"embedding_size": 64, "weight": 20, "regularization": 50, "epochs": 16},
}
#: Days at the end of the year that the first training does not know: a night brings one, the others judge it.
HELD_BACK: Final = 8
JUDGED: Final = 5_000
#: Users whose lists are searched at once.
ASKED: Final = 1_000
SAMPLES: Final = 1_000


@dataclass(frozen=True)
class Ran:
    """A command that has ended well: its wall time, the most memory of one of its processes, and what it printed."""

    seconds: float
    peak_rss_mb: int
    told: dict[str, Any]


@dataclass(frozen=True)
class Shop:
    """A made-up shop and the folder in which it is trained.

    Parameters
    ----------
    items
        How many are listed; as many as `cortex-rec synth` chooses when 0.
    """

    events: int
    items: int = 0

    @property
    def folder(self) -> Path:
        """Has `data`, all of the year, and `<name>`, what a training may know of it, with its workspace and releases."""
        return OUT / "scale" / (f"{self.events}-{self.items}" if self.items else str(self.events))

    @property
    def days(self) -> list[Path]:
        """The files of all days, in their order."""
        return sorted((self.folder / "data" / "interactions").glob("*.parquet"))

    def made(self) -> float:
        """Make the data where they are not there; gives the seconds, 0 when they were."""
        if (self.folder / "data").exists():
            return 0.0
        told = ["--items", str(self.items)] if self.items else []
        return ran("synth", "--events", str(self.events), *told, "--seed", str(SEED), "--output", str(self.folder / "data")).seconds

    def known(self, name: str, days: Sequence[Path]) -> Path:
        """The configuration of a training that knows only some days."""
        place = self.folder / name
        (place / "interactions").mkdir(parents=True, exist_ok=True)
        for day in days:
            link = place / "interactions" / day.name
            if not link.exists():
                link.symlink_to(day)
        config = yaml.safe_load((self.folder / "data" / "config.yaml").read_text(encoding="utf-8"))
        config["source"]["items"] = {"path": str(self.folder / "data" / "items.parquet")}
        path = place / "config.yaml"
        config |= {name: str(place / name) for name in ("workspace", "releases")}
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path


def main() -> None:
    """Print seconds and memory of every stage by size, what a night takes, and how many users a second are scored."""
    benchmark = Benchmark("scale", seed=SEED)
    whole: dict[int, Ran] = {}
    rows: list[dict[str, Any]] = []
    largest = max(set(SIZES) & set(NIGHTS), default=0)
    shops = [Shop(events) for events in SIZES] + ([Shop(largest, ITEMS)] if largest and MILLION else [])
    for shop in shops:
        of = {"events": shop.events} | ({"items": shop.items} if shop.items else {})
        rows.append({"method": "synth", **of, "seconds": round(shop.made(), 1)})
        one, stages = trained(shop)
        rows += [{"method": f"train: {name}", **of, **figures} for name, figures in stages.items()]
        trained_at = {"trained_at": one.told["commit"]}
        rows.append({"method": "train", **of, **_figures(one), **_a_million(one, shop.events), **trained_at})
        rows.append({"method": "one user's retrieval", **of, **one_by_one(shop)})
        if not shop.items:
            whole[shop.events] = one
            rows += night(shop, one) if shop.events in NIGHTS else []
        print(json.dumps(rows[-4:]), flush=True)
    if PEERS and largest:
        rows += side_by_side(Shop(largest))
    seconds = [whole[events].seconds for events in SIZES]
    slope = float(np.polyfit(np.log(SIZES), np.log(seconds), 1)[0]) if len(SIZES) > 1 else None
    peak = max(each.peak_rss_mb for each in whole.values())
    head = {"method": "whole flow", "default": True, "loglog_slope": None if slope is None else round(slope, 3), "peak_rss_mb": peak}
    benchmark.finish([head, *({"default": False} | row for row in rows)], sizes=SIZES, compared=COMPARED)


def trained(shop: Shop) -> tuple[Ran, dict[str, dict[str, float]]]:
    """The first training of a shop, and seconds and memory of its stages, those of one name added up."""
    config = shop.known("shop", shop.days[:-HELD_BACK])
    record = config.parent / "trained.json"
    if FRESH or not record.exists():
        for name in ("workspace", "releases"):
            shutil.rmtree(config.parent / name, ignore_errors=True)
        one = ran("train", str(config), "--json")
        stages = _stages(config.parent)
        # Each stage starts the process's count anew, so the largest of them all is that of the run.
        peak = max(one.peak_rss_mb, *(round(stage["peak_rss_mb"]) for stage in stages.values()))
        told = {"seconds": one.seconds, "peak_rss_mb": peak, "release": one.told["release"], "commit": commit(), "stages": stages}
        record.write_text(json.dumps(told), encoding="utf-8")
    told = json.loads(record.read_text(encoding="utf-8"))
    return Ran(told["seconds"], told["peak_rss_mb"], {name: told[name] for name in ("release", "commit")}), told["stages"]


def night(shop: Shop, training: Ran) -> list[dict[str, Any]]:
    """The refresh by one more day, the lists of all users by it, and how good it is beside a release from scratch."""
    first = shop.folder / "shop"
    place = shop.folder / "night"
    shutil.rmtree(place, ignore_errors=True)
    config = shop.known("night", shop.days[: 1 - HELD_BACK])
    # The releases of before, so that a further run starts from the same one; its vectors of words are kept by content.
    shutil.copytree(first / "releases", place / "releases", symlinks=True)
    shutil.copytree(first / "workspace" / "vectors", place / "workspace" / "vectors", copy_function=os.link)
    refreshed = ran("refresh", str(config), "--json")
    share = refreshed.seconds / training.seconds
    stages = [{"method": f"refresh: {name}", "events": shop.events, **figures} for name, figures in _stages(place).items()]
    rows = [*stages, {"method": "refresh", "events": shop.events, **_figures(refreshed), "of_training": round(share, 3)}]
    scored = ran("score", "--releases", str(place / "releases"), "--output", str(place / "lists"), "--json")
    figures = {"users_per_second": scored.told["users_per_second"], "users": scored.told["users"]}
    rows.append({"method": "score", "events": shop.events, **_figures(scored), **figures})
    if shop.events in COMPARED:
        config = shop.known("scratch", shop.days[: 1 - HELD_BACK])
        for name in ("workspace", "releases"):
            shutil.rmtree(config.parent / name, ignore_errors=True)
        anew = ran("train", str(config), "--json")
        rows.append({"method": "train, the night's data", "events": shop.events, **_figures(anew)})
        both = open_release(place / "releases", refreshed.told["release"]), open_release(config.parent / "releases", anew.told["release"])
        rows.append({"method": "refreshed less from scratch", "events": shop.events, **compared(shop, *(each.path for each in both))})
    return rows


def compared(shop: Shop, refreshed: Path, scratch: Path) -> dict[str, Any]:
    """NDCG@10 of both releases in the seven days after them, and the paired 95 % interval of the difference."""
    first, second = Recommender.load(refreshed), Recommender.load(scratch)
    start = first.snapshot.as_of
    later = _later(shop, start)
    window = Window(start, start + (HELD_BACK - 1) * DAY)
    with TemporaryDirectory(dir=shop.folder) as folder:
        follow(first.data, start, later, Path(folder))
        asked = contest.questions(first, Encoded.load(Path(folder)), window, most=JUDGED, seed=SEED)
    own = [contest.performance(each, asked, np.zeros(0), 0).ndcg for each in (first, second)]
    low, high = significance.intervals({"ndcg": own[0] - own[1]}, samples=SAMPLES, seed=SEED)["ndcg"]
    difference = {"value": round(float((own[0] - own[1]).mean()), 4), "low": round(low, 4), "high": round(high, 4)}
    return {"users": len(asked), "ndcg@10": round(float(own[0].mean()), 4), "difference": difference}


def side_by_side(shop: Shop) -> list[dict[str, Any]]:
    """Seconds to learn vectors and to list every user's best new items; recall by what they first bought in the seven days after."""
    release = open_release(shop.folder / "night" / "releases").path
    folder = shop.folder / "peers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = {"LightGCN (graph)": pool.submit(_ours, release, folder).result()}
    python = environment()
    truth = _first_bought(shop, Encoded.load(release / "encoded"), Snapshot.load(release / "snapshot").as_of)
    rows = []
    for method in ("LightGCN (graph)", *SETTINGS):
        if method in SETTINGS:
            command = [str(python), str(HERE / "topk.py"), method, str(folder), str(LISTED), json.dumps(SETTINGS[method])]
            threads = {"OMP_NUM_THREADS": str(os.cpu_count()), "OPENBLAS_NUM_THREADS": "1"}
            subprocess.run(command, env=os.environ | threads, check=True)
            found[method] = json.loads((folder / "times.json").read_text(encoding="utf-8"))
        lists = np.load(folder / "items.npy")
        judged = Ragged.of([own[own >= 0] for own in lists])
        recall = metrics.per_user(judged, truth, (LISTED,))[f"recall@{LISTED}"]
        rows.append(
            {"method": method, "events": shop.events, **found[method], f"new_items_recall@{LISTED}": round(float(np.nanmean(recall)), 4)}
        )
    return rows


def _ours(release: Path, folder: Path) -> dict[str, float]:
    """Learn, list, and leave the pairs for the peers; in a process of its own, so that its memory is its own."""
    from cortex_rec.retrieval import lightgcn

    data, as_of = Encoded.load(release / "encoded"), Snapshot.load(release / "snapshot").as_of
    pairs, n_items = distinct(data.histories.before(as_of)), len(data.items)
    for name, array in (("user", pairs.owner), ("item", pairs.item), ("shape", np.array([len(pairs), n_items]))):
        np.save(folder / f"{name}.npy", array.astype(np.int64))
    start = time.perf_counter()
    trained = lightgcn.train(pairs, n_items, GraphConfig(), seed=SEED)
    sold = np.unique(pairs.item).astype(np.int64)
    index = Index(trained.items[sold], sold)
    learned = time.perf_counter()
    lists = np.full((len(pairs), LISTED), -1, np.int32)
    for first in range(0, len(pairs), ASKED):
        near = search(index, trained.users[first : first + ASKED], LOOKED_AT)
        for i in range(len(near)):
            new = near[i][~np.isin(near[i], pairs[first + i])][:LISTED]
            lists[first + i, : len(new)] = new
    listed = time.perf_counter()
    np.save(folder / "items.npy", lists)
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return {"train_seconds": round(learned - start, 1), "lists_seconds": round(listed - learned, 1), "peak_rss_mb": peak}


def one_by_one(shop: Shop) -> dict[str, Any]:
    """How long retrieval for one user takes, and what its indexes find of what is nearest."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_served, shop.folder / "shop" / "releases").result()


def _served(releases: Path) -> dict[str, Any]:
    """In a process of its own, so that its memory is its own."""
    release = Recommender.load(open_release(releases).path)
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(release.data.users))[:SERVED])
    asked = [release.ask([Request(user)]).queries for user in release.data.users.external(chosen)]
    retrievers = release.snapshot.union.retrievers
    for queries in asked[:WARM_UP]:
        release.snapshot.union.retrieve(queries)
    taken = []
    for queries in asked:
        start = time.perf_counter()
        release.snapshot.union.retrieve(queries)
        taken.append(1000 * (time.perf_counter() - start))
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    figures: dict[str, Any] = {"p50_ms": round(float(np.median(taken)), 2), "p95_ms": round(float(np.percentile(taken, 95)), 2)}
    graph, vector = retrievers["graph"], retrievers["vector"]
    assert isinstance(graph, Graph)
    assert isinstance(vector, Vector)
    searched = (("graph", graph.items, graph.index, graph._vectors), ("vector", vector.items, vector.index, vector._taste))
    for name, vectors, index, places in searched:
        n, recalls, rows = release.snapshot.union.sizes[name], [], np.sort(index.rows)
        exact = Index(vectors[rows], rows)
        for queries in asked:
            nearest = search(exact, places(queries), n).item
            recalls.append(np.isin(nearest, search(index, places(queries), n).item).mean())
        figures |= {
            f"{name}_items": len(rows),
            f"{name}_vectors": len(index.vectors),
            f"{name}_recall@{n}": round(float(np.mean(recalls)), 4),
        }
    return figures | {"peak_rss_mb": peak}


def _first_bought(shop: Shop, data: Encoded, start: int) -> Ragged:
    """Each user's distinct items of the seven days after a moment that the user had never bought before."""
    bought = _later(shop, start).interactions
    users, items = data.users.rows(bought[columns.USER]), data.items.rows(bought[columns.ITEM])
    known = (users >= 0) & (items >= 0)
    pairs = distinct(data.histories.before(start))
    key = np.unique(users[known].astype(np.int64) * len(data.items) + items[known])
    key = key[find(pairs.owner * len(data.items) + pairs.item, key) < 0]
    return Ragged.from_owner(key // len(data.items), (key % len(data.items)).astype(np.int32), len(data.users))


def _later(shop: Shop, start: int) -> Dataset:
    files = TableFiles(path=str(shop.folder / "data" / "interactions" / "*.parquet"))
    items = TableFiles(path=str(shop.folder / "data" / "items.parquet"))
    return read(FilesSource(interactions=files, items=items), Windows(), since=datetime.fromtimestamp(start, UTC).replace(tzinfo=None))


def ran(*arguments: str) -> Ran:
    """Run `cortex-rec …` and wait for it; where it fails, so does the benchmark."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "cortex_rec.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"cortex-rec {' '.join(arguments)} ended with {process.returncode}: see above.")
    told = json.loads(printed) if "--json" in arguments else {}
    return Ran(time.perf_counter() - start, round(used.ru_maxrss / 1024), told)


def _stages(place: Path) -> dict[str, dict[str, float]]:
    """Seconds and memory of all stages that a workspace keeps, those of one name added up, in the order in which they ran."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted((place / "workspace" / "stages").glob(f"*/*/{RECORD}"), key=lambda path: path.stat().st_mtime):
        record = json.loads(path.read_text(encoding="utf-8"))
        so_far = found.get(record["name"], {"seconds": 0.0, "peak_rss_mb": 0.0})
        seconds, peak = so_far["seconds"] + record["seconds"], max(so_far["peak_rss_mb"], record["peak_rss_mb"])
        found[record["name"]] = {"seconds": round(seconds, 1), "peak_rss_mb": round(peak)}
    return found


def _figures(one: Ran) -> dict[str, float]:
    return {"seconds": round(one.seconds, 1), "peak_rss_mb": one.peak_rss_mb}


def _a_million(one: Ran, events: int) -> dict[str, float]:
    return {"seconds_a_million_events": round(one.seconds / events * 1e6, 1)}


if __name__ == "__main__":
    main()
