"""Lists of many users: the same as single answers, in files that appear whole, made once whatever stops the run."""

import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import cortex_rec
from prefect_server import wait_for

import tasks.score
from cortex_rec import batch
from cortex_rec.batch import Order
from cortex_rec.errors import ArtifactError, ConfigError, DataError
from cortex_rec.recommender import Recommender
from cortex_rec.releases import forgotten
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request
from cortex_rec.testing.release import small_release


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("shop") / "releases")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("CORTEX_REC_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def recommender(made: Release) -> Recommender:
    return Recommender.load(made.path)


def strangers(n: int, folder: Path) -> Path:
    """A file of users whom no release knows."""
    file = folder / "users.txt"
    file.write_text("".join(f"stranger{i}\n" for i in range(n)))
    return file


def score(made: Release, folder: Path, users: Path, n: int) -> dict[str, Any]:
    """The task without a server around it."""
    named = batch.users_in(users)
    told: dict[str, Any] = tasks.score.score.fn(made, str(made.path.parent), named, str(folder / "lists"), n=n, explain=False, processes=2)
    return told


def test_a_list_of_a_batch_is_the_answer_that_the_user_gets_alone(recommender: Recommender) -> None:
    users = [*recommender.data.users.external(list(range(40))), "stranger"]
    rows = batch.lists(recommender, users, n=5, explain=True)
    for user in users:
        (slate,) = recommender.recommend([Request(user, n=5)])
        of_user = rows.filter(pl.col("user_id") == user)
        assert of_user["place"].to_list() == list(range(1, len(slate.items) + 1))
        assert of_user["item_id"].to_list() == [each.item for each in slate.items]
        assert of_user["probability"].to_list() == [each.probability for each in slate.items]
        assert [tuple(reasons) for reasons in of_user["reasons"]] == [each.reasons for each in slate.items]
        assert set(of_user["personal"]) == {user != "stranger"}


def test_everybody_gets_a_list_but_who_asked_to_be_forgotten(made: Release, recommender: Recommender, tmp_path: Path) -> None:
    everybody = batch.everybody(recommender.data.users, tmp_path)
    assert everybody == recommender.data.users.ids.to_list()
    forgotten.add(tmp_path, everybody[3])
    assert batch.everybody(recommender.data.users, tmp_path) == everybody[:3] + everybody[4:]


def test_whoever_is_forgotten_but_named_in_a_file_is_answered_as_a_stranger(
    made: Release, recommender: Recommender, tmp_path: Path
) -> None:
    user = recommender.data.users.external([3])[0]
    forgotten.add(tmp_path, user)
    order = Order.of(made, [user], n=3, explain=False)
    batch._loaded.cache_clear()
    batch.write_part(made.path, tmp_path, [user], order, tmp_path / "part.parquet")
    batch._loaded.cache_clear()
    assert pl.read_parquet(tmp_path / "part.parquet")["personal"].to_list() == [False] * 3


def test_a_second_run_makes_only_the_parts_that_are_missing(made: Release, tmp_path: Path) -> None:
    many = 2 * batch.BLOCK + 1
    users = strangers(many, tmp_path)
    first = score(made, tmp_path, users, 3)
    assert (first["users"], first["computed"]) == (many, many)
    folder = tmp_path / "lists" / made.id
    files = sorted(folder.glob("part-*.parquet"))
    assert len(files) == 3
    whole = pl.read_parquet(files)
    assert whole["user_id"].unique(maintain_order=True).to_list() == users.read_text().split()
    assert whole.height == 3 * many
    unchanged = files[0].stat().st_ino
    files[1].unlink()
    (folder / batch.DONE).unlink()
    second = score(made, tmp_path, users, 3)
    assert second["computed"] == batch.BLOCK
    assert files[0].stat().st_ino == unchanged
    assert pl.read_parquet(files).equals(whole)
    third = score(made, tmp_path, users, 3)
    assert third == second


@pytest.mark.parametrize(("users", "part"), [(1, 32), (4_096, 32), (4_097, 64), (1_000_000, 512)])
def test_a_part_is_of_whole_blocks_and_there_are_enough_parts_for_all_processes_to_end_together(
    made: Release, users: int, part: int
) -> None:
    order = Order.of(made, [str(number) for number in range(users)], n=3, explain=False)
    cut = order.parts()
    assert {each.stop - each.start for each in cut[:-1]} <= {part}
    assert (cut[0].start, cut[-1].stop) == (0, users)
    assert all(before.stop == after.start for before, after in itertools.pairwise(cut))


PARTS = """
import sys
from pathlib import Path
from cortex_rec import batch
from cortex_rec.batch import Order

release, beside, file = map(Path, sys.argv[1:])
written, memory = batch.write_part(release, beside, ["nobody"], Order(release.name, 3, False, 1, "", 32), file)
assert written == 1 and memory > 0
print(sorted({"prefect", "torch", "dgl", "lightgbm", "pandas"} & set(sys.modules)))
"""


def test_a_process_that_writes_parts_loads_neither_prefect_nor_what_trains(made: Release, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARTS, str(made.path), str(tmp_path), str(tmp_path / "part.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert pl.read_parquet(tmp_path / "part.parquet")["user_id"].to_list() == ["nobody"] * 3


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_where_it_was(made: Release, tmp_path: Path) -> None:
    many = 2 * batch.BLOCK * batch.FILES
    users, folder = strangers(many, tmp_path), tmp_path / "lists" / made.id
    asked = ["score", "--releases", str(made.path.parent), "--users", str(users), "--n", "50", "--processes", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "cortex_rec.cli", *asked]
    with (tmp_path / "said").open("w") as said:
        running = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, stderr=said)

    def written() -> bool:
        assert running.poll() is None, (tmp_path / "said").read_text()
        return batch.part_file(folder, 0).exists()

    wait_for(written, 300, "the first part")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    there = {file: file.stat().st_ino for file in folder.glob("part-*.parquet")}
    assert not (folder / batch.DONE).exists()
    assert 0 < len(there) < batch.FILES, "it was to be killed in the middle"
    done = cortex_rec(*asked[:-2], "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["computed"] == many - len(there) * (many // batch.FILES)
    assert {file: file.stat().st_ino for file in there} == there
    assert pl.scan_parquet(folder / "part-*.parquet").select(pl.col("user_id").n_unique()).collect().item() == many


def test_a_folder_of_another_order_is_refused_and_says_what_differs(made: Release, tmp_path: Path) -> None:
    order = Order.of(made, ["a", "b"], n=3, explain=False)
    order.begin(tmp_path)
    order.begin(tmp_path)
    with pytest.raises(ConfigError, match="holds lists for n 3, not 4"):
        replace(order, n=4).begin(tmp_path)
    with pytest.raises(ConfigError, match="holds lists for other users"):
        Order.of(made, ["a", "c"], n=3, explain=False).begin(tmp_path)
    (tmp_path / batch.ORDER).write_text("{")
    with pytest.raises(ArtifactError, match=r"order\.json: cannot be read"):
        order.begin(tmp_path)


def test_nobody_and_nothing_are_refused(made: Release) -> None:
    with pytest.raises(DataError, match="there is nobody to make lists for"):
        Order.of(made, [], n=3, explain=False)
    with pytest.raises(ConfigError, match="0 items cannot be recommended"):
        Order.of(made, ["a"], n=0, explain=False)


def test_users_are_read_from_csv_parquet_and_text_each_once(tmp_path: Path) -> None:
    table = pl.DataFrame({"user_id": ["07", "8", "07", None, ""], "mail": ["a", "b", "c", "d", "e"]})
    table.write_csv(tmp_path / "users.csv")
    table.write_parquet(tmp_path / "users.parquet")
    (tmp_path / "users.txt").write_text("07\n8\n07\n\n")
    for name in ("users.csv", "users.parquet", "users.txt"):
        assert batch.users_in(tmp_path / name) == ["07", "8"], name


def test_a_file_without_users_names_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("customer,mail\n7,a\n")
    with pytest.raises(DataError, match=r"users.csv: has no column 'user_id', only customer, mail"):
        batch.users_in(tmp_path / "users.csv")
    with pytest.raises(DataError, match=r"gone.csv: cannot be read as a list of users"):
        batch.users_in(tmp_path / "gone.csv")
    (tmp_path / "users.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"users.parquet: cannot be read as a list of users"):
        batch.users_in(tmp_path / "users.parquet")
