"""The software bill of materials: every Python and Debian package of an image, as CycloneDX JSON."""

import json
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from cortex_rec import __version__
from cortex_rec.packaging import programs
from cortex_rec.packaging.engine import Engine

_DEBIAN: Final = ["dpkg-query", "--show", "--showformat", "${Package}\\t${Version}\\t${Architecture}\\n"]


def bill(python: Path, base: str, engine: Engine) -> str:
    """What will be in the image.

    Parameters
    ----------
    python
        As of `requirements.install`: looked at by `cyclonedx-py`, with licences and who needs whom.
    base
        The base image: asked by `dpkg-query`; one without it adds nothing.

    Raises
    ------
    ProgramFailed
        If the Python packages cannot be read.
    """
    made: dict[str, Any] = json.loads(_of_python(python))
    made["metadata"]["component"] = {"type": "application", "name": "cortex-rec", "version": __version__, "bom-ref": "cortex-rec"}
    listed = engine.say(base, _DEBIAN) or ""
    made["components"] += [_debian(*line.split("\t")) for line in listed.splitlines()]
    return json.dumps(made, indent=1, sort_keys=True) + "\n"


def _of_python(python: Path) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, symlinks=True)
        (place,) = Path(scratch).glob("lib/*/site-packages")
        place.rmdir()
        place.symlink_to(python.resolve())
        command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-format", "JSON", "--output-reproducible", scratch]
        return programs.run(command)


def _debian(name: str, version: str, architecture: str) -> dict[str, str]:
    purl = f"pkg:deb/debian/{name}@{quote(version)}?arch={architecture}"
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}
