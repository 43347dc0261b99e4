"""The whole training flow on a small slice of the real year: repeatable, resumable, and idle when nothing has changed."""

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import environment

from cortex_rec.releases import store
from flows.environment import end_orphans

#: Of what is left, fruit and vegetables above all, there are few titles to embed.
NOT_IN_IT = "COUPON, COSMETICS, DELI, DRUG GM, FLORAL, FUEL, GROCERY, MEAT, MEAT-PCKGD, MISCELLANEOUS, NUTRITION, PASTRY, SEAFOOD, SPIRITS"
SLICE = {
    "name": "slice",
    "source": {
        "kind": "complete_journey",
        "household_stride": 12,
        "exclude_departments": NOT_IN_IT.split(", "),
    },
    "windows": {"training": 2},
    "embeddings": {"fusion": {"steps": 20}},
    "retrieval": {"graph": {"steps": 3, "refresh_steps": 1}},
    "ranking": {"lambdarank": {"trees": 12, "leaves": 7, "min_rows_in_leaf": 20}},
    "evaluation": {"bootstrap_samples": 50},
}
#: An early, a middle and a late stage; the run is killed in each in turn.
KILLED_IN = ("fusion", "lists", "evaluate")


def command(folder: Path) -> list[str]:
    return [
        sys.executable, "-m", "cortex_rec.cli", "train", str(folder / "slice.yaml"),
        "--workspace", str(folder / "work"), "--releases", str(folder / "releases"), "--json",
    ]  # fmt: skip


def new_run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "slice.yaml").write_text(yaml.safe_dump(SLICE))
    return folder


def train(folder: Path, *, own_server: bool = False) -> tuple[dict[str, Any], str]:
    """Train to the end; give the report and what was said on the way."""
    variables = environment(own_server=own_server)
    done = subprocess.run(command(folder), env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def finished(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (folder / "work" / "stages").glob("*/*/stage.json") if path.parent.name[0] != "."}


def kill_in(folder: Path, stage: str, *, own_server: bool) -> None:
    """Start the run and kill it as soon as the stage has begun to write."""
    variables = environment(own_server=own_server)
    with subprocess.Popen(command(folder), env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not any((folder / "work" / "stages" / stage).glob(".draft-*")):
            assert process.poll() is None, f"the run ended before {stage}"
            time.sleep(0.02)  # polling another process
        process.send_signal(signal.SIGKILL)


def processor_seconds() -> float:
    """Of all processes that this one has waited for: what else the machine does is not in it."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = new_run(tmp_path_factory.mktemp("flow") / "whole")
    return folder, train(folder, own_server=True)[0]


def test_a_run_ends_in_a_verified_release_with_its_report(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, told = whole
    release = store.verify(folder / "releases")
    assert release.id == told["release"]
    assert f"{release.manifest.data.as_of:%Y-%m-%d}" == "2018-01-01"
    assert "<html" in (release.path / "report" / "report.html").read_text()
    assert told["metrics"]["ndcg@10"] > told["baselines"]["popularity"]["ndcg@10"]
    assert set(told["seconds"]) >= {"ingest", "check", "encode", "embed", "retrievers", "lists", "ranker", "evaluate"}
    assert 100 < told["peak_rss_mb"] < 6 * 1024
    assert str(folder) not in (release.path / "manifest.json").read_text(), "no place on this machine tells two releases apart"


def test_an_unchanged_rerun_does_nothing_but_start_and_end(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, told = whole
    before, spent = finished(folder), processor_seconds()
    again, said = train(folder, own_server=True)
    # Most of it is the start of Prefect and its server: 18 seconds where other tests run beside it.
    assert processor_seconds() - spent < 30
    assert again["release"] == told["release"]
    assert finished(folder) == before
    assert said.count("unchanged") == len(before) + 2, "every stage, the release and the gate"


def test_a_run_killed_in_one_stage_after_another_repeats_no_finished_stage_and_ends_in_the_same_release(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = new_run(tmp_path / "killed")
    before: dict[Path, int] = {}
    for stage in KILLED_IN:
        kill_in(folder, stage, own_server=stage == KILLED_IN[0])
        assert finished(folder).items() >= before.items()
        assert not store.release_ids(folder / "releases")
        before = finished(folder)
    told, _ = train(folder)
    assert finished(folder).items() >= before.items()
    assert told["release"] == whole[1]["release"]
    assert store.verify(folder / "releases").manifest.digest == store.verify(whole[0] / "releases").manifest.digest
    assert list(folder.rglob(".draft-*")) == []
    assert end_orphans(folder / "work") == [], "the server of the first killed run has ended with a later run"


def test_a_changed_ranker_setting_repeats_only_what_depends_on_it(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, told = whole
    before = finished(folder)
    changed = SLICE | {"ranking": {"lambdarank": {"trees": 6, "leaves": 7, "min_rows_in_leaf": 20}}}
    (folder / "slice.yaml").write_text(yaml.safe_dump(changed))
    again, _ = train(folder)
    assert {path.parent.parent.name for path in finished(folder).keys() - before.keys()} == {"ranker", "evaluate", "reference"}
    assert again["release"] != told["release"]
    assert store.resolve(folder / "releases", "candidate") == again["release"]
    assert again["promotion"]["champion"] == told["release"]


def test_a_run_that_fails_says_why_in_one_message_and_leaves_the_former_release(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = whole
    former = store.resolve(folder / "releases", "production")
    impossible = SLICE | {"windows": {"training": 2, "end": "2016-01-01"}}
    (folder / "slice.yaml").write_text(yaml.safe_dump(impossible))
    done = subprocess.run(command(folder), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "windows.end" in done.stderr
    assert "Traceback" not in done.stderr
    assert store.verify(folder / "releases").id == former
