"""A place of releases by its name: a local folder."""

from pathlib import Path

from cortex_rec.releases.storage import Storage
from cortex_rec.releases.storage_local import LocalFolder


def storage_of(root: Path | str) -> Storage:
    """The storage at a place.

    Parameters
    ----------
    root
        A local folder.
    """
    return LocalFolder(Path(root))
