"""What all tasks share: a content-addressed stage as a Prefect task, with one line of progress."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import update_wrapper
from pathlib import Path
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from cortex_rec.code_version import ROOT
from cortex_rec.config import Config
from cortex_rec.folders import FileRecord
from cortex_rec.stages import StageOutput, find_stage, run_stage
from tasks import progress

MINUTE: Final = 60
GATES: Final = "gates.json"
Report = Callable[[int, int], None]

#: True while it is asked what is there: `run` then runs nothing.
_LOOKING: Final = ContextVar("looking", default=False)

P = ParamSpec("P")
R = TypeVar("R")


class _NotThere(Exception):
    """Ends the body of a stage that would have to run."""


class Stage(Generic[P, R]):
    """A Prefect task that ends in the state which its body gives by `ended`; calling it gives the body's value.

    Stages are cached by content in the workspace, so Prefect's own cache, a second truth, is off.
    """

    def __init__(self, body: Callable[P, R], name: str, **options: Any) -> None:
        self.body = body
        #: what a task runner is given to run it elsewhere
        self.task: Any = task(name=name, cache_policy=NO_CACHE, persist_result=False, **options)(body)
        update_wrapper(self, body)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self.task(*args, return_state=True, **kwargs).result())

    def is_there(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether calling it would only find what was made before."""
        token = _LOOKING.set(True)
        try:
            self.body(*args, **kwargs)
        except _NotThere:
            return False
        finally:
            _LOOKING.reset(token)
        return True


def stage_task(*, name: str, **options: Any) -> Callable[[Callable[P, R]], Stage[P, R]]:
    """Make a `Stage` of its body; the options are those of a Prefect task."""
    return lambda body: Stage(body, name, **options)


def ended(value: R, *, cached: bool, message: str) -> R:
    """End a task in the state `Cached` or `Completed`; `stage_task` takes the value out of it again."""
    state: State[R] = Completed(name="Cached" if cached else "Completed", message=message, data=value)
    return cast(R, state)


def quarantine(config: Config) -> Path:
    """Where every gate writes the rows that it sets aside or fails on; outside of the stage, so that they outlive its failure."""
    return Path(config.workspace) / "quarantine"


def save_rules(folder: Path, rules: list[dict[str, Any]]) -> None:
    """Keep what a gate found beside what it let through."""
    (folder / GATES).write_text(json.dumps(rules, indent=1) + "\n", encoding="utf-8")


def run(
    config: Config,
    name: str,
    inputs: Mapping[str, StageOutput],
    config_part: Mapping[str, Any],
    module: str,
    write: Callable[[Path, Report], None],
    *,
    label: str = "",
    suites: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> StageOutput:
    """Run a stage unless its output is there; the task ends in the state `Cached` when it was.

    Parameters
    ----------
    config
        Names the workspace.
    name
        The stage.
    inputs
        Outputs of the stages that it reads.
    config_part
        The values of the configuration that it depends on.
    module
        The task's own module; all code that it can reach is part of the key.
    write
        Loads, makes one library call and saves into the given folder; its second argument takes how much is done, of how much.
    label
        What tells this run of the stage from its others, for example a day.
    suites
        Names of the data-quality suites that its gates read.
    files
        Digests of files from outside that it reads.
    """
    digests = {key: output.digest for key, output in inputs.items()} | dict(files or {})
    digests |= {f"suite {suite}": FileRecord.of(ROOT / "expectations" / f"{suite}.json").sha256 for suite in suites}
    workspace = Path(config.workspace)
    if _LOOKING.get():
        there = find_stage(workspace, name, digests, config_part, module)
        if there is None:
            raise _NotThere
        return there
    with progress.line(name, label) as line:
        output = run_stage(workspace, name, digests, config_part, module, lambda folder: write(folder, line.report))
        line.cached = output.cached
    return ended(output, cached=output.cached, message=str(output.path))
