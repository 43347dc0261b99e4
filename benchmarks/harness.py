"""What every benchmark shares: how a result is described, printed and written."""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
OUT = ROOT / "benchmarks" / "out"
#: The grocery chain's year, and the first moment after its week 53.
CONFIG = ROOT / "configs" / "complete_journey.yaml"
END_OF_53 = datetime(2018, 1, 1)
#: Whether settings are being chosen: what is held out before the test is judged in its place.
VALIDATION = os.environ.get("VALIDATION", "0") == "1"
LIBRARIES = ("dgl", "faiss-cpu", "lightgbm", "numpy", "polars", "scipy", "sentence-transformers", "torch")


class Benchmark:
    """One run of a benchmark; the clock starts when it is made."""

    def __init__(self, name: str, *, seed: int) -> None:
        self.name, self.seed, self.started = name, seed, time.perf_counter()

    def finish(self, rows: Sequence[dict[str, Any]], **extra: Any) -> Path:
        """Print the rows as a table and write them with machine, versions and commit.

        Parameters
        ----------
        rows
            One mapping a line: `method`, `default`, and figures under the metrics' own names; a mapping with `value`,
            `low` and `high` has an interval.
        extra
            Further keys of the JSON file.
        """
        result = {
            "name": self.name,
            "commit": commit(),
            "machine": _machine(),
            "versions": {"python": platform.python_version()} | {library: metadata.version(library) for library in LIBRARIES},
            "seed": self.seed,
            "seconds": round(time.perf_counter() - self.started, 1),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            **extra,
            "rows": list(rows),
        }
        OUT.mkdir(exist_ok=True)
        path = OUT / f"{self.name}.json"
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        console = Console(width=170)
        console.print(_table(self.name, rows))
        console.print(
            f"seed {self.seed}, commit {result['commit'][:12]}, {result['machine']['processor']}, {result['machine']['cores']} cores, "
            f"{result['seconds']:.0f} s, peak {result['peak_rss_mb']:,} MB\n{path.relative_to(ROOT)}",
            highlight=False,
        )
        return path


def asked(name: str, told: str | None, methods: Iterable[str], *, data: Path, what: str) -> tuple[Path, list[str]]:
    """DATA and METHODS of the command line; a method that is not known ends the program.

    Parameters
    ----------
    told
        What the benchmark says of itself.
    methods
        All rows that there are.
    data, what
        Where the data are when nothing else is said, and what to expect there.
    """
    known = list(methods)
    parser = argparse.ArgumentParser(prog=f"benchmarks.{name}", description=told)
    parser.add_argument("--data", type=Path, default=data, help=what)
    parser.add_argument("--methods", default=",".join(known), help="comma-separated names of rows")
    arguments = parser.parse_args()
    wanted = arguments.methods.split(",")
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        sys.exit(f"METHODS: {', '.join(unknown)} is not known; there are {', '.join(known)}.")
    return arguments.data, wanted


def whole_numbers(name: str, default: str) -> list[int]:
    """A variable of the environment as whole numbers above zero, parted by commas; anything else ends the program."""
    given = os.environ.get(name, default)
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in given.split(",")]
    if min(numbers) < 1:
        sys.exit(f"{name}={given}: whole numbers above zero are expected, as in {name}={default}.")
    return numbers


def end_of(week: int) -> str:
    """The first moment after a calendar week of the grocery chain's year, as the configuration's `windows.end` takes it."""
    return (END_OF_53 - timedelta(weeks=53 - week)).isoformat()


def _table(name: str, rows: Sequence[dict[str, Any]]) -> Table:
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in ("low", "high", "default")))
    table = Table(title=name)
    for column in columns:
        table.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns), style="bold" if row.get("default") else "")
    return table


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)


def _machine() -> dict[str, Any]:
    cpu = Path("/proc/cpuinfo")
    models = (
        [line.split(":", 1)[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")] if cpu.exists() else []
    )
    return {"processor": models[0] if models else platform.processor(), "cores": os.cpu_count(), "system": platform.platform()}


def commit() -> str:
    """The commit of the code that runs, told where files differ from it."""
    return _git("rev-parse", "HEAD") + ("-dirty" if _git("status", "--porcelain") else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
