"""A local folder as a `Storage`."""

import hashlib
import os
import shutil
from pathlib import Path

from cortex_rec.errors import ArtifactError
from cortex_rec.folders import alone, replace_file
from cortex_rec.releases.storage import Versioned


class LocalFolder:
    """Files below a folder, which is made by the first that is written. Names that begin with a dot are not listed.

    Parameters
    ----------
    root
        The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def where(self, name: str = "") -> str:
        return str(self._root / name)

    def read(self, name: str) -> Versioned | None:
        try:
            content = (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ArtifactError(f"{self.where(name)}: cannot be read ({error}). Make it readable.") from error
        return Versioned(content, _tag(content))

    def write(self, name: str, content: bytes, *, expected: str | None) -> bool:
        with alone(self._root):
            found = self.read(name)
            if (None if found is None else found.tag) != expected:
                return False
            with replace_file(self._root / name, drafts=self._root) as path:
                path.write_bytes(content)
            return True

    def list(self, prefix: str = "") -> dict[str, int]:
        found = {}
        start = self._root / prefix.rpartition("/")[0]
        for folder, folders, files in os.walk(start):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for path in (Path(folder, name) for name in files if not name.startswith(".")):
                name = path.relative_to(self._root).as_posix()
                if name.startswith(prefix):
                    try:
                        found[name] = path.stat().st_size
                    except FileNotFoundError:
                        continue  # removed just now
        return found

    def upload(self, path: Path, name: str) -> None:
        with replace_file(self._root / name, drafts=self._root) as fresh:
            shutil.copyfile(path, fresh)
            fresh.chmod(0o444)

    def download(self, name: str, path: Path) -> None:
        try:
            shutil.copyfile(self._root / name, path)
        except FileNotFoundError as error:
            raise ArtifactError(f"{self.where(name)}: is missing.") from error

    def remove(self, name: str) -> None:
        path = self._root / name
        try:
            path.unlink(missing_ok=True)
            for folder in path.relative_to(self._root).parents[:-1]:
                (self._root / folder).rmdir()
        except OSError as error:
            if path.exists():
                raise ArtifactError(f"{path}: cannot be removed ({error}). Make its folder writable.") from error
            # A folder that holds something else stays.


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
