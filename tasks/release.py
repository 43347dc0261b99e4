"""The run's end: an immutable release."""

import json
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from cortex_rec.code_version import ROOT
from cortex_rec.config import Config
from cortex_rec.releases import store
from cortex_rec.releases.manifest import Contents, DataWindow, Feature
from cortex_rec.releases.store import Release
from cortex_rec.stages import RECORD, StageOutput
from tasks import progress
from tasks.evaluate import METRICS
from tasks.fusion import MODEL
from tasks.stage import MINUTE, ended, stage_task

LIBRARIES: Final = ("dgl", "faiss-cpu", "lightgbm", "numpy", "polars", "safetensors", "scipy", "sentence-transformers", "torch")


@stage_task(name="release", timeout_seconds=30 * MINUTE)
def release(
    config: Config, parts: dict[str, StageOutput], as_of: int, stages: list[StageOutput], told: Mapping[str, Any] | None = None
) -> Release:
    """Gather what the service needs, with the report, in one folder, the new `candidate`; `told` goes into its `run.json`."""

    def write(folder: Path) -> None:
        from cortex_rec.encoding import Encoded
        from cortex_rec.snapshot import Snapshot

        for name in ("snapshot", "ranker", "report", "reference"):
            shutil.copytree(parts[name].path, folder / name, ignore=shutil.ignore_patterns(RECORD))
        shutil.copytree(parts["fusion"].path / MODEL, folder / "fusion")
        # Of the year's offers, the service needs those that run now; the others would be two thirds of the release.
        (folder / "encoded").mkdir()
        now = Snapshot.load(parts["snapshot"].path)
        data = Encoded.load(parts["encoded"].path, mapped=True)
        # Where the pictures are on this machine must not tell two equal releases apart.
        catalogue = replace(data.catalogue, images=[""] * len(data.catalogue))
        replace(data, catalogue=catalogue, promotions=now.promotions, coupons=now.coupons).save(folder / "encoded")
        recorded = json.dumps(recorded_config(config), indent=1, sort_keys=True)
        (folder / "config.json").write_text(recorded + "\n", encoding="utf-8")

    root = config.releases
    known = set(store.release_ids(root))
    with progress.line("release") as line:
        made = store.publish(root, write, _contents(config, parts, as_of), _run(stages) | dict(told or {}))
        line.cached = made.id in known
    return ended(made, cached=line.cached, message=str(made.path))


def recorded_config(config: Config) -> dict[str, Any]:
    """The configuration without what must not tell two equal releases apart: places on this machine, the engine, the gate after it."""
    recorded = config.model_dump(mode="json", exclude={"workspace", "releases", "events", "promotion", "engine", "scheduler"})
    for table in recorded["source"].values():
        if isinstance(table, dict) and "path" in table:
            table["path"] = Path(table["path"]).name
    if "folder" in recorded["source"]:
        recorded["source"]["folder"] = Path(recorded["source"]["folder"]).name
    return recorded


def _contents(config: Config, parts: dict[str, StageOutput], as_of: int) -> Contents:
    from cortex_rec.encoding import Encoded
    from cortex_rec.ranking.rankers import Calibrated

    data = Encoded.load(parts["encoded"].path, mapped=True)
    time = data.histories.time
    return Contents(
        name=config.name,
        data=DataWindow(
            as_of=_moment(as_of),
            first=_moment(int(time.min())),
            last=_moment(int(time.max())),
            interactions=len(time),
            users=len(data.users),
            items=len(data.items),
        ),
        config=recorded_config(config),
        features=tuple(Feature(name=name, dtype="float32") for name in Calibrated.load(parts["ranker"].path).features),
        metrics=json.loads((parts["report"].path / METRICS).read_text(encoding="utf-8")),
        libraries={"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES},
        git_commit=_git_commit(),
    )


def _run(stages: Iterable[StageOutput]) -> dict[str, Any]:
    """Seconds by stage as each took when it last really ran, and the largest memory of any."""
    seconds: dict[str, float] = {}
    for output in stages:
        seconds[output.name] = round(seconds.get(output.name, 0.0) + output.seconds, 3)
    return {"seconds": seconds, "peak_rss_mb": max(output.peak_rss_mb for output in stages)}


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _git_commit() -> str | None:
    """The commit of the code, None outside a git checkout."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return None
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None
