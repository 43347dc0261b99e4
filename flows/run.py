"""Run flows from a command line, with no server to start."""

from pathlib import Path
from typing import Any

from cortex_rec.config import Execution, load_config
from cortex_rec.evaluation.variants import read as read_variants
from flows.environment import check_engine, end_orphans, prepare


def run_train(config_path: str, **overrides: Any) -> str:
    """Train as `config_path` says and return the release's id.

    Raises
    ------
    CortexRecError
        Whatever a stage found wrong, as it raised it.
    """
    _prepare(config_path, overrides)
    from flows.train import train

    return train(config_path, overrides)


def run_refresh(config_path: str, **overrides: Any) -> str:
    """Take production up to the newest purchases and return the new release's id; see `flows.refresh.refresh`. Raises like `run_train`."""
    _prepare(config_path, overrides)
    from flows.refresh import refresh

    return refresh(config_path, overrides)


def run_evaluate(config_path: str, **overrides: Any) -> Path:
    """Train and judge without a release; return the folder with `metrics.json` and `report.html`. Raises like `run_train`."""
    _prepare(config_path, overrides)
    from flows.train import evaluate_only

    return evaluate_only(config_path, overrides)


def run_rules(config_path: str, rules_path: Path, **overrides: Any) -> Path:
    """Train and judge what the filters and rules of a file cost; return the folder with `rules.json`. Raises like `run_train`."""
    read_variants(rules_path)  # like a wrong key, told at once
    _prepare(config_path, overrides)
    from flows.train import evaluate_rules

    return evaluate_rules(str(rules_path), config_path, overrides)


def run_drift(config_path: str, overrides: dict[str, Any], **parameters: Any) -> Path:
    """Check a day; return the folder with `drift.json` and `drift.html`. See `flows.drift.drift`; raises like it."""
    _prepare(config_path, overrides)
    from flows.drift import drift

    folder: Path = drift(config_path, overrides, **parameters)
    return folder


def run_package(workspace: str = ".cortex", **parameters: Any) -> dict[str, str | float]:
    """Build an image, and push it where a repository is named; see `flows.package.package`. Raises like it."""
    _at_home_in(workspace)
    from flows.package import package

    told: dict[str, str | float] = package(workspace=workspace, **parameters)
    return told


def run_score_batch(workspace: str = ".cortex", **parameters: Any) -> dict[str, Any]:
    """Make lists for many users; see `flows.score_batch.score_batch`. Raises like it."""
    check_engine(Execution.of(parameters.get("engine", "local"), parameters.get("scheduler")))
    _at_home_in(workspace)
    from flows.score_batch import score_batch

    told: dict[str, Any] = score_batch(workspace=workspace, **parameters)
    return told


def _prepare(config_path: str, overrides: dict[str, Any]) -> None:
    config = load_config(config_path, **overrides)  # a wrong key is told at once, not after the server's start
    check_engine(config)
    _at_home_in(config.workspace)


def _at_home_in(workspace: str) -> None:
    end_orphans(Path(workspace))
    prepare(Path(workspace))
