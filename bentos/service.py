"""The BentoML service: check the release before a port is opened, load it beside the running server, hand over to the API."""

import gc
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import bentoml
from bentoml.exceptions import BentoMLException
from starlette.types import ASGIApp

from bentos.door import Door
from cortex_rec.errors import ArtifactError, CortexRecError
from cortex_rec.releases import store
from cortex_rec.releases.store import Release

if TYPE_CHECKING:
    from cortex_rec.recommender import Recommender

#: The folder of releases, and the one to serve: an id, or `latest`.
RELEASES: Final = "CORTEX_REC_RELEASES"
RELEASE: Final = "CORTEX_REC_RELEASE"
#: The folder of what is made for this machine: the ranker's trees as machine code.
CACHE: Final = "CORTEX_REC_CACHE"
log = logging.getLogger("bentoml.cortex_rec")

# There is one worker, so its counters stay in memory; BentoML would have them in files that all servers of a user share.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)


def open_release() -> Release:
    """The release that the environment names, every file checked."""
    return store.open_release(Path(os.environ.get(RELEASES, "releases")), os.environ.get(RELEASE, store.LATEST))


def load_app() -> ASGIApp:
    """Load the release and build the API; the first requests find everything warm."""
    # Imported here so that the process which only supervises starts without them.
    from bentos.api import make_app
    from cortex_rec.releases import live
    from cortex_rec.requests import Request

    release = open_release()
    recommender = _quick(live.load(release))
    recommender.recommend([Request(recommender.data.users.external([0])[0]), Request()])
    # What is loaded stays: without this, full collections walk it about once a second and stall whoever asks just then.
    gc.collect()
    gc.freeze()
    log.info("Serving release %s", release.id)
    return make_app(release, recommender)


def _quick(recommender: "Recommender") -> "Recommender":
    """With compiled trees, the same bits; as it is where their code cannot be kept."""
    folder = Path(os.environ.get(CACHE) or Path.home() / ".cache" / "cortex-rec")
    try:
        return recommender.compiled(folder)
    except (OSError, ArtifactError) as error:
        log.warning(
            "Scoring takes several times longer: %s cannot hold compiled trees (%s). Set %s to a folder that can.", folder, error, CACHE
        )
        return recommender


door = Door(load_app)


@bentoml.service(
    workers=1,
    # Seconds until a request is given up with 504. BentoML keeps a timer this long for each request, so it also bounds what
    # full garbage collections walk; it does not end their stalls (docs/serving.md).
    traffic={"timeout": 5},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    envs=[{"name": name, "value": "1"} for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")],
)
@bentoml.asgi_app(door)
class Recommendations:
    """Recommendations from the latest release."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check_release() -> None:
        """Runs once, before the port is opened; the worker serves the release that was checked even if `latest` moves on."""
        try:
            release = open_release()
        except CortexRecError as error:
            raise BentoMLException(str(error)) from error
        os.environ[RELEASES] = str(release.path.parent.resolve())
        os.environ[RELEASE] = release.id

    def __init__(self) -> None:
        door.load()

    def __is_ready__(self) -> bool:
        return door.open
