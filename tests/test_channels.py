"""Which release is in production: moved by one at a time, and every move is told."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from killed import Killer
from test_releases import publish

from cortex_rec.errors import ArtifactError, ConfigError, PromotionConflict, ReleaseNotFound
from cortex_rec.releases import channels
from cortex_rec.releases.channels import CANDIDATE, PRODUCTION, Pointer
from cortex_rec.releases.places import storage_of

NOON = datetime(2026, 1, 8, 12, tzinfo=UTC)


def three(place: str) -> list[str]:
    return [publish(place, text).id for text in ("a", "b", "c")]


def test_a_channel_says_where_it_points_since_when_by_whom_and_why(place: str) -> None:
    first, second, _ = three(place)
    assert channels.read(place, PRODUCTION) is None
    moved = channels.move(place, PRODUCTION, first, by="ann", why="first", at=NOON, expected=None)
    assert moved == channels.read(place, PRODUCTION) == Pointer(first, None, NOON, "ann", "first", 1)
    later = NOON + timedelta(hours=1, microseconds=7)
    moved = channels.move(place, PRODUCTION, second, by="bob", why="better", at=later, expected=moved)
    assert moved == channels.read(place, PRODUCTION) == Pointer(second, first, later, "bob", "better", 2)


def test_what_is_made_is_the_candidate_and_production_stays(place: str) -> None:
    first, second, third = three(place)
    pointer = channels.read(place, CANDIDATE)
    assert pointer is not None
    assert (pointer.release, pointer.former, pointer.serial) == (third, second, 3)
    assert channels.read(place, PRODUCTION) is None
    channels.promote(place, first, by="ann", why="first", at=NOON)
    publish(place, "d")
    assert channels.read(place, PRODUCTION) == Pointer(first, None, NOON, "ann", "first", 1)


def test_who_decided_on_an_older_state_is_told_who_moved_it_since(place: str) -> None:
    first, second, third = three(place)
    before = channels.move(place, PRODUCTION, first, by="ann", why="first", at=NOON, expected=None)
    channels.move(place, PRODUCTION, second, by="bob", why="better", at=NOON, expected=before)
    for expected in (before, None, replace(before, serial=2)):
        with pytest.raises(
            PromotionConflict, match=rf"production\.json: was moved to {second} by bob at 2026-01-08 12:00:00 UTC \(better\)"
        ):
            channels.move(place, PRODUCTION, third, by="cid", why="best", at=NOON, expected=expected)
    assert [move.release for move in channels.log(place) if move.channel == PRODUCTION] == [second, first]


def test_only_a_release_that_is_there_can_be_pointed_to(place: str) -> None:
    first, *_ = three(place)
    for name in ("2026-01-08-0000000000", "..", "production"):
        with pytest.raises(ReleaseNotFound, match="no release"):
            channels.promote(place, name, by="ann", why="", at=NOON)
    assert channels.read(place, PRODUCTION) is None
    with pytest.raises(ConfigError, match="'staging' is no channel"):
        channels.move(place, "staging", first, by="ann", why="", at=NOON, expected=None)


def test_promoting_what_is_in_production_moves_nothing(place: str) -> None:
    first, *_ = three(place)
    moved = channels.promote(place, first, by="ann", why="first", at=NOON)
    assert channels.promote(place, first, by="bob", why="again", at=NOON + timedelta(1)) == moved


def test_a_rollback_goes_to_the_former_release_and_a_second_one_forth_again(place: str) -> None:
    first, second, _ = three(place)
    with pytest.raises(ReleaseNotFound, match="no former release"):
        channels.rollback(place, by="ann", why="", at=NOON)
    channels.promote(place, first, by="ann", why="first", at=NOON)
    with pytest.raises(ReleaseNotFound, match="no former release"):
        channels.rollback(place, by="ann", why="", at=NOON)
    channels.promote(place, second, by="ann", why="better", at=NOON + timedelta(1))
    assert channels.rollback(place, by="bob", why="worse", at=NOON + timedelta(2)).release == first
    assert channels.rollback(place, by="bob", why="not so", at=NOON + timedelta(3)).release == second


def test_the_log_has_every_move_the_newest_first(place: str) -> None:
    first, second, third = three(place)
    for hour, release in enumerate((first, second, third)):
        channels.promote(place, release, by="ann", why=f"why {hour}", at=NOON + timedelta(hours=hour, days=20_000))
    moves = channels.log(place)
    assert [(move.channel, move.former, move.release, move.why) for move in moves[:3]] == [
        (PRODUCTION, second, third, "why 2"),
        (PRODUCTION, first, second, "why 1"),
        (PRODUCTION, None, first, "why 0"),
    ]
    assert [(move.channel, move.former, move.release, move.why) for move in moves[3:]] == [
        (CANDIDATE, second, third, "made"),
        (CANDIDATE, first, second, "made"),
        (CANDIDATE, None, first, "made"),
    ]


@pytest.mark.parametrize("bit", [100, 1_000])
def test_a_channel_with_one_bit_changed_is_refused_and_can_be_set_anew_without_losing_the_log(place: str, bit: int) -> None:
    first, second, third = three(place)
    for release in (first, second):
        channels.promote(place, release, by="ann", why=release, at=NOON)
    storage, name = storage_of(place), "channels/production.json"
    found = storage.read(name)
    assert found is not None
    content = bytearray(found.content)
    at = bit % (8 * len(content) - 8)  # the last byte only ends the line
    content[at // 8] ^= 1 << at % 8
    assert storage.write(name, bytes(content), expected=found.tag)
    with pytest.raises(ArtifactError, match=r"production\.json: is damaged"):
        channels.read(place, PRODUCTION)
    with pytest.raises(ArtifactError, match="remove it and promote"):
        channels.promote(place, third, by="ann", why="", at=NOON)
    storage.remove(name)
    channels.promote(place, third, by="ann", why="anew", at=NOON)
    assert [(move.release, move.serial) for move in channels.log(place) if move.channel == PRODUCTION] == [(third, 2), (first, 1)]


def test_of_two_promotions_at_once_one_wins_fifty_times(place: str) -> None:
    _, *rivals = three(place)
    start = threading.Barrier(2)

    def promote(release: str, expected: Pointer | None) -> str | None:
        start.wait(60)
        try:
            return channels.move(place, PRODUCTION, release, by=release, why="", at=NOON, expected=expected).release
        except PromotionConflict:
            return None

    with ThreadPoolExecutor(2) as pool:
        for count in range(50):
            now = channels.read(place, PRODUCTION)
            winners = [name for name in pool.map(promote, rivals, [now, now]) if name is not None]
            after = channels.read(place, PRODUCTION)
            assert after is not None
            assert (winners, after.serial) == ([after.release], count + 1)
    assert len([move for move in channels.log(place) if move.channel == PRODUCTION]) == 50


@pytest.mark.parametrize(
    ("verb", "at", "when", "moved"),
    [
        ("write", 1, "before", 0),
        ("write", 1, "after", 0),
        ("write", 2, "before", 0),
        ("replace", 2, "before", 0),
        ("write", 2, "after", 1),
    ],
)
def test_a_kill_while_promoting_leaves_one_valid_production_and_a_log_that_goes_on(
    place: str, killer: Killer, verb: str, at: int, when: str, moved: int
) -> None:
    if verb == "replace" and place.startswith("s3:"):
        pytest.skip("a bucket renames nothing")
    first, second, third = three(place)
    channels.promote(place, first, by="ann", why="first", at=NOON)
    killer.kill("promote", place, second, verb=verb, at=at, when=when)
    pointer = channels.read(place, PRODUCTION)
    assert pointer is not None
    assert (pointer.release, pointer.serial) == [(first, 1), (second, 2)][moved]
    channels.promote(place, third, by="bob", why="best", at=NOON + timedelta(2))
    told = [move.release for move in channels.log(place) if move.channel == PRODUCTION]
    assert told == [third, *([second] if moved else []), first]


def test_a_name_is_told_for_whoever_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    assert channels.login() == "ann"
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert channels.login() == "user 54321"
