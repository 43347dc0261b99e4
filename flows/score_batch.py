"""From a release to the lists of many users, as Parquet."""

from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from cortex_rec.releases.channels import PRODUCTION
from flows.alarm import tell_failure
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
    told = score(found, releases, chosen, output, n=n, explain=explain, processes=processes)
    create_table_artifact(key="lists", table=[told], description=f"Lists of release {found.id}")
    return told
