"""From a release to an image, and to a registry where one is named."""

from prefect import flow
from prefect.artifacts import create_table_artifact

from cortex_rec.packaging.engine import DEBIAN_BASE
from cortex_rec.packaging.image import Image
from cortex_rec.packaging.push import Pushed
from cortex_rec.releases.channels import PRODUCTION
from tasks.package import build_bento, build_image, choose_release, install_packages, push_image


@flow(name="package", persist_result=False)
def package(
    releases: str = "releases",
    release: str | None = PRODUCTION,
    base: str = DEBIAN_BASE,
    repository: str | None = None,
    registry: str | None = None,
    workspace: str = ".cortex",
) -> dict[str, str | float]:
    """Build the image of a release, and push it.

    Parameters
    ----------
    releases, release
        Where the releases are, a folder or `s3://bucket/prefix`, and which one goes inside, by its id or channel; None for an image that
        reads `CORTEX_REC_RELEASES` when it starts.
    base
        The image to build on: Linux with Python 3.11 as `python3` and libgomp.
    repository
        Of ECR, made when absent; None: the image stays here.
    registry
        Host and port to push to in place of the account's own registry.
    workspace
        Where wheels, bento and image are kept.

    Returns
    -------
    dict
        What was built: see `summary`.
    """
    chosen = choose_release(releases, release)
    python = install_packages(workspace)
    code = build_bento(chosen, workspace)
    built = build_image(chosen, python, code, base, workspace)
    pushed = push_image(built, repository, registry) if repository is not None else None
    told = summary(built, pushed)
    create_table_artifact(key="image", table=[told], description=f"Image {built.tag}")
    return told


def summary(built: Image, pushed: Pushed | None) -> dict[str, str | float]:
    """Name, digest, size and place of an image."""
    told: dict[str, str | float] = {"tag": built.tag, "digest": built.digest, "compressed_mb": round(built.compressed_mb, 1)}
    told["files"] = str(built.folder)
    return told if pushed is None else told | {"pushed": pushed.reference, "was_there": str(pushed.already).lower()}
