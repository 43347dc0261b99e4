"""A release is immutable, verified, and never half there."""

import json
import signal
import subprocess
import sys
import tempfile
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cortex_rec import folders
from cortex_rec.errors import ArtifactError, ReleaseNotFound
from cortex_rec.releases import channels, store
from cortex_rec.releases.manifest import Contents, DataWindow, Feature, Manifest


def contents(**changes: Any) -> Contents:
    stated: dict[str, Any] = {
        "name": "shop",
        "data": DataWindow(
            as_of=datetime(2026, 1, 8), first=datetime(2025, 1, 1), last=datetime(2026, 1, 7, 23), interactions=10, users=2, items=3
        ),
        "config": {"seed": 7},
        "features": (Feature(name="age", dtype="float32"),),
        "metrics": {"ndcg@10": 0.25},
        "libraries": {"numpy": "2.4.6"},
        "git_commit": "abc",
    }
    return Contents(**(stated | changes))


def publish(root: Path, text: str = "model", run: dict[str, Any] | None = None, **changes: Any) -> store.Release:
    def write(folder: Path) -> None:
        (folder / "graph").mkdir()
        (folder / "graph" / "users.bin").write_text(text)
        (folder / "ranker.txt").write_text("trees")

    return store.publish(root, write, contents(**changes), run or {"seconds": {"fit": 1.5}})


def promoted(root: Path, text: str = "model") -> store.Release:
    made = publish(root, text)
    channels.promote(root, made.id, by="ann", why="better", at=datetime(2026, 1, 8, 12, tzinfo=UTC))
    return made


def damage(path: Path, text: str) -> None:
    path.chmod(0o644)
    path.write_text(text)


def test_a_release_can_be_opened_again_as_it_was_published(tmp_path: Path) -> None:
    made = promoted(tmp_path)
    found = store.open_release(tmp_path)
    assert found == made
    assert found.id == f"2026-01-08-{made.manifest.digest[:10]}"
    assert (found.path / "graph" / "users.bin").read_text() == "model"
    assert found.run() == {"seconds": {"fit": 1.5}}
    assert set(found.manifest.files) == {"graph/users.bin", "ranker.txt"}


def test_the_same_content_gives_the_same_id_whatever_the_commit_and_the_time_it_took(tmp_path: Path) -> None:
    first = publish(tmp_path / "a", run={"seconds": {"fit": 1.0}}, git_commit="abc")
    second = publish(tmp_path / "b", run={"seconds": {"fit": 2.0}}, git_commit="def")
    assert first.id == second.id
    manifests = [json.loads((release.path / "manifest.json").read_text()) for release in (first, second)]
    assert {key for key in manifests[0] if manifests[0][key] != manifests[1][key]} == {"git_commit"}


@pytest.mark.parametrize("change", [{"text": "other"}, {"config": {"seed": 8}}, {"metrics": {"ndcg@10": 0.26}}, {"libraries": {}}])
def test_other_files_config_metrics_or_libraries_give_another_id(tmp_path: Path, change: dict[str, Any]) -> None:
    assert publish(tmp_path).id != publish(tmp_path, **change).id


def test_publishing_the_same_content_again_changes_no_file_and_makes_it_the_candidate(tmp_path: Path) -> None:
    first = publish(tmp_path, run={"seconds": {"fit": 1.0}})
    other = publish(tmp_path, "other")
    assert store.resolve(tmp_path, "candidate") == other.id
    assert publish(tmp_path, run={"seconds": {"fit": 9.0}}).id == first.id
    assert store.resolve(tmp_path, "candidate") == first.id
    assert first.run() == {"seconds": {"fit": 1.0}}
    assert set(store.release_ids(tmp_path)) == {first.id, other.id}


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("graph/users.bin", "mOdel", "graph/users.bin has SHA-256"),
        ("ranker.txt", "tree", "ranker.txt has 4 bytes, expected 5"),
        ("manifest.json", "{", "manifest.json: is damaged"),
        ("manifest.json", '{"format_version": 99}', "format version 99"),
        ("extra.txt", "?", "extra.txt is not in its manifest"),
    ],
)
def test_a_damaged_release_is_refused_and_the_former_one_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    former, newer = publish(tmp_path), promoted(tmp_path, "newer")
    if (newer.path / file).exists():
        damage(newer.path / file, text)
    else:
        (newer.path / file).write_text(text)
    with pytest.raises(ArtifactError, match=r"Use another|Remove the file") as caught:
        store.open_release(tmp_path)
    assert said in str(caught.value)
    assert file == "extra.txt" or former.id in str(caught.value)
    assert store.open_release(tmp_path, former.id).id == former.id


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    made = promoted(tmp_path)
    (made.path / "ranker.txt").unlink()
    with pytest.raises(ArtifactError, match=r"ranker\.txt is missing\. There is no other release"):
        store.open_release(tmp_path)


def test_a_manifest_edited_by_hand_is_refused(tmp_path: Path) -> None:
    path = publish(tmp_path).path / "manifest.json"
    damage(path, path.read_text().replace("0.25", "0.99"))
    with pytest.raises(ArtifactError, match="changed after the release was made"):
        Manifest.read(path)


def test_a_release_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ReleaseNotFound, match=r"`production` points to no release yet.*cortex-rec train"):
        store.open_release(tmp_path / "nowhere")
    made = publish(tmp_path)
    with pytest.raises(ReleaseNotFound, match=f"cortex-rec releases promote {made.id} --why"):
        store.open_release(tmp_path)
    for name in ("2020-01-01-0000000000", "..", f"{made.id}/..", "channels"):
        with pytest.raises(ReleaseNotFound, match=made.id):
            store.open_release(tmp_path, name)


CHILD = """
import resource, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_releases import contents
from cortex_rec.errors import ArtifactError
from cortex_rec.releases import store
{body}
"""


def child(body: str, root: Path) -> list[str]:
    script = CHILD.format(tests=str(Path(__file__).parent), body=textwrap.dedent(body))
    return [sys.executable, "-c", script, str(root)]


def test_a_kill_while_publishing_leaves_the_former_release_and_no_half_one(tmp_path: Path) -> None:
    former = promoted(tmp_path)
    body = """
        def write(folder):
            (folder / "half.bin").write_bytes(bytes(1000))
            print("writing", flush=True)
            time.sleep(600)
        store.publish(Path(sys.argv[1]), write, contents(), {})
    """
    with subprocess.Popen(child(body, tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert store.release_ids(tmp_path) == [former.id]
    assert store.open_release(tmp_path).id == former.id
    assert publish(tmp_path, "newer").id == store.open_release(tmp_path, "candidate").id
    assert list(tmp_path.glob(".draft-*")) == []


def test_the_drafts_of_a_machine_whose_name_goes_on_are_another_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node-1")
    theirs = Path(tempfile.mkdtemp(prefix=folders.draft_prefix(), dir=tmp_path))
    monkeypatch.setattr("socket.gethostname", lambda: "node")
    ours = Path(tempfile.mkdtemp(prefix=folders.draft_prefix(), dir=tmp_path))
    promoted(tmp_path)
    assert theirs.exists()
    assert not ours.exists()


def test_a_full_disk_while_publishing_leaves_the_former_release_served(tmp_path: Path) -> None:
    former = promoted(tmp_path)
    body = """
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
        try:
            store.publish(Path(sys.argv[1]), lambda folder: (folder / "big").write_bytes(bytes(10**6)), contents(), {})
        except ArtifactError as error:
            print(error)
    """
    said = subprocess.run(child(body, tmp_path), capture_output=True, text=True, check=True).stdout
    assert "Free some space" in said
    assert store.release_ids(tmp_path) == [former.id]
    assert store.open_release(tmp_path).id == former.id
    assert list(tmp_path.glob(".draft-*")) == []
