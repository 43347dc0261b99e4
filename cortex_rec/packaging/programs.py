"""Running other programs: what is missing is named with its package, and what failed with its own last words."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cortex_rec.errors import ProgramFailed, ProgramMissing

_WORDS: Final = 2_000


def choose(*programs: str, purpose: str) -> str:
    """The first of some programs that is installed.

    Raises
    ------
    ProgramMissing
        If none is; the message says which packages have them.
    """
    for program in programs:
        if shutil.which(program) is not None:
            return program
    missing = f"{programs[0]} is not installed" if len(programs) == 1 else f"neither {' nor '.join(programs)} is installed"
    raise ProgramMissing(
        f"{purpose} needs {' or '.join(programs)}, and {missing}. On Debian or Ubuntu: `apt-get install {programs[0]}`; "
        f"on Fedora: `dnf install {programs[0]}`."
    )


def run(command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    """Run to the end and give what it wrote to its standard output.

    Raises
    ------
    ProgramFailed
        If it ends with another code than 0; the message holds the end of what it said.
    """
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-_WORDS:]
        raise ProgramFailed(f"`{' '.join(command)}` ended with code {done.returncode}:\n{said}", said=said)
    return done.stdout
