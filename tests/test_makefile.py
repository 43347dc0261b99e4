"""The commands that a person types first."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def make(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | environment
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    told = make().stdout
    for target in ("demo", "test", "test-all", "serve", "dashboard", "image", "image-base", "image-lock", "bench", "clean", "help"):
        assert re.search(rf"^  make {target} +\w", told, re.MULTILINE), target


def test_ci_runs_make_test_and_nothing_else() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec make test"


def test_make_test_lints_and_checks_the_format_and_imports_before_it_tests_and_types_beside_it() -> None:
    told = make("test", "--dry-run", "--assume-old=.venv/.ready").stdout
    steps = [
        "ruff check .",
        "ruff format --check .",
        "/lint-imports",
        "/mypy",
        '-m pytest -m "not slow and not alone"',
        '-m pytest -m "alone and not slow"',
    ]
    places = [told.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("failing", ["ruff", "lint-imports", "mypy", "python", None])
def test_make_test_fails_with_whatever_fails_in_it(tmp_path: Path, failing: str | None) -> None:
    for name in ("ruff", "lint-imports", "mypy", "python"):
        (tmp_path / name).write_text(f"#!/bin/bash\nexit {int(name == failing)}\n")
        (tmp_path / name).chmod(0o755)
    done = make("test", "--assume-old=.venv/.ready", "--assume-old=test-programs", f"BIN={tmp_path}")
    assert (done.returncode == 0) == (failing is None), done.stderr


def test_make_test_all_runs_what_make_test_leaves_out_too() -> None:
    told = make("test-all", "--dry-run", "--assume-old=.venv/.ready").stdout
    assert told.index("buildah:buildah") < told.index("-m pytest -m slow")
    assert told.index('-m pytest -m "alone and not slow"') < told.index("-m pytest -m slow")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A clone's Makefile in a folder without an environment, and a PATH with only what make itself needs."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("make", "bash", "touch"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    return tmp_path


def test_a_machine_without_python_3_11_is_told_what_to_install(bare: Path) -> None:
    done = make(".venv/.ready", folder=bare, PATH=str(bare / "tools"))
    assert done.returncode != 0
    assert "Python 3.11 is needed" in done.stderr
    assert "uv" in done.stderr


def test_uv_is_asked_for_python_when_there_is_no_python3_11(bare: Path) -> None:
    uv = bare / "tools" / "uv"
    uv.write_text(f'#!/bin/bash\necho "uv $*" >> {bare}/asked\n[ "$2" = find ] && echo {bare}/tools/found\nexit 0\n')
    found = bare / "tools" / "found"
    found.write_text(f'#!/bin/bash\necho "python $*" >> {bare}/asked\nexit 1\n')
    for file in (uv, found):
        file.chmod(0o755)
    done = make(".venv/.ready", folder=bare, PATH=str(bare / "tools"))
    assert (bare / "asked").read_text().splitlines() == ["uv python install 3.11", "uv python find 3.11", "python -m venv .venv"]
    assert "cannot make a virtual environment" in done.stderr


def test_a_bench_without_a_name_ends_with_a_list_of_names() -> None:
    done = make("bench", "--assume-old=.venv/.ready")
    assert done.returncode == 2
    assert "make bench NAME=<name>, one of:" in done.stderr
