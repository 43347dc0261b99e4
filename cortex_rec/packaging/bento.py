"""The bento: the service's code, and a release if one is to travel with it, packed by BentoML."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from cortex_rec import folders
from cortex_rec.code_version import ROOT
from cortex_rec.packaging import programs
from cortex_rec.packaging.requirements import DEPLOYMENTS, LOCK
from cortex_rec.releases.store import Release

BENTOFILE: Final = DEPLOYMENTS / "bentofile.yaml"
CODE: Final = ("bentos", "cortex_rec")


def build(target: Path, release: Release | None, *, version: str) -> Path:
    """Pack into `target`, which is replaced; give the folder of what the service runs from.

    Parameters
    ----------
    release
        Put under `releases`; None: `CORTEX_REC_RELEASES` has to name a place when the service starts.
    version
        Of the bento: BentoML's tag is `cortex-rec:<version>`.

    Raises
    ------
    ProgramFailed
        If BentoML refuses; the message has its words.
    """
    with tempfile.TemporaryDirectory() as scratch:
        staged, home = Path(scratch) / "staged", Path(scratch) / "home"
        for name in CODE:
            shutil.copytree(ROOT / name, staged / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "LICENSE", staged)
        shutil.copy(LOCK, staged / LOCK.name)
        if release is not None:
            shutil.copytree(release.path, staged / "releases" / release.id)
        command = [sys.executable, "-m", "bentoml", "build", "--bentofile", str(BENTOFILE), "--version", version.lower(), str(staged)]
        environment = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "PYTHONPATH": str(staged)}
        programs.run(command, environment=environment, folder=staged)
        (built,) = (path for path in home.glob("bentos/*/*") if path.is_dir())
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with folders.draft(target.parent) as draft:
            shutil.copytree(built, draft / "bento")
            folders.settle(draft / "bento", target)
    return target / "src"
