"""A picture file's bytes to an RGB picture, whatever came: what cannot be read says why."""

import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

#: More pixels than any product photo has; a small file can hold billions ("decompression bomb") and fill the memory.
MOST_PIXELS: Final = 64_000_000
MOST_BYTES: Final = 128 * 2**20
#: What Pillow may try; some of its other formats start programs.
FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
_WHITE: Final = (255, 255, 255, 255)


class UnreadablePicture(Exception):
    """There is no picture to be had; the message says why, as words after the file's name."""


def read(path: Path) -> bytes:
    """A file's bytes.

    Raises
    ------
    UnreadablePicture
        If it is missing, not a plain file, empty or too large.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise UnreadablePicture("is a folder")
        if not stat.S_ISREG(found.st_mode):
            raise UnreadablePicture("is not a plain file")
        if found.st_size > MOST_BYTES:
            raise UnreadablePicture(f"has {found.st_size:,} bytes, more than {MOST_BYTES:,}")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadablePicture("is missing") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise UnreadablePicture(f"cannot be read ({error.strerror if isinstance(error, OSError) else error})") from error
    if not content:
        raise UnreadablePicture("is empty")
    return content


def decode(content: bytes, *, at_least: int) -> Image.Image:
    """The picture as a person sees it: first frame, upright, on white where it is transparent.

    Parameters
    ----------
    content
        The file's bytes.
    at_least
        Pixels of both sides that are needed: a larger JPEG is decoded at a half, a quarter or an eighth, which is quick.

    Returns
    -------
    Image
        Of mode RGB.

    Raises
    ------
    UnreadablePicture
        If it is no picture, damaged, or of too many pixels, which is known before it is decoded.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.width * image.height > MOST_PIXELS:
            raise UnreadablePicture(f"has {image.width:,} x {image.height:,} pixels, more than {MOST_PIXELS:,}")
        image.draft(None, (at_least, at_least))
        return _as_seen(image)
    except UnreadablePicture:
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePicture(f"is not a picture of a format that is read ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(f"has more than {MOST_PIXELS:,} pixels") from error
    except Exception as error:  # on damaged bytes Pillow's decoders raise nearly every type
        raise UnreadablePicture(f"is damaged ({error or type(error).__name__})") from error


@contextmanager
def pillow_is_quiet() -> Iterator[None]:
    """Pillow warns of large pictures, odd palettes and damaged tags without naming the file; what matters is raised."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _as_seen(image: Image.Image) -> Image.Image:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnreadablePicture(f"has pixels of 32 bits (mode {image.mode}), whose white is not known; save it with 8 or 16")
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, _WHITE), shown).convert("RGB")
    return image.convert("RGB")
