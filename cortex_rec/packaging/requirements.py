"""What the service needs from PyPI: resolved within constraints.txt, every wheel with its hash, unpacked for the image.

`python -m cortex_rec.packaging.requirements` (`make image-lock`) writes `deployments/serving.txt` anew.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from cortex_rec import folders
from cortex_rec.code_version import ROOT
from cortex_rec.folders import FileRecord
from cortex_rec.packaging.programs import run

DEPLOYMENTS: Final = ROOT / "deployments"
WANTED: Final = DEPLOYMENTS / "serving.in"
LOCK: Final = DEPLOYMENTS / "serving.txt"
_HEAD: Final = "# Made by `make image-lock` from serving.in and constraints.txt: Python 3.11 on Linux, x86_64. Do not edit.\n"
#: Wheels for the image, whatever machine this runs on.
_PLATFORM: Final = (
    *("--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.11"),
    *(part for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014") for part in ("--platform", f"{tag}_x86_64")),
)
_PIP: Final = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def resolve(wanted: Path = WANTED, constraints: Path = ROOT / "constraints.txt") -> str:
    """The lines `name==version --hash=sha256:…` of all that is wanted and all that it needs, by name.

    Raises
    ------
    ProgramFailed
        If pip finds no such set; the message has its words.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        what = ("-r", str(wanted), "-c", str(constraints), "--target", f"{scratch}/none", "--ignore-installed")
        run([*_PIP, "install", "--dry-run", "--report", str(report), *_PLATFORM, *what])
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    lines = [_line(each["metadata"], each["download_info"]["archive_info"]["hashes"]["sha256"]) for each in found]
    return _HEAD + "\n".join(sorted(lines)) + "\n"


def pinned(lock: Path = LOCK) -> dict[str, str]:
    """Version by lower-case name, as a lock file says."""
    lines = (line.split(" ")[0] for line in lock.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return {name: version for name, _, version in (line.partition("==") for line in lines)}


def install(parent: Path, lock: Path = LOCK) -> Path:
    """Unpack the locked wheels into a folder under `parent` that is named by the lock; done once for each lock.

    Returns
    -------
    Path
        A folder for `PYTHONPATH`, without byte code, scripts and tests.

    Raises
    ------
    ProgramFailed
        If a wheel cannot be had or has another hash than the lock says.
    """
    target = parent / f"python-{FileRecord.of(lock).sha256[:16]}"
    if not target.is_dir():
        with folders.draft(parent) as draft:
            place = draft / "python"
            run([*_PIP, "install", "--no-deps", "--require-hashes", "--no-compile", *_PLATFORM, "--target", str(place), "-r", str(lock)])
            # The first line of scripts names this machine's Python, and the image starts modules. Tests are 12 MB of it, compressed.
            for left_out in [place / "bin", *place.rglob("tests")]:
                shutil.rmtree(left_out, ignore_errors=True)
            folders.settle(place, target)
    return target


def _line(metadata: dict[str, str], sha256: str) -> str:
    return f"{metadata['name'].lower()}=={metadata['version']} --hash=sha256:{sha256}"


if __name__ == "__main__":
    LOCK.write_text(resolve(), encoding="utf-8")
    sys.stdout.write(f"{LOCK.relative_to(ROOT)}: {len(pinned())} packages.\n")
