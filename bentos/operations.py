"""What runs here."""

from bentos.answered import Version
from bentos.asked import Nothing
from bentos.desk import Desk
from cortex_rec import __version__


async def version(desk: Desk, asked: Nothing) -> Version:
    """The library and the release that answer."""
    release = desk.current.loaded.release
    return Version(
        library=__version__,
        release=release.id,
        name=release.manifest.name,
        as_of=f"{release.manifest.data.as_of:%Y-%m-%d}",
        git_commit=release.manifest.git_commit,
    )
