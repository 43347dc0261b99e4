"""Old releases go, and never one that serves or that a rollback would need."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from killed import Killer
from s3 import Server
from test_releases import contents, publish
from typer.testing import CliRunner

from cortex_rec.cli import app
from cortex_rec.errors import ArtifactError
from cortex_rec.releases import channels, retention, store, transfer
from cortex_rec.releases.manifest import DataWindow
from cortex_rec.releases.places import storage_of

NOON = datetime(2026, 1, 8, 12, tzinfo=UTC)


def nights(place: str, count: int) -> list[str]:
    """One release a night, the oldest first."""
    made = []
    for night in range(count):
        data: DataWindow = contents().data
        changes = {"data": data.model_copy(update={"as_of": data.as_of + timedelta(days=night)}), "metrics": {"metrics": {"ndcg@10": 0.2}}}
        made.append(publish(place, f"night {night}", **changes).id)
    return made


def test_the_newest_stay_and_what_a_channel_points_to_and_what_a_rollback_needs(place: str) -> None:
    made = nights(place, 6)
    channels.promote(place, made[0], by="ann", why="first", at=NOON)
    channels.promote(place, made[2], by="ann", why="better", at=NOON)
    expected = [
        (made[5], True, "newest 1 of 2, candidate"),
        (made[4], True, "newest 2 of 2"),
        (made[3], False, "neither new nor pointed to"),
        (made[2], True, "production"),
        (made[1], False, "neither new nor pointed to"),
        (made[0], True, "former of production"),
    ]
    size = sum(size for name, size in storage_of(place).list(made[3]).items())
    told = retention.gc(place, keep=2, dry_run=True)
    assert [(fate.release, fate.stays, fate.why) for fate in told] == expected
    assert told[2].bytes == size
    assert store.release_ids(place) == made[::-1], "only told"
    assert retention.gc(place, keep=2) == told
    assert store.release_ids(place) == [made[5], made[4], made[2], made[0]]
    assert {name.split("/")[0] for name in storage_of(place).list()} == {made[5], made[4], made[2], made[0], "channels"}
    assert channels.rollback(place, by="ann", why="worse", at=NOON).release == made[0]
    assert store.open_release(place).id == made[0]


def test_of_one_night_s_releases_the_one_that_was_made_last_is_the_newest(place: str) -> None:
    made = [publish(place, text).id for text in ("a", "b", "c", "d")]
    assert [fate.release for fate in retention.gc(place, keep=1) if fate.stays] == [made[-1]]


def test_an_unfinished_upload_stays_and_is_told(place: str, tmp_path: Path) -> None:
    made = publish(tmp_path / "laptop", "x")
    nights(place, 1)
    storage_of(place).upload(made.path / "ranker.txt", f"{made.id}/ranker.txt")
    *_, fate = retention.gc(place, keep=1)
    assert (fate.release, fate.stays, fate.why) == (made.id, True, "an unfinished upload; push it again to end it")
    assert transfer.upload(made.path, made.manifest, storage_of(place))[-1] == "manifest.json"


def test_nothing_is_removed_while_it_cannot_be_known_what_a_channel_points_to(place: str) -> None:
    made = nights(place, 3)
    storage = storage_of(place)
    storage.remove("channels/candidate.json")
    assert storage.write("channels/candidate.json", b"{", expected=None)
    with pytest.raises(ArtifactError, match=r"candidate\.json: is damaged"):
        retention.gc(place, keep=1)
    assert store.release_ids(place) == made[::-1]


@pytest.mark.parametrize(("at", "when"), [(1, "before"), (1, "after"), (2, "after"), (4, "after")])
def test_a_kill_while_removing_leaves_no_half_release_and_the_next_one_ends_it(place: str, killer: Killer, at: int, when: str) -> None:
    made = nights(place, 2)
    killer.kill("gc", place, verb="remove", at=at, when=when)
    assert store.release_ids(place) == (made[::-1] if when == "before" else made[1:])
    for release in store.release_ids(place):
        assert store.open_release(place, release).id == release
    gone = [fate for fate in retention.gc(place, keep=1) if not fate.stays]
    assert [fate.release for fate in gone] == made[:1]
    assert {name.split("/")[0] for name in storage_of(place).list()} == {made[1], "channels"}


def test_what_is_published_while_its_removal_is_not_ended_is_whole(place: str, killer: Killer) -> None:
    made = nights(place, 2)
    killer.kill("gc", place, verb="remove", at=2, when="after")
    assert nights(place, 1) == made[:1]
    assert store.open_release(place, made[0]).id == made[0]
    assert storage_of(place).list("removed/") == {}


def test_the_commands_tell_what_goes_and_copy_what_is_to_stay(s3: Server, tmp_path: Path) -> None:
    laptop, place = str(tmp_path / "releases"), f"s3://{s3.bucket()}/main"
    made = nights(laptop, 3)
    told = CliRunner().invoke(app, ["releases", "gc", "--keep", "1", "--dry-run", "--releases", laptop])
    assert told.stdout.count("would go") == 2
    for release in made[:2]:
        pushed = CliRunner().invoke(app, ["releases", "push", release, "--to", place, "--releases", laptop])
        assert f"{release} is in {place}. Serve it from there:" in pushed.stdout
    assert CliRunner().invoke(app, ["releases", "promote", made[0], "--why", "first", "--releases", place]).exit_code == 0
    done = CliRunner().invoke(app, ["releases", "gc", "--keep", "1", "--json", "--releases", laptop])
    assert [fate["release"] for fate in json.loads(done.stdout) if not fate["stays"]] == [made[1], made[0]]
    assert store.release_ids(laptop) == made[2:]
    listed = json.loads(CliRunner().invoke(app, ["releases", "list", "--json", "--releases", place]).stdout)
    assert [(row["release"], row["channels"]) for row in listed] == [(made[1], []), (made[0], ["production"])]
    assert "files are as released" in CliRunner().invoke(app, ["releases", "verify", "--releases", place]).stdout
