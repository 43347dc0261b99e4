"""A stage's output is content-addressed, whole or absent, and survives kills, full disks and damage."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cortex_rec import code_version
from cortex_rec.errors import ArtifactError
from cortex_rec.stages import StageOutput, run_stage

MODULE = "cortex_rec.ids"


class Writer:
    """Writes one file and counts how often it is asked to."""

    def __init__(self, text: str = "hello") -> None:
        self.text = text
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "deep").mkdir()
        (folder / "deep" / "out.txt").write_text(self.text)


def run(workspace: Path, write: Writer, *, inputs: dict[str, str] | None = None, config: dict[str, int] | None = None) -> StageOutput:
    return run_stage(workspace, "count", inputs or {"table": "aa"}, config or {"n": 1}, MODULE, write)


def drafts(workspace: Path) -> list[Path]:
    return list(workspace.rglob(".draft-*"))


def test_an_unchanged_stage_is_not_run_again(tmp_path: Path) -> None:
    write = Writer()
    first, second = run(tmp_path, write), run(tmp_path, write)
    assert (first.cached, second.cached, write.calls) == (False, True, 1)
    assert (second.path, second.digest, second.seconds) == (first.path, first.digest, first.seconds)
    assert (second.path / "deep" / "out.txt").read_text() == "hello"


@pytest.mark.parametrize("change", [{"inputs": {"table": "bb"}}, {"config": {"n": 2}}])
def test_another_input_or_config_runs_the_stage_again_beside_the_first(tmp_path: Path, change: dict[str, dict[str, int]]) -> None:
    write = Writer()
    first, second = run(tmp_path, write), run(tmp_path, write, **change)
    assert write.calls == 2
    assert first.path != second.path
    assert first.path.is_dir()


def test_the_digest_depends_on_contents_and_not_on_the_key_or_the_time(tmp_path: Path) -> None:
    same = run(tmp_path, Writer(), config={"n": 1}).digest, run(tmp_path, Writer(), config={"n": 2}).digest
    assert same[0] == same[1]
    assert run(tmp_path, Writer("other"), config={"n": 3}).digest != same[0]


def test_another_code_version_runs_the_stage_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Writer()
    run(tmp_path, write)
    monkeypatch.setattr("cortex_rec.stages.code_version", lambda module: "changed")
    assert not run(tmp_path, write).cached


def test_the_code_version_changes_with_any_module_that_can_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(far: str) -> str:
        package = tmp_path / "cortex_rec"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text("")
        (package / "near.py").write_text("def late():\n    from cortex_rec import far\n")
        (package / "far.py").write_text(far)
        (package / "aside.py").write_text(far)
        for function in (code_version.code_version, code_version._imports, code_version._source):
            function.cache_clear()
        return code_version.code_version("cortex_rec.near")

    monkeypatch.setattr(code_version, "ROOT", tmp_path)
    try:
        assert version("x = 1") == version("x = 1") != version("x = 2")
        assert code_version.closure("cortex_rec.near")[0] == {"cortex_rec", "cortex_rec.near", "cortex_rec.far"}
    finally:
        monkeypatch.undo()
        for function in (code_version.code_version, code_version._imports, code_version._source):
            function.cache_clear()


def test_a_truncated_output_is_made_again(tmp_path: Path) -> None:
    write = Writer()
    (run(tmp_path, write).path / "deep" / "out.txt").write_text("hel")
    again = run(tmp_path, write)
    assert not again.cached
    assert (again.path / "deep" / "out.txt").read_text() == "hello"


def test_a_failed_stage_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_stage(tmp_path, "count", {}, {}, MODULE, fail)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert drafts(tmp_path) == []


def test_a_killed_stage_is_never_seen_and_its_leftovers_go_at_the_next_run(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from cortex_rec.stages import run_stage
        def write(folder):
            (folder / "half.txt").write_text("half")
            print("writing", flush=True)
            time.sleep(600)
        run_stage(Path(sys.argv[1]), "count", {"table": "aa"}, {"n": 1}, "cortex_rec.ids", write)
    """)
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        beside = run(tmp_path, Writer(), inputs={"table": "bb"})
        assert len(drafts(tmp_path)) == 1, "a living writer's draft is left alone"
        process.send_signal(signal.SIGKILL)
    assert not beside.cached
    write = Writer()
    assert not run(tmp_path, write).cached
    assert write.calls == 1
    assert drafts(tmp_path) == []


def test_a_draft_of_another_machine_whose_lock_cannot_be_seen_here_is_left_alone_for_a_day(tmp_path: Path) -> None:
    theirs = tmp_path / "stages" / "count" / ".draft-elsewhere-x1y2"
    theirs.mkdir(parents=True)
    run(tmp_path, Writer())
    assert drafts(tmp_path) == [theirs]
    os.utime(theirs, (time.time() - 90_000,) * 2)
    run(tmp_path, Writer(), inputs={"table": "bb"})
    assert drafts(tmp_path) == []


def test_writers_of_one_stage_at_the_same_moment_all_get_the_same_whole_output(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda _: run(tmp_path, Writer()), range(16)))
    assert len({(output.path, output.digest) for output in outputs}) == 1
    record = json.loads((outputs[0].path / "stage.json").read_text())
    assert list(record["files"]) == ["deep/out.txt"]
    assert drafts(tmp_path) == []


def test_a_full_disk_is_named_with_the_way_out_and_leaves_nothing(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        from cortex_rec.errors import ArtifactError
        from cortex_rec.stages import run_stage
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
        try:
            run_stage(Path(sys.argv[1]), "count", {}, {}, "cortex_rec.ids", lambda folder: (folder / "big").write_bytes(bytes(10**6)))
        except ArtifactError as error:
            print(error)
    """)
    said = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path / "stages" / "count") in said
    assert "MiB free" in said
    assert "Free some space" in said
    assert drafts(tmp_path) == []


def test_a_library_that_reports_a_full_disk_in_words_gives_the_same_error(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(ArtifactError, match="Free some space"):
        run_stage(tmp_path, "count", {}, {}, MODULE, write)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "stages").write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match="Make it writable"):
        run(tmp_path, Writer())
