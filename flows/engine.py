"""Where the heavy stages run: in this process, or as Prefect tasks on the workers of a Dask cluster. Their bodies are the same."""

import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import httpx
from prefect import get_client
from prefect.futures import PrefectFuture, PrefectWrappedFuture
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import get_call_parameters

from cortex_rec.code_version import code_version
from cortex_rec.config import Config, Execution
from cortex_rec.errors import ClusterUnavailable
from cortex_rec.stages import StageOutput
from flows.environment import PATIENCE, check_engine, no_scheduler
from tasks import progress
from tasks.lists import build_lists, build_part, drop_parts
from tasks.score import processes_of_this_machine
from tasks.stage import Stage
from tasks.windows import users_of

if TYPE_CHECKING:
    from prefect_dask.task_runners import DaskTaskRunner

#: Seconds between two looks whether there still is a worker.
_ALONE: Final = 30.0

#: A stage's output, now or as soon as a worker has made it.
Pending = StageOutput | PrefectFuture[Any]


class Engine(Protocol):
    """Runs stages."""

    def run(self, stage: Stage[..., StageOutput], *arguments: Any) -> Pending:
        """Run a stage whose arguments may be pending themselves."""

    def lists(self, config: Config, encoded: StageOutput, snapshot: Pending, window: tuple[int, int]) -> Pending:
        """Run `build_lists`, whose snapshot may be pending."""

    def results(self, pending: Sequence[Pending]) -> list[StageOutput]:
        """Wait for all; raises what the first that failed has raised."""

    def pool(self, n: int) -> Executor:
        """What runs functions, `n` at once where that is to be chosen."""


class Local:
    """One stage after another, in this process."""

    def run(self, stage: Stage[..., StageOutput], *arguments: Any) -> StageOutput:
        return stage(*arguments)

    def lists(self, config: Config, encoded: StageOutput, snapshot: Pending, window: tuple[int, int]) -> StageOutput:
        return build_lists(config, encoded, cast(StageOutput, snapshot), window)

    def results(self, pending: Sequence[Pending]) -> list[StageOutput]:
        return cast(list[StageOutput], list(pending))

    def pool(self, n: int) -> Executor:
        return processes_of_this_machine(n)


LOCAL: Final = Local()


class Cluster:
    """Stages wait for those that they read at the scheduler, and run as soon as a worker is free; what is there is not sent at all."""

    def __init__(self, runner: "DaskTaskRunner", told: str) -> None:
        self._runner = runner
        self._told = told
        self._parts: list[Pending] = []

    def run(self, stage: Stage[..., StageOutput], *arguments: Any) -> Pending:
        if _all_known(arguments) and stage.is_there(*arguments):
            return stage(*arguments)
        return self._runner.submit(stage.task, get_call_parameters(stage.body, arguments, {}))

    def lists(self, config: Config, encoded: StageOutput, snapshot: Pending, window: tuple[int, int]) -> Pending:
        arguments = (config, encoded, snapshot, window)
        if isinstance(snapshot, StageOutput) and build_lists.is_there(config, encoded, snapshot, window):
            return build_lists(config, encoded, snapshot, window)
        from cortex_rec.ranking import training  # what is unchanged is found without it

        users = users_of(config, encoded, window)
        parts = [self.run(build_part, *arguments, (each.start, each.stop)) for each in training.parts(users)]
        self._parts += parts
        return self.run(build_lists, *arguments, parts)

    def results(self, pending: Sequence[Pending]) -> list[StageOutput]:
        if _all_known(pending):
            return cast(list[StageOutput], list(pending))
        found: list[StageOutput] = []
        with progress.line("cluster", self._told) as line:
            for each in pending:
                found.append(self._result(each))
                line.report(len(found), len(pending))
        drop_parts([self._result(each) for each in self._parts])
        self._parts = []
        return found

    def pool(self, n: int) -> Executor:
        del n
        client: Any = self._runner.client
        executor: Executor = client.get_executor(pure=False)
        return executor

    def _result(self, pending: Pending) -> StageOutput:
        if isinstance(pending, StageOutput):
            return pending
        sent = cast(PrefectWrappedFuture[Any, Any], pending)
        sent.wait(_ALONE)
        while not sent.wrapped_future.done():
            if not self._runner.client.scheduler_info()["workers"]:
                progress.note(f"No worker is left of {self._told}: this run waits until one is started.")
            sent.wait(_ALONE)
        return cast(StageOutput, sent.result())


@contextmanager
def engine_of(execution: Execution, module: str, *, workers: int, shared: Path, read: Sequence[Path] = ()) -> Iterator[Engine]:
    """Within, what runs the heavy stages.

    Parameters
    ----------
    execution
        The part of the configuration that says which.
    module
        The code that the workers of a named scheduler must have as it is here.
    workers
        Processes of the cluster that is started where no scheduler is named; it starts with the first stage that has to run.
    shared
        The folder that all of them write to; made where it is not there.
    read
        Files and folders that they must see, too.

    Raises
    ------
    ProgramMissing
        If prefect-dask is not installed.
    ClusterUnavailable
        If the scheduler does not answer, has no worker, or a worker lacks what it needs; within, if one worker after another dies.
    """
    check_engine(execution)
    if execution.engine == "local":
        yield LOCAL
        return
    from distributed import CancelledError, KilledWorker
    from prefect_dask.task_runners import DaskTaskRunner

    told = execution.scheduler or f"{workers} workers of this machine"
    runner = DaskTaskRunner(**_of_address(execution.scheduler) if execution.scheduler else _of_this_machine(workers))
    # Workers tell the server of this run what they do; without `PREFECT_API_URL` it is one that only this process knows.
    server = str(get_client(sync_client=True).api_url).rstrip("/")
    try:
        with temporary_settings({PREFECT_API_URL: server}), runner:
            if execution.scheduler is not None:
                with _token(shared) as token:
                    _greet(runner, execution.scheduler, server, [token, *read], module)
            yield Cluster(runner, told)
    except KilledWorker as error:
        raise ClusterUnavailable(
            f"{told}: {error.allowed_failures + 1} workers died one after another of the same work, perhaps for want of memory. "
            "Start workers with more, then run again: finished stages are kept."
        ) from error
    except CancelledError as error:
        raise ClusterUnavailable(f"{told}: the scheduler was lost. Start it and run again: finished stages are kept.") from error


@contextmanager
def training_engine(config: Config) -> Iterator[tuple[Config, Engine]]:
    """Within, what runs the heavy stages of training, and the configuration to give them: workers need a workspace with its whole path."""
    if config.engine == "dask":
        config = config.model_copy(update={"workspace": str(Path(config.workspace).resolve())})
    with engine_of(config, "tasks.ranker", workers=config.threads, shared=Path(config.workspace)) as engine:
        yield config, engine


def _of_address(scheduler: str) -> dict[str, Any]:
    return {"address": scheduler, "client_kwargs": {"timeout": PATIENCE}}


def _of_this_machine(workers: int) -> dict[str, Any]:
    # What bounds the memory is the size of the parts; a limit of Dask's would kill what runs in one process of this machine without it.
    own = {"n_workers": workers, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": "127.0.0.1:0"}
    # Workers share this terminal: no moving lines.
    return {"cluster_kwargs": own | {"env": {"TERM": "dumb"}}}


def _greet(runner: "DaskTaskRunner", scheduler: str, server: str, files: Sequence[Path], module: str) -> None:
    """Ask every worker whether it has what it needs."""
    try:
        client = runner.client
    except OSError as error:
        raise ClusterUnavailable(no_scheduler(scheduler, error)) from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise ClusterUnavailable(
            f"scheduler {scheduler}: has no worker. Start some, on each machine `dask worker {scheduler} --nthreads 1`."
        ) from error
    try:
        answers = client.run(_fault, server, [file.resolve() for file in files], module, code_version(module))
    except ModuleNotFoundError as error:
        raise ClusterUnavailable(
            f"scheduler {scheduler}: a worker has no module {error.name!r}. Install this project there as it is here."
        ) from error
    for worker, fault in answers.items():
        if fault:
            raise ClusterUnavailable(f"worker {worker}: {fault}")


def _fault(server: str, files: Sequence[Path], module: str, version: str) -> str:
    """On a worker: what it lacks, and the way out; empty when it has everything."""
    if code_version(module) != version:
        return f"{module} or its libraries are not those of the machine that starts the run. Install the same commit and constraints.txt."
    hidden = [str(file) for file in files if not file.exists()]
    if hidden:
        return f"does not see {hidden[0]}, which the machine that starts the run does. Mount one file system at the same path on both."
    try:
        httpx.get(f"{server}/health", timeout=PATIENCE)
    except httpx.HTTPError as error:
        return (
            f"does not reach the Prefect server {server} ({error}). Start one that all machines reach, "
            "`prefect server start --host 0.0.0.0`, and set PREFECT_API_URL where the run is started."
        )
    return ""


@contextmanager
def _token(folder: Path) -> Iterator[Path]:
    """A fresh file in a folder, by which another machine knows it again."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / f".seen-{secrets.token_hex(8)}"
    token.touch()
    try:
        yield token
    finally:
        token.unlink(missing_ok=True)


def _all_known(arguments: Sequence[Any]) -> bool:
    """Whether nothing among them, or in a list among them, is pending."""
    return all(_all_known(each) if isinstance(each, list) else not isinstance(each, PrefectFuture) for each in arguments)
