"""What the README shows works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cortex_rec.testing.release import small_release

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_example_of_the_library_runs_on_a_release(tmp_path: Path) -> None:
    small_release(tmp_path / "releases")
    (example,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *items, fallback = done.stdout.splitlines()
    assert len(items) == 3
    assert fallback == "no user given: answered from the items in the basket"


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert {"demo", "test", "serve", "bench"} <= named
    assert named <= targets


def test_every_command_that_the_readme_shows_is_one_of_the_command_line() -> None:
    shown = set(re.findall(r"\.venv/bin/cortex-rec ([a-z]+)", README))
    assert {"init", "train", "recommend"} <= shown
    said = subprocess.run([sys.executable, "-m", "cortex_rec.cli", "--help"], capture_output=True, text=True, check=True).stdout
    assert all(re.search(rf"\b{command}\b", said) for command in shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_points_to_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_place_in_the_readme_s_table_exists() -> None:
    places = [place for row in re.findall(r"^\| (`.*?) \|", README, re.MULTILINE) for place in re.findall(r"`([^`]+)`", row)]
    assert len(places) > 8
    missing = [place for place in places if not ((ROOT / place).exists() or (ROOT / "cortex_rec" / place).exists())]
    assert missing == []
