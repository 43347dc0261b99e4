"""From a release to an image and a registry: one library call a task."""

from pathlib import Path
from typing import Final

from prefect import task
from prefect.cache_policies import NO_CACHE

from cortex_rec.packaging import bento, contents, ecr, image, push, requirements
from cortex_rec.packaging.engine import Engine
from cortex_rec.packaging.image import Image, Source
from cortex_rec.packaging.push import Pushed
from cortex_rec.releases import store
from cortex_rec.releases.store import Release
from tasks import progress
from tasks.stage import MINUTE

FOLDER: Final = "image"


@task(name="choose-release", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=10 * MINUTE)
def choose_release(releases: str, name: str | None) -> Release | None:
    """Verify the release that goes inside; None where none does."""
    with progress.line("choose"):
        return None if name is None else store.open_release(releases, name)


@task(name="install-packages", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=30 * MINUTE)
def install_packages(workspace: str) -> Path:
    """Fetch and unpack the wheels of `deployments/serving.txt`, unless they are there."""
    with progress.line("packages"):
        return requirements.install(Path(workspace) / FOLDER)


@task(name="build-bento", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=10 * MINUTE)
def build_bento(release: Release | None, workspace: str) -> Path:
    """Pack code and release by BentoML; give the folder of its content."""
    with progress.line("bento"):
        return bento.build(Path(workspace) / FOLDER / "bento", release, version=image.tag_of(release, Source.of()))


@task(name="build-image", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=60 * MINUTE)
def build_image(release: Release | None, python: Path, code: Path, base: str, workspace: str) -> Image:
    """Build the image, with its bill of materials, into the engine's storage and into the workspace."""
    engine = Engine.find()
    engine.need_base(base)
    with progress.line("image"):
        bill = contents.bill(python, base, engine)
        parent = Path(workspace) / FOLDER
        return image.build(parent, python=python, code=code, bill=bill, release=release, source=Source.of(), base=base, engine=engine)


@task(name="push-image", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=60 * MINUTE)
def push_image(built: Image, repository: str, registry: str | None) -> Pushed:
    """Push to ECR, whose repository is made when absent, and compare digests."""
    with progress.line("push"):
        login = ecr.login()
        ecr.ensure_repository(repository)
        return push.push(built, repository, login, registry=registry)
