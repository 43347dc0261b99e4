"""From a release to the lists of many users, as Parquet."""

from pathlib import Path
from typing import Any, Literal

from prefect import flow
from prefect.artifacts import create_table_artifact

from cortex_rec.config import Execution
from cortex_rec.releases import places
from cortex_rec.releases.channels import PRODUCTION
from flows.alarm import tell_failure
from flows.engine import engine_of
from tasks.score import open_verified, score, take_users


@flow(name="score-batch", persist_result=False, on_failure=[tell_failure], on_crashed=[tell_failure])
def score_batch(
    releases: str = "releases",
    release: str = PRODUCTION,
    output: str = "lists",
    n: int = 20,
    users: str | None = None,
    explain: bool = False,
    processes: int = 2,
    engine: Literal["local", "dask"] = "local",
    scheduler: str | None = None,
    workspace: str = ".cortex",
) -> dict[str, Any]:
    """Make the list of every user, part by part; a stopped run goes on where it was.

    Parameters
    ----------
    releases, release
        Where the releases are, a folder or `s3://bucket/prefix`, and which one answers, by its id or channel.
    output
        The lists lie in the folder `<output>/<release id>`: `part-00000.parquet` and so on, and `done.json` when all are there.
    n
        Items a user.
    users
        A file of users: CSV or Parquet with a column `user_id`, or `.txt` with one id a line. Everybody whom the release knows when absent.
    explain
        Whether each item comes with its reasons, which takes about half as long again.
    processes
        Each holds the release in memory and uses one core.
    engine, scheduler
        `dask` has the parts written by the workers of the cluster at `scheduler`, which must see the releases and the output at the same
        paths; without a scheduler by `processes` workers of this machine.
    workspace
        Where the run's own server keeps its files.

    Returns
    -------
    dict
        What `done.json` says: the folder, users, seconds, users a second, and the most memory that a process took.
    """
    del workspace
    found = open_verified(releases, release)
    chosen = take_users(releases, found, users)
    read = [found.path, *filter(Path.exists, [places.state_of(releases)])]
    with engine_of(Execution.of(engine, scheduler), "tasks.score", workers=processes, shared=Path(output), read=read) as where:
        told = score(found, releases, chosen, output, n=n, explain=explain, processes=processes, pool=where.pool)
    create_table_artifact(key="lists", table=[told], description=f"Lists of release {found.id}")
    return told
