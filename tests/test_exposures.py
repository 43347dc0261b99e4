"""The log of answers: what is appended is read back, whatever happens to its files."""

import threading
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pytest

from cortex_rec.errors import DataError, EventsUnavailable
from cortex_rec.events import exposure_log, exposures
from cortex_rec.events.exposure_log import ExposureLog
from cortex_rec.events.exposures import SCHEMA, Exposure

#: 2018-01-01, 13:00 on the shop's clock.
HOUR = 1_514_811_600
SHOWN = Exposure(
    impression="a",
    time=HOUR,
    user="208",
    store="",
    release="2018-01-01-2b98224ba2",
    experiment="",
    arm="",
    items=("i1", "i2"),
    scores=(2.5, 1.0),
    probabilities=(0.25, None),
    propensities=(1.0, 0.5),
    retrievers=(("graph", "vector"), ()),
    teams=(),
    fallback="",
)


def kept(folder: Path, shown: list[Exposure]) -> None:
    log = ExposureLog(folder)
    log.append(shown)
    log.close()
    assert (log.written, log.dropped) == (len(shown), 0)


def test_what_is_appended_is_read_back_whole_and_by_time(tmp_path: Path) -> None:
    later = replace(SHOWN, impression="b", time=HOUR + 3_700, user="", store="s1", fallback="no user given", teams=("A", "B"))
    nobody = replace(SHOWN, impression="c", time=HOUR + 5, items=(), scores=(), probabilities=(), propensities=(), retrievers=())
    kept(tmp_path, [later, SHOWN, nobody])
    found = exposures.read(tmp_path, HOUR, HOUR + 7_200)
    assert found.schema == pl.Schema(SCHEMA)
    expected = [asdict(each) for each in (SHOWN, nobody, later)]
    for line in expected:
        for name in ("items", "scores", "probabilities", "propensities", "teams"):
            line[name] = list(line[name])
        line["retrievers"] = [list(names) for names in line["retrievers"]]
    assert found.to_dicts() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2018-01-01T13.0.jsonl", "2018-01-01T14.0.jsonl"]


def test_only_exposures_of_the_asked_time_are_read(tmp_path: Path) -> None:
    kept(tmp_path, [replace(SHOWN, impression=str(after), time=HOUR + after) for after in (0, 1, 2, 3_600, 7_200)])
    assert exposures.read(tmp_path, HOUR + 1, HOUR + 3_600)["impression"].to_list() == ["1", "2"]
    assert exposures.read(tmp_path, HOUR + 3_600, HOUR + 3_601)["impression"].to_list() == ["3600"]
    empty = exposures.read(tmp_path, 0, 1)
    assert (empty.height, empty.schema) == (0, pl.Schema(SCHEMA))


def test_processes_that_write_in_the_same_hour_do_not_share_a_file(tmp_path: Path) -> None:
    first, second = ExposureLog(tmp_path), ExposureLog(tmp_path)
    first.append([SHOWN])
    second.append([replace(SHOWN, impression="b")])
    first.close()
    second.close()
    assert sorted(exposures.read(tmp_path, HOUR, HOUR + 1)["impression"]) == ["a", "b"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_torn_last_line_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept(tmp_path, [SHOWN, replace(SHOWN, impression="b")])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    assert exposures.read(tmp_path, HOUR, HOUR + 1)["impression"].to_list() == ["a"]
    assert "1 files end in the middle of a line" in caplog.text


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ((b'"user":"208"', b'"user":'), "line 2 is no exposure, it cannot be read"),
        ((b'"user":"208",', b""), "line 2 is no exposure, it lacks user"),
        ((b'"user":"208"', b'"user":null'), "line 2 is no exposure, it has a null"),
        ((b'"time":1514811600', b'"time":"now"'), "line 2 is no exposure"),
        ((b'{"impression":"b"', b'[{"impression":"b"'), "line 2 is no exposure"),
    ],
)
def test_other_damage_is_named_by_file_and_line(tmp_path: Path, damage: tuple[bytes, bytes], told: str) -> None:
    kept(tmp_path, [SHOWN, replace(SHOWN, impression="b"), replace(SHOWN, impression="c")])
    (file,) = tmp_path.iterdir()
    lines = file.read_bytes().split(b"\n")
    assert damage[0] in lines[1]
    lines[1] = lines[1].replace(*damage)
    file.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match=told) as raised:
        exposures.read(tmp_path, HOUR, HOUR + 1)
    assert raised.value.rows == (1,)
    assert str(file) in str(raised.value)


def test_a_missing_folder_and_a_strange_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="CORTEX_REC_EXPOSURES"):
        exposures.read(tmp_path / "none", 0, 1)
    (tmp_path / "notes.jsonl").write_text("")
    with pytest.raises(DataError, match=r"notes\.jsonl: is no file of exposures"):
        exposures.read(tmp_path, 0, 1)


def test_what_does_not_fit_the_queue_is_counted_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, opened = threading.Event(), threading.Event(), exposure_log._new_file

    def slow(folder: Path, hour: int):  # type: ignore[no-untyped-def]
        begun.set()
        assert go_on.wait(10)
        return opened(folder, hour)

    monkeypatch.setattr(exposure_log, "_new_file", slow)
    log = ExposureLog(tmp_path, queue=3)
    log.append([SHOWN])
    assert begun.wait(10)
    log.append([SHOWN] * 5)
    go_on.set()
    log.close()
    assert (log.written, log.dropped) == (4, 2)
    assert exposures.read(tmp_path, HOUR, HOUR + 1).height == 4


def test_a_disk_that_takes_nothing_costs_exposures_but_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = ExposureLog(tmp_path / "log")
    (tmp_path / "log").rmdir()
    log.append([SHOWN])
    log.close()
    assert (log.written, log.dropped) == (0, 1)
    assert "1 exposures are not kept" in caplog.text


def test_who_is_forgotten_is_in_no_file_and_not_in_what_waits(tmp_path: Path) -> None:
    kept(tmp_path, [replace(SHOWN, impression=str(i), user=("208", "20", '2"08')[i % 3], time=HOUR + 1_000 * i) for i in range(9)])
    log = ExposureLog(tmp_path)
    log.append([replace(SHOWN, impression="new"), replace(SHOWN, impression="other", user="20")])
    assert log.forget("208") == 4
    assert log.forget('2"08') == 3
    assert log.forget("208") == 0
    log.append([replace(SHOWN, impression="back")])
    log.close()
    left = exposures.read(tmp_path, 0, HOUR + 100_000).select("user", "impression").rows()
    assert sorted(left) == [
        ("20", "1"),
        ("20", "4"),
        ("20", "7"),
        ("20", "other"),
        ("208", "back"),
    ]


def test_a_file_that_another_process_writes_is_not_rewritten_under_it(tmp_path: Path) -> None:
    other, log = ExposureLog(tmp_path), ExposureLog(tmp_path)
    other.append([SHOWN])
    while other.written == 0:
        threading.Event().wait(0.01)
    with pytest.raises(EventsUnavailable, match=r"2018-01-01T13\.0\.jsonl: is written by another process"):
        log.forget("208")
    assert log.forget("nobody") == 0
    other.close()
    assert log.forget("208") == 1
    log.close()


def test_a_torn_line_that_names_who_is_forgotten_goes_too(tmp_path: Path) -> None:
    kept(tmp_path, [replace(SHOWN, user="20")])
    (file,) = tmp_path.iterdir()
    with file.open("ab") as torn:
        torn.write(b'{"impression":"b","time":1514811600,"user":"208","sto')
    log = ExposureLog(tmp_path)
    assert log.forget("208") == 1
    log.close()
    assert b"208" not in file.read_bytes().replace(b"2018", b"")
