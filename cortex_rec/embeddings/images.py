"""Pictures to unit vectors by a pretrained network; a picture that was embedded once is not embedded again."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from cortex_rec.arrays import F32
from cortex_rec.config import ImageEmbedding
from cortex_rec.embeddings.cache import VectorCache, digest
from cortex_rec.embeddings.networks import Network, load, name
from cortex_rec.embeddings.pictures import UnreadablePicture, decode, pillow_is_quiet, read
from cortex_rec.embeddings.pretrained import one_thread_each

#: Pictures between two calls of `progress`.
BLOCK: Final = 128


@dataclass(frozen=True)
class Pictures:
    """What the pictures show.

    Parameters
    ----------
    vectors
        (n, d) float32 of unit length, zeros where there is no readable picture; d is the network's.
    problems
        One line a picture that is named and cannot be used: `row` of the item, `path`, and the `problem` in words.
    """

    vectors: F32
    problems: pl.DataFrame


def embed(
    paths: Sequence[str],
    config: ImageEmbedding,
    *,
    cache: Path,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pictures:
    """Embed picture files.

    A file has the same bits whatever others are asked for with it and on however many threads. Nothing about a picture is
    fatal: what is missing, damaged or too large is listed.

    Parameters
    ----------
    paths
        One an item; "" where it has no picture, which is no problem.
    cache
        Folder of the vectors of earlier runs, by digest of the files' bytes.
    threads
        Pictures that are decoded and computed at once.
    progress
        Called with the numbers of pictures done and to do; not at all when the cache has every one.

    Raises
    ------
    ConfigError
        If the model or its weights are not there.
    ArtifactError
        If the cache is damaged or cannot be written.
    """
    files = sorted({path for path in paths if path})
    with pillow_is_quiet(), ThreadPoolExecutor(threads, "pictures") as pool, VectorCache(cache, name(config)) as known:
        found = dict(zip(files, pool.map(_digest, files), strict=True))
        wanted = {key: path for path, key in found.items() if isinstance(key, bytes) and key not in known}
        unreadable = _compute(wanted, config, known, pool, progress) if wanted else {}
        # A path's digest, or in words why there is no vector.
        fate = {path: key if isinstance(key, str) else unreadable.get(key, key) for path, key in found.items()}
        rows = [fate.get(path) for path in paths]
        vectors = known.take([key if isinstance(key, bytes) else None for key in rows], known.width or load(config).width)
    problems = [(row, path, why) for row, (path, why) in enumerate(zip(paths, rows, strict=True)) if isinstance(why, str)]
    return Pictures(vectors, pl.DataFrame(problems, {"row": pl.Int32, "path": pl.String, "problem": pl.String}, orient="row"))


def _compute(
    wanted: Mapping[bytes, str],
    config: ImageEmbedding,
    known: VectorCache,
    pool: ThreadPoolExecutor,
    progress: Callable[[int, int], None],
) -> dict[bytes, str]:
    """Put vectors of the files into the cache; gives in words why some have none."""
    network, keys, unreadable = load(config), list(wanted), {}
    with one_thread_each():
        for start in range(0, len(keys), BLOCK):
            block = keys[start : start + BLOCK]
            vectors = {}
            for key, outcome in zip(block, pool.map(partial(_vector, network), block, (wanted[key] for key in block)), strict=True):
                if isinstance(outcome, str):
                    unreadable[key] = outcome
                else:
                    vectors[key] = outcome
            if vectors:
                known.add(list(vectors), np.stack(list(vectors.values())))
                known.keep()
            progress(start + len(block), len(keys))
    return unreadable


def _digest(path: str) -> bytes | str:
    """What the file is known by, or in words why it is not to be had."""
    try:
        return digest(read(Path(path)))
    except UnreadablePicture as problem:
        return str(problem)


def _vector(network: Network, key: bytes, path: str) -> F32 | str:
    """(d,) float32, or in words why there is none."""
    try:
        content = read(Path(path))
        if digest(content) != key:
            return "changed while it was read; run again"
        return network.vector(decode(content, at_least=2 * network.side))
    except UnreadablePicture as problem:
        return str(problem)
