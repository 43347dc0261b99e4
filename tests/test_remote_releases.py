"""Releases in a bucket: found whole or not at all, checked on every load, and kept on this machine for when the bucket is away."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from killed import Killer
from s3 import Server
from test_releases import contents, promoted, publish

from cortex_rec.errors import ArtifactError, ReleaseNotFound, StoreUnavailable
from cortex_rec.releases import cache, channels, store, transfer
from cortex_rec.releases.places import home_of, storage_of
from cortex_rec.releases.storage import Storage
from cortex_rec.releases.store import Release

NOON = datetime(2026, 1, 8, 12, tzinfo=UTC)
NAMES = ("big.bin", "graph/users.bin", "manifest.json", "ranker.txt", "run.json")


@pytest.fixture
def place(s3: Server) -> str:
    return f"s3://{s3.bucket()}/releases"


def whole(root: str | Path, text: str = "model") -> Release:
    """A release with a file that takes more than one piece to send."""

    def write(folder: Path) -> None:
        (folder / "graph").mkdir()
        (folder / "graph" / "users.bin").write_text(text)
        (folder / "ranker.txt").write_text("trees")
        (folder / "big.bin").write_bytes(bytes(range(256)) * 400)

    return store.publish(root, write, contents(), {"seconds": {"fit": 1.5}})


def forget_what_was_fetched(place: str) -> None:
    shutil.rmtree(home_of(place), ignore_errors=True)


def flip(storage: Storage, name: str) -> None:
    found = storage.read(name)
    assert found is not None
    content = bytearray(found.content)
    content[len(content) // 2] ^= 1
    assert storage.write(name, bytes(content), expected=found.tag)


def test_a_release_of_a_bucket_is_opened_as_it_was_published(place: str) -> None:
    made = promoted(place)
    assert storage_of(place).list(f"{made.id}/").keys() == {f"{made.id}/{name}" for name in NAMES if name != "big.bin"}
    assert store.open_release(place) == made
    forget_what_was_fetched(place)
    found = store.open_release(place)
    assert found == made
    assert found.path == home_of(place) / made.id
    assert (found.path / "graph" / "users.bin").read_text() == "model"
    assert found.run() == {"seconds": {"fit": 1.5}}
    assert all(not path.stat().st_mode & 0o222 for path in found.path.rglob("*.*"))
    assert store.release_ids(place) == [made.id]
    assert store.manifest_of(place, "production") == made.manifest


def test_publishing_the_same_again_sends_nothing_and_names_it_candidate(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = publish(place), publish(place, "other")
    forget_what_was_fetched(place)
    monkeypatch.delattr("cortex_rec.releases.storage_s3.S3Bucket.upload")
    assert publish(place, git_commit="def").id == first.id
    assert store.resolve(place, "candidate") == first.id
    assert store.manifest_of(place, first.id).git_commit == "abc", "what is published does not change"


def test_a_release_that_is_not_in_the_bucket_is_named_with_those_that_are(place: str) -> None:
    with pytest.raises(ReleaseNotFound, match=r"`production` points to no release yet.*cortex-rec train"):
        store.open_release(place)
    made = publish(place)
    with pytest.raises(ReleaseNotFound, match=f"no release '2020-01-01-0000000000'. Use another: {made.id}"):
        store.open_release(place, "2020-01-01-0000000000")


@pytest.mark.parametrize("name", NAMES)
def test_a_bit_that_changed_in_the_bucket_is_found_before_anything_is_served_and_a_push_mends_it(
    place: str, tmp_path: Path, name: str
) -> None:
    made = whole(tmp_path / "laptop")
    store.push(tmp_path / "laptop", place, made.id)
    flip(storage_of(place), f"{made.id}/{name}")
    if name == "run.json":  # tells how long it took; no digest covers it
        assert store.open_release(place, made.id).manifest == made.manifest
        return
    with pytest.raises(ArtifactError, match=f"{made.id}/{name}:? "):
        store.open_release(place, made.id)
    assert not (home_of(place) / made.id).exists()
    assert transfer.upload(made.path, made.manifest, storage_of(place)) == [name]
    assert store.open_release(place, made.id).manifest == made.manifest


@pytest.mark.parametrize("name", [name for name in NAMES if name != "run.json"])
def test_a_bit_that_changed_on_this_machine_is_fetched_again(place: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    made = whole(place)
    path = home_of(place) / made.id / name
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    assert store.open_release(place, made.id).manifest == made.manifest
    assert path.read_bytes() == content
    assert f"{name}" in caplog.text
    assert "It is fetched again" in caplog.text


def test_a_bit_that_changed_in_this_machine_s_copy_of_a_channel_is_no_matter_while_the_bucket_answers(place: str) -> None:
    first, second = promoted(place, "first"), publish(place, "second")
    for channel in ("production", "candidate"):
        store.open_release(place, channel)
        flip(storage_of(home_of(place)), f"channels/{channel}.json")
    shutil.rmtree(second.path)
    assert store.open_release(place, second.id) == second
    assert store.open_release(place) == first
    assert channels.read(home_of(place), "production") == channels.read(place, "production")


def test_what_was_fetched_is_served_while_the_bucket_is_away_and_the_log_says_so(
    s3: Server, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = promoted(place, "first"), publish(place, "second")
    assert store.open_release(place) == first
    with s3.away():
        assert store.open_release(place) == first
        assert f"Release {first.id} is taken from what was fetched before" in caplog.text
        assert store.open_release(place, second.id) == second, "it was made here"
        with pytest.raises(StoreUnavailable, match="does not answer"):
            store.open_release(place, "candidate")
        (first.path / "ranker.txt").chmod(0o644)
        (first.path / "ranker.txt").write_text("tres")
        with pytest.raises(ArtifactError, match=r"ranker\.txt has 4 bytes"):
            store.open_release(place)
    assert store.open_release(place, "candidate") == second
    assert store.open_release(place) == first


def test_a_push_sends_what_is_not_there_as_it_must_be_and_moves_no_channel(place: str, tmp_path: Path) -> None:
    made = whole(tmp_path / "laptop")
    storage = storage_of(place)
    storage.upload(made.path / "ranker.txt", f"{made.id}/ranker.txt")
    (tmp_path / "as long").write_text("mOdel")
    storage.upload(tmp_path / "as long", f"{made.id}/graph/users.bin")
    assert transfer.upload(made.path, made.manifest, storage) == ["big.bin", "graph/users.bin", "run.json", "manifest.json"]
    assert transfer.upload(made.path, made.manifest, storage) == []
    assert channels.log(place) == []
    for to in (tmp_path / "other", place.replace("releases", "second")):
        store.push(place, to, made.id)
        assert store.open_release(to, made.id).manifest == made.manifest


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_a_kill_while_uploading_leaves_nothing_half_and_the_next_one_goes_on(place: str, tmp_path: Path, killer: Killer, kind: str) -> None:
    place = place if kind == "bucket" else str(tmp_path / "store")
    former = promoted(place)
    made = whole(tmp_path / "laptop", "newer")
    points = [("upload", 1, "before"), ("sendall" if kind == "bucket" else "copyfile", 1, "within")]
    points += [("upload", 1, "after") for _ in range(4)] + [("upload", 1, "before")]
    for verb, at, when in points:
        killer.kill("push", place, str(tmp_path / "laptop"), made.id, verb=verb, at=at, when=when)
        assert store.release_ids(place) == [former.id]
        assert store.open_release(place) == former
        with pytest.raises(ReleaseNotFound, match=former.id):
            store.open_release(place, made.id)
    assert transfer.upload(made.path, made.manifest, storage_of(place)) == ["manifest.json"]
    assert store.open_release(place, made.id).manifest == made.manifest
    assert list(Path(tmp_path).rglob(".draft-*")) == []


def test_a_kill_while_publishing_to_a_bucket_leaves_the_candidate_where_it_was(place: str, tmp_path: Path, killer: Killer) -> None:
    former, made = publish(place), whole(tmp_path / "laptop", "newer")
    killer.kill("push", place, str(tmp_path / "laptop"), made.id, verb="upload", at=5, when="after")
    assert set(store.release_ids(place)) == {former.id, made.id}, "it was whole when the process died"
    assert store.resolve(place, "candidate") == former.id
    assert whole(place, "newer").id == made.id
    assert store.resolve(place, "candidate") == made.id


def test_a_kill_while_fetching_leaves_nothing_half_and_the_next_one_is_whole(place: str, tmp_path: Path, killer: Killer) -> None:
    made = whole(place)
    channels.promote(place, made.id, by="ann", why="first", at=NOON)
    points = [("download", at, when) for at in (1, 2, 3) for when in ("before", "after")]
    points += [("copyfileobj", 1, "within"), ("rename", 1, "before"), ("rename", 1, "after")]
    for verb, at, when in points:
        forget_what_was_fetched(place)
        killer.kill("open", place, verb=verb, at=at, when=when)
        if (home_of(place) / made.id).exists():
            assert (verb, when) == ("rename", "after")
            assert store.open_release(home_of(place), made.id).manifest == made.manifest
        assert store.open_release(place) == made
        assert list(home_of(place).glob(".draft-*")) == []


def test_a_kill_while_a_damaged_file_is_fetched_again_leaves_what_the_next_one_mends(place: str, killer: Killer) -> None:
    made = whole(place)
    channels.promote(place, made.id, by="ann", why="first", at=NOON)
    for verb, when in (("copyfileobj", "within"), ("download", "after"), ("replace", "after")):
        (made.path / "big.bin").chmod(0o644)
        (made.path / "big.bin").write_text("damaged")
        killer.kill("open", place, verb=verb, at=1, when=when)
        assert store.open_release(place) == made


def test_releases_that_were_not_used_lately_leave_this_machine_but_for_what_is_in_production(place: str) -> None:
    first = promoted(place, "0")
    store.open_release(place)
    made = [publish(place, str(number)) for number in range(1, 8)]

    def kept() -> set[str]:
        return {path.name for path in home_of(place).iterdir() if path.name in store.release_ids(place)}

    assert kept() == {first.id, *(release.id for release in made[-(cache.KEPT - 1) :])}
    assert store.open_release(place, made[0].id) == made[0]
    assert kept() == {first.id, made[0].id, *(release.id for release in made[-(cache.KEPT - 2) :])}
