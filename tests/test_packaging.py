"""What goes into the image, and what is said where it cannot be built; `test_image.py` really builds it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serving import ROOT, app_of
from starlette.testclient import TestClient
from test_makefile import make

from cortex_rec.errors import ArtifactError, ProgramFailed, ProgramMissing
from cortex_rec.packaging import programs, requirements
from cortex_rec.packaging.engine import Engine
from cortex_rec.packaging.image import Image, Source, labels, tag_of
from cortex_rec.releases.store import Release
from cortex_rec.testing.release import small_release

#: Starts the API and asks it, with every distribution hidden that the lock does not name.
WITH_WHAT_IS_LOCKED_ONLY = """
import asyncio, re, sys
from importlib import metadata
from importlib.machinery import PathFinder

def plain(name): return re.sub("[-_.]+", "-", name).lower()
locked = set(map(plain, sys.argv[2].split()))
hidden = {top for top, given in metadata.packages_distributions().items() if not set(map(plain, given)) & locked}
hidden -= {"cortex_rec", "bentos", "tasks", "flows", "_virtualenv"}

class Hide(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path = [Hide if finder is PathFinder else finder for finder in sys.meta_path]
import bentos.service, httpx, cortex_rec.events.redis, cortex_rec.releases.storage_s3
sys.path.append('tests')
from serving import app_of
from pathlib import Path

async def ask():
    app = app_of(Path(sys.argv[1]), Path(sys.argv[1]).parent)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        for asked in (client.post("/recommend", json={}), client.get("/api/popular"), client.get("/metrics"), client.get("/")):
            assert (await asked).status_code == 200
        return (await client.put("/api/items/new", json={"title": "Oat milk"})).json()["error"]

print(asyncio.run(ask()), sorted({"torch", "dgl", "pandas", "prefect"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("packaging") / "releases")


def test_the_service_needs_nothing_that_the_image_lacks(release: Release) -> None:
    names = " ".join(requirements.pinned())
    command = [sys.executable, "-c", WITH_WHAT_IS_LOCKED_ONLY, str(release.path.parent), names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "no_encoders []", done.stderr


def test_the_lock_has_the_versions_of_the_constraints_and_a_hash_for_each() -> None:
    pinned = requirements.pinned()
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    constrained = {line.split("==")[0].lower(): line.split("==")[1] for line in lines if "==" in line}
    assert pinned == {name: constrained[name] for name in pinned}
    assert requirements.LOCK.read_text().count("--hash=sha256:") == len(pinned)
    wanted = {line.lower() for line in requirements.WANTED.read_text().splitlines() if line and not line.startswith("#")}
    assert wanted <= {name.replace("_", "-") for name in pinned}


def test_without_buildah_and_podman_make_image_says_what_to_install(tmp_path: Path) -> None:
    for name in ("make", "bash", "tr"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    done = make("image", "--assume-old=.venv/.ready", "--assume-old=system-libraries", PATH=str(tmp_path))
    assert done.returncode != 0
    assert "Building an image needs buildah or podman, and neither buildah nor podman is installed" in done.stderr
    assert "apt-get install buildah" in done.stderr


def test_a_program_that_fails_is_named_with_its_own_words() -> None:
    with pytest.raises(ProgramFailed, match="code 3:\nout of paper") as failed:
        programs.run([sys.executable, "-c", "import sys; print('out of paper', file=sys.stderr); sys.exit(3)"])
    assert failed.value.said == "out of paper"


def test_one_program_that_is_missing_is_named_with_what_needs_it() -> None:
    with pytest.raises(ProgramMissing, match="Printing needs no-such-program, and no-such-program is not installed"):
        programs.choose("no-such-program", purpose="Printing")


def test_a_base_that_can_be_pulled_is_not_looked_for_here() -> None:
    Engine("no-such-program").need_base("python:3.11-slim-bookworm")


def test_a_tag_names_the_release_and_the_commit_and_tells_what_is_not_committed(release: Release) -> None:
    clean, dirty = Source("0123456789abcdef" * 2, 0), Source("0123456789abcdef" * 2 + "-dirty", 0)
    assert tag_of(release, clean) == f"{release.id}-0123456789"
    assert tag_of(release, dirty) == f"{release.id}-0123456789-dirty"
    assert tag_of(None, clean) == "no-release-0123456789"
    assert labels(release, dirty, "debian")["org.opencontainers.image.revision"] == dirty.commit
    assert "org.cortex-rec.release" not in labels(None, clean, "debian")


def test_a_folder_that_holds_no_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="make image"):
        Image.open(tmp_path)


def test_what_cannot_be_kept_is_said_and_not_called_a_defect(release: Release, tmp_path: Path) -> None:
    with TestClient(app_of(release.path.parent, tmp_path, state=tmp_path)) as client:
        # A folder stands where the file would be; root may write to every other place.
        (tmp_path / "forgotten.jsonl").mkdir()
        answer = client.delete("/api/users/h001")
    assert (answer.status_code, answer.json()["error"]) == (503, "changes_unavailable")
    assert "cannot be written" in answer.json()["detail"]
