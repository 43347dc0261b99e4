"""What all tasks share: a content-addressed stage as a Prefect task, with one line of progress."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput, run_stage
from tasks import progress

#: Stages are cached by content in the workspace, so Prefect's own cache would only be a second truth.
OPTIONS: Final[dict[str, Any]] = {"cache_policy": NO_CACHE, "persist_result": False}
MINUTE: Final = 60


def run(
    config: Config,
    name: str,
    inputs: Mapping[str, StageOutput],
    config_part: Mapping[str, Any],
    module: str,
    write: Callable[[Path], None],
    *,
    label: str = "",
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
        Loads, makes one library call and saves into the given folder.
    label
        What tells this run of the stage from its others, for example a day.
    files
        Digests of files from outside that it reads.
    """
    digests = {key: output.digest for key, output in inputs.items()} | dict(files or {})
    with progress.line(name, label) as line:
        output = run_stage(Path(config.workspace), name, digests, config_part, module, write)
        line.cached = output.cached
    state: State[StageOutput] = Completed(name="Cached" if output.cached else "Completed", message=str(output.path), data=output)
    # Prefect takes a returned state as the task's end and hands its data to the caller.
    return cast(StageOutput, state)
