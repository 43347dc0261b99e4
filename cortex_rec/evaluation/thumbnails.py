"""Pictures small enough to be part of a page."""

import base64
import io
from pathlib import Path
from typing import Final

from cortex_rec.embeddings.pictures import UnreadablePicture, decode, pillow_is_quiet, read

#: Pixels of the longer side, and the JPEG's quality in percent.
SIDE: Final = 96
_QUALITY: Final = 70


def thumbnail(path: Path) -> str | None:
    """A picture as the data URI of a JPEG of at most `SIDE` x `SIDE` pixels; None where there is none that can be read.

    What is wrong with a picture is told where it is embedded; a page without it is whole.
    """
    try:
        with pillow_is_quiet():
            picture = decode(read(path), at_least=2 * SIDE)
    except UnreadablePicture:
        return None
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
