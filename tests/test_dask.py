"""The heavy stages on a Dask cluster: the same bits as in one process, also when a worker dies, and every fault with the way out."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from command_line import TINY, cortex_rec, environment
from prefect_server import wait_for

import tasks.score
from cortex_rec import batch
from cortex_rec.batch import Order
from cortex_rec.code_version import code_version
from cortex_rec.config import Config, Execution, load_config
from cortex_rec.errors import ClusterUnavailable, ConfigError, ProgramMissing
from cortex_rec.testing.release import small_release
from cortex_rec.testing.shop import small_shop
from flows import engine
from flows.environment import check_engine
from flows.run import run_train

ROOT = Path(__file__).parent.parent
#: More users a window than a part has.
SHOP = TINY | {"name": "shop", "windows": {"training": 2}, "ranker": "lambdarank"}
TABLES = ("interactions", "items", "users", "promotions")
#: What a cluster makes; all before and after is made by this process, whatever the engine.
SENT = {"retrievers", "lists", "ranker"}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORTEX_REC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def cli(*arguments: str, folder: Path) -> subprocess.Popen[bytes]:
    """The command line, started; what it says goes to the file `said`."""
    with (folder / "said").open("wb") as said:
        command = [sys.executable, "-m", "cortex_rec.cli", *arguments]
        return subprocess.Popen(command, cwd=folder, env=environment(own_server=True), stdout=said, stderr=said)


def kill_the_writer(parent: Path, run: subprocess.Popen[bytes]) -> int:
    """Kill the process that has a draft in the folder open, while it has it."""

    def killed() -> int:
        assert run.poll() is None, (parent, run.args)
        for draft in parent.glob(".draft-*"):
            for link in Path("/proc").glob("[0-9]*/fd/*"):
                try:
                    if link.readlink() == draft:
                        os.kill(int(link.parts[2]), signal.SIGKILL)
                        return int(link.parts[2])
                except OSError:
                    continue  # closed, or ended, meanwhile
        return 0

    end = time.monotonic() + 300
    while time.monotonic() < end:
        found = killed()
        if found:
            return found
        time.sleep(0.02)  # polling another process
    raise AssertionError(f"nobody wrote to {parent}")


def stages(workspace: Path) -> dict[tuple[str, str], str]:
    """Name and key of every finished stage, and the digest of what it made."""
    records = [json.loads(path.read_text()) for path in (workspace / "stages").glob("*/*/stage.json") if path.parent.name[0] != "."]
    return {(record["name"], record["key"]): record["digest"] for record in records}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers, in processes of their own."""
    folder = tmp_path_factory.mktemp("cluster")
    told, said = folder / "scheduler.json", (folder / "said").open("wb")
    options: dict[str, Any] = {"cwd": ROOT, "env": environment(own_server=True), "stdout": said, "stderr": said, "start_new_session": True}
    dask = [sys.executable, "-m", "dask"]
    started = [
        subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", told], **options)
    ]
    try:
        address: str = json.loads(wait_for(lambda: told.exists() and told.read_text(), 120, "the scheduler's start"))["address"]
        started.append(subprocess.Popen([*dask, "worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"], **options))
        yield address
    finally:
        for process in reversed(started):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.close()


def test_workers_of_this_machine_make_what_one_process_makes_although_one_is_killed(tmp_path: Path) -> None:
    shop = small_shop(users=700, weeks=5)
    for name in TABLES:
        getattr(shop, name).write_parquet(tmp_path / f"{name}.parquet")
    source = {"kind": "files", **{name: {"path": f"{name}.parquet"} for name in TABLES}}
    for name, more in (("local", {}), ("dask", {"engine": "dask"})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**SHOP, "source": source, "workspace": name, **more}))
    alone = cortex_rec("evaluate", "local.yaml", "--json", folder=tmp_path)
    assert alone.returncode == 0, alone.stderr
    for made in (tmp_path / "local" / "stages").iterdir():
        if made.name not in SENT | {"evaluate"}:
            shutil.copytree(made, tmp_path / "dask" / "stages" / made.name)
    running = cli("evaluate", "dask.yaml", "--json", folder=tmp_path)
    kill_the_writer(tmp_path / "dask" / "stages" / "lists-part", running)
    assert running.wait(300) == 0, (tmp_path / "said").read_text()
    expected = stages(tmp_path / "local")
    assert SENT | {"evaluate"} <= {name for name, _ in expected}
    assert stages(tmp_path / "dask") == expected
    assert "lists-part" in (tmp_path / "said").read_text()
    assert list((tmp_path / "dask").rglob(".draft-*")) == []
    # What is there needs no cluster: it is the same whoever made it.
    again = cortex_rec("evaluate", "dask.yaml", "--workspace", "local", "--json", folder=tmp_path)
    assert (again.returncode, again.stdout) == (0, alone.stdout), again.stderr
    assert again.stderr.count("unchanged") == len(expected)
    assert "cluster" not in again.stderr


@pytest.mark.slow
def test_a_clusters_workers_write_the_same_lists_although_one_is_killed(cluster: str, tmp_path: Path) -> None:
    made = small_release(tmp_path / "releases")
    users = [*(f"h{user:03}" for user in range(60)), *(f"stranger{number}" for number in range(batch.BLOCK * batch.FILES))]
    (tmp_path / "users.txt").write_text("\n".join(users))
    asked = ["score", "--releases", "releases", "--users", "users.txt", "--n", "10", "--output", "lists", "--engine", "dask"]
    folder = tmp_path / "lists" / made.id
    running = cli(*asked, "--scheduler", cluster, "--json", folder=tmp_path)
    kill_the_writer(folder, running)
    assert running.wait(300) == 0, (tmp_path / "said").read_text()
    assert json.loads((folder / batch.DONE).read_text())["computed"] == len(users)
    told = tasks.score.score.fn(made, str(tmp_path / "releases"), users, str(tmp_path / "alone"), n=10, explain=False, processes=2)
    assert told["peak_rss_mb"] > 100
    parts = Order.of(made, users, n=10, explain=False).parts()
    for number, part in enumerate(parts):
        one, other = (pl.read_parquet(batch.part_file(place, number)) for place in (folder, tmp_path / "alone" / made.id))
        assert one.equals(other)
        assert one["user_id"].unique(maintain_order=True).to_list() == users[part]
    assert list(folder.glob(".draft-*")) == []


def test_a_scheduler_that_does_not_answer_is_named_within_seconds_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(
        yaml.safe_dump({"name": "shop", "source": {"kind": "complete_journey"}, "engine": "dask", "scheduler": "tcp://127.0.0.1:9"})
    )
    start = time.monotonic()
    with pytest.raises(ClusterUnavailable, match=r"scheduler tcp://127\.0\.0\.1:9: cannot be reached .*`dask scheduler --port 9`"):
        run_train(str(tmp_path / "shop.yaml"), workspace=str(tmp_path / "work"))
    assert time.monotonic() - start < 10
    assert not (tmp_path / "work").exists()


def test_without_prefect_dask_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    with pytest.raises(ProgramMissing, match=r"pip install -c constraints.txt -e '.\[dask\]'"):
        check_engine(Execution(engine="dask"))
    check_engine(Execution())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"engine": "local", "scheduler": "tcp://host:8786"}, "`scheduler`: .*the engine is `local`; write `engine: dask`"),
        ({"scheduler": "tcp://host:8786"}, "the engine is `local`"),
        ({"engine": "dask", "scheduler": "host:8786"}, "`scheduler`"),
        ({"engine": "spark"}, "`engine`: .*'dask'"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(tmp_path: Path, given: dict[str, str], said: str) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"name": "shop", "source": {"kind": "complete_journey"}, **given}))
    with pytest.raises(ConfigError, match=said):
        load_config(tmp_path / "run.yaml")
    with pytest.raises(ConfigError, match=said):
        Execution.of(given.get("engine", "local"), given.get("scheduler"))


def test_the_engine_tells_no_two_releases_apart() -> None:
    from tasks.release import recorded_config

    local = Config.model_validate({"name": "shop", "source": {"kind": "complete_journey"}})
    assert recorded_config(local) == recorded_config(local.model_copy(update={"engine": "dask", "scheduler": "tcp://host:8786"}))


def greeted(address: str, server: str, files: list[Path], module: str = "tasks.ranker") -> None:
    from prefect_dask import DaskTaskRunner

    with DaskTaskRunner(address=address) as runner:
        engine._greet(runner, address, server, files, module)


def test_a_worker_that_lacks_something_is_named_with_the_way_out(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClusterUnavailable, match=r"worker tcp://.*: does not see .*/nowhere.* Mount one file system"):
        greeted(cluster, "http://127.0.0.1:9/api", [tmp_path, tmp_path / "nowhere"])
    with pytest.raises(ClusterUnavailable, match=r"does not reach the Prefect server http://127\.0\.0\.1:9/api .*PREFECT_API_URL"):
        greeted(cluster, "http://127.0.0.1:9/api", [tmp_path])
    monkeypatch.setattr(engine, "code_version", lambda module: code_version("tasks.lists") if module == "tasks.ranker" else "")
    with pytest.raises(ClusterUnavailable, match=r"tasks\.ranker or its libraries are not those"):
        greeted(cluster, "http://127.0.0.1:9/api", [tmp_path])


def test_a_scheduler_without_workers_says_how_to_start_some(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(engine, "PATIENCE", 0.5)
    with (
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as empty,
        pytest.raises(ClusterUnavailable, match=r"has no worker\. Start some, on each machine `dask worker tcp://"),
    ):
        greeted(empty.scheduler_address, "http://127.0.0.1:9/api", [])
