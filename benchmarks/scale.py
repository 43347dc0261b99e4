"""How the cost grows with the data: the whole training flow, a night's refresh and the lists of all users, on made-up shops of any size.

`SIZES=1400000,14000000` are the order lines of each shop, made by `cortex-rec synth`: users grow with them, items with their square root.
A shop's last eight days are held back; a night brings the first of them. `COMPARED=1400000` are the sizes at which a release made from
scratch that night is made, too: what the refreshed one and it recommend is judged by the seven days after. `FRESH=0` keeps what an
earlier run has trained.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from benchmarks.harness import OUT, Benchmark, whole_numbers
from cortex_rec.arrays import DAY
from cortex_rec.config import FilesSource, TableFiles, Windows
from cortex_rec.encoding import followed_by
from cortex_rec.evaluation import significance
from cortex_rec.recommender import Recommender
from cortex_rec.releases import contest
from cortex_rec.releases.store import open_release
from cortex_rec.sources import read
from cortex_rec.splits import Window
from cortex_rec.stages import RECORD

SIZES: Final = whole_numbers("SIZES", "1400000,14000000")
COMPARED: Final = whole_numbers("COMPARED", "1400000")
FRESH: Final = os.environ.get("FRESH", "1") != "0"
SEED: Final = 7
#: Days at the end of the year that the first training does not know: a night brings one, the others judge it.
HELD_BACK: Final = 8
JUDGED: Final = 5_000
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
    folder
        Has `data`, all of the year, and `<name>`, what a training may know of it, with its workspace and releases.
    """

    events: int
    folder: Path

    @property
    def days(self) -> list[Path]:
        """The files of all days, in their order."""
        return sorted((self.folder / "data" / "interactions").glob("*.parquet"))

    def made(self) -> float:
        """Make the data where they are not there; gives the seconds, 0 when they were."""
        if (self.folder / "data").exists():
            return 0.0
        return ran("synth", "--events", str(self.events), "--seed", str(SEED), "--output", str(self.folder / "data")).seconds

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
        path.write_text(yaml.safe_dump(config | {"workspace": "workspace", "releases": "releases"}), encoding="utf-8")
        return path


def main() -> None:
    """Print seconds and memory of every stage by size, what a night takes, and how many users a second are scored."""
    benchmark = Benchmark("scale", seed=SEED)
    whole: dict[int, Ran] = {}
    rows: list[dict[str, Any]] = []
    for events in SIZES:
        shop = Shop(events, OUT / "scale" / str(events))
        rows.append({"method": "synth", "events": events, "seconds": round(shop.made(), 1)})
        whole[events], stages = trained(shop)
        rows += [{"method": f"train: {name}", "events": events, **figures} for name, figures in stages.items()]
        rows.append({"method": "train", "events": events, **_figures(whole[events]), **_a_million(whole[events], events)})
        rows += night(shop, whole[events])
        print(json.dumps(rows[-4:]), flush=True)
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
        told = {"seconds": one.seconds, "peak_rss_mb": one.peak_rss_mb, "release": one.told["release"], "stages": _stages(config.parent)}
        record.write_text(json.dumps(told), encoding="utf-8")
    told = json.loads(record.read_text(encoding="utf-8"))
    return Ran(told["seconds"], told["peak_rss_mb"], {"release": told["release"]}), told["stages"]


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
    files = TableFiles(path=str(shop.folder / "data" / "interactions" / "*.parquet"))
    items = TableFiles(path=str(shop.folder / "data" / "items.parquet"))
    later = read(FilesSource(interactions=files, items=items), Windows(), since=datetime.fromtimestamp(start, UTC).replace(tzinfo=None))
    window = Window(start, start + (HELD_BACK - 1) * DAY)
    asked = contest.questions(first, followed_by(first.data, start, later), window, most=JUDGED, seed=SEED)
    own = [contest.performance(each, asked, np.zeros(0), 0).ndcg for each in (first, second)]
    low, high = significance.intervals({"ndcg": own[0] - own[1]}, samples=SAMPLES, seed=SEED)["ndcg"]
    difference = {"value": round(float((own[0] - own[1]).mean()), 4), "low": round(low, 4), "high": round(high, 4)}
    return {"users": len(asked), "ndcg@10": round(float(own[0].mean()), 4), "difference": difference}


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
