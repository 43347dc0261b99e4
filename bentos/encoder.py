"""Words and pictures of new items to vectors, in a process of its own: what that takes stays out of the one that answers."""

import asyncio
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import polars as pl

from bentos.problems import Refused, later
from cortex_rec import columns
from cortex_rec.config import Embeddings

#: Seconds that one item may take: less than BentoML gives a request.
PATIENCE: Final = 4.0


class Encoder:
    """Starts its process with the first item; one that dies is replaced when the next item comes."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def embed(self, items: pl.DataFrame, picture: bytes | None, config: Embeddings) -> pl.DataFrame:
        """As `cortex_rec.releases.new_items.embed`, of one item whose picture is at hand.

        Raises
        ------
        DataError
            As there.
        Refused
            With 501 where the encoders are not installed, as in the image; with 503 while they are loading, after the first item, and
            when their process has died.
        """
        if find_spec("torch") is None:
            raise Refused(
                "This service has no encoders of words and pictures: its image leaves their libraries out. Add the item with "
                "`cortex-rec items add` where the whole of CORTEX-Rec is installed, to the same folder of releases.",
                error="no_encoders",
                status=501,
            )
        if self._pool is None:
            # Not a fork: the answering process has threads.
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        pool = self._pool
        try:
            work = asyncio.get_running_loop().run_in_executor(pool, _embed, items, picture, config)
            return await asyncio.wait_for(asyncio.shield(work), PATIENCE)
        except TimeoutError:
            raise later(
                "The encoders of words and pictures are still loading. Send the item again.", error="encoders_loading", seconds=5
            ) from None
        except BrokenProcessPool:
            self._pool = None if self._pool is pool else self._pool
            raise later(
                "The process of the encoders has died; another one takes its place. Send the item again.", error="encoders_died"
            ) from None

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _embed(items: pl.DataFrame, picture: bytes | None, config: Embeddings) -> pl.DataFrame:
    # Imported here: this runs in the other process.
    from cortex_rec.releases import new_items

    if picture is None:
        return new_items.embed(items, config)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(picture)
        return new_items.embed(items.with_columns(pl.lit(str(path)).alias(columns.IMAGE)), config).drop(columns.IMAGE)
