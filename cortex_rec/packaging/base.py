"""A base image from Debian's own packages, where no registry with one can be reached: `python -m cortex_rec.packaging.base`."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from cortex_rec.errors import ProgramMissing
from cortex_rec.packaging import programs
from cortex_rec.packaging.engine import DEBIAN_BASE, Engine

SUITE: Final = "bookworm"
#: Python 3.11 without pip, the OpenMP runtime of LightGBM and faiss, and the certificates that Redis and S3 over TLS need.
PACKAGES: Final = ("ca-certificates", "libgomp1", "python3")
#: What no service reads. Copyright files stay, and the list of packages, which scanners read.
_LEFT_OUT: Final = ("usr/share/man", "usr/share/locale", "usr/share/info", "var/lib/apt/lists", "var/cache/apt", "var/log")


def make(name: str = DEBIAN_BASE) -> str:
    """Make the base and put it into the storage of buildah or podman; give its name.

    Raises
    ------
    ProgramMissing
        If debootstrap is not there or may not run, or neither buildah nor podman is there.
    ProgramFailed
        If Debian's mirror cannot be reached.
    """
    engine = Engine.find()
    debootstrap = programs.choose("debootstrap", purpose="The base image")
    if os.geteuid() != 0:
        raise ProgramMissing("debootstrap makes devices and other users' files, so it needs root: `sudo make image-base`.")
    with tempfile.TemporaryDirectory() as scratch:
        root, archive = Path(scratch) / "root", Path(scratch) / "root.tar"
        # What it mounts must be gone with it, however it ends: its folder is removed afterwards, and /proc must not be seen in there.
        private = ["unshare", "--mount", "--propagation", "private"]
        programs.run([*private, debootstrap, "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)])
        for folder in _LEFT_OUT:
            for path in (root / folder).iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in (root / "usr/share/doc").rglob("*"):
            if not path.is_dir() and path.name != "copyright":
                path.unlink()
        # Devices are the runtime's to make.
        programs.run(["tar", "--numeric-owner", "--exclude=./dev/*", "--exclude=./proc/*", "-C", str(root), "-cf", str(archive), "."])
        engine.adopt(archive, name)
    return name


if __name__ == "__main__":
    sys.stdout.write(f"{make()}: ready.\n")
