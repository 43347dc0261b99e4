"""Lists of many users: one library call a part, in several processes or on a cluster."""

import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final

from prefect import task
from prefect.cache_policies import NO_CACHE

from cortex_rec import batch, folders
from cortex_rec.errors import ConfigError, ProgramFailed
from cortex_rec.ids import IdMap
from cortex_rec.releases import places, store
from cortex_rec.releases.store import Release
from tasks import progress
from tasks.stage import MINUTE

_HOURS: Final = 24


@task(name="open-verified", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=10 * MINUTE)
def open_verified(releases: str, name: str) -> Release:
    """Verify the release that answers."""
    with progress.line("choose"):
        return store.open_release(releases, name)


@task(name="take-users", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=10 * MINUTE)
def take_users(releases: str, release: Release, file: str | None) -> list[str]:
    """Those of a file, or everybody whom the release knows."""
    if file is not None:
        return batch.users_in(Path(file))
    return batch.everybody(IdMap.load(release.path / "encoded" / "users.parquet"), places.state_of(releases))


def processes_of_this_machine(n: int) -> Executor:
    """A fresh process each: a forked one would inherit the server's threads' locks."""
    return ProcessPoolExecutor(n, multiprocessing.get_context("spawn"))


@task(name="score", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=_HOURS * 60 * MINUTE)
def score(
    release: Release,
    releases: str,
    users: Sequence[str],
    output: str,
    *,
    n: int,
    explain: bool,
    processes: int,
    pool: Callable[[int], Executor] = processes_of_this_machine,
) -> dict[str, Any]:
    """Write the parts that are not there yet, then `done.json`; give what that says.

    `pool` makes what runs the parts, so many of them at once, with a result for each.
    """
    if processes < 1:
        raise ConfigError(f"processes: {processes} cannot work. Give at least 1.")
    order = batch.Order.of(release, users, n=n, explain=explain)
    folder = Path(output) / release.id
    order.begin(folder)
    parts = {number: part for number, part in enumerate(order.parts()) if not batch.part_file(folder, number).exists()}
    there = order.users - sum(part.stop - part.start for part in parts.values())
    start, done, most = time.perf_counter(), 0, 0
    with progress.line("score", f"{n} items each,") as line:
        line.cached = not parts and (folder / batch.DONE).exists()
        given = release.path.resolve(), places.state_of(releases).resolve()
        # Where there is nothing to do, no cluster is started.
        with (pool if parts else processes_of_this_machine)(max(1, min(processes, len(parts)))) as workers:
            running = [
                # A function of the library: a process that is started for it loads nothing of Prefect.
                workers.submit(batch.write_part, *given, users[part], order, batch.part_file(folder, number).resolve())
                for number, part in parts.items()
            ]
            try:
                for finished in as_completed(running):
                    written, memory = finished.result()
                    done, most = done + written, max(most, memory)
                    line.report(there + done, order.users)
            except BrokenProcessPool as error:
                raise ProgramFailed(
                    f"{folder}: a process that made lists was ended from outside, perhaps for want of memory: each of the {processes} "
                    "holds the release. Run again, with fewer `processes`: what is finished is kept."
                ) from error
            finally:
                for each in running:
                    each.cancel()
        if line.cached:
            return dict(json.loads((folder / batch.DONE).read_text(encoding="utf-8")))
    seconds = time.perf_counter() - start
    told = {"folder": str(folder), "users": order.users, "n": n, "computed": done, "seconds": round(seconds, 1)}
    told |= {"users_per_second": round(done / seconds, 1), "peak_rss_mb": most}
    with folders.replace_file(folder / batch.DONE) as fresh:
        fresh.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told
