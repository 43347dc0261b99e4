"""The words and the pictures of a few new items, as the models of a release see them."""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.catalogue import Catalogue
from cortex_rec.config import Embeddings
from cortex_rec.embeddings import images, text
from cortex_rec.embeddings.content import words
from cortex_rec.errors import DataError
from cortex_rec.releases import added


def embed(items: pl.DataFrame, config: Embeddings) -> pl.DataFrame:
    """What `cortex_rec.releases.added` keeps of items.

    Parameters
    ----------
    items
        Text columns of `columns.ITEMS` and of attributes, each but the id may be absent.
    config
        The release's.

    Returns
    -------
    pl.DataFrame
        The items with their vectors, unit length, an empty list where an item has no words or no picture.

    Raises
    ------
    DataError
        If an item has neither words nor a picture, or its picture cannot be read; the message names it.
    """
    catalogue = Catalogue.of(items)
    said, paths = words(catalogue), catalogue.images
    empty = [row for row, (sentence, path) in enumerate(zip(said, paths, strict=True)) if not sentence.strip() and not path]
    if empty:
        raise DataError(
            f"items: {items[columns.ITEM][empty[0]]!r} has neither a title nor a description nor an image, so nothing is known of it. "
            "Give it one.",
            table="items",
            rows=empty,
        )
    # What is kept beside the releases is what a cache would hold.
    with tempfile.TemporaryDirectory() as cache:
        spoken = text.embed(said, config.text, cache=Path(cache))
        # Without pictures their network need not be loaded.
        shown = images.embed(paths, config.image, cache=Path(cache)) if any(paths) else None
    seen = np.zeros((len(paths), 0), np.float32) if shown is None else shown.vectors
    for row, path, problem in [] if shown is None else shown.problems.select("row", "path", "problem").rows():
        raise DataError(
            f"items: the image of {items[columns.ITEM][row]!r}, {path}, {problem}. Give it another one, or leave it out.",
            table="items",
            rows=[row],
        )
    return items.with_columns(
        *(
            pl.Series(name, [vector.tolist() if vector.any() else [] for vector in vectors], pl.List(pl.Float32))
            for name, vectors in ((added.TEXT, spoken), (added.IMAGE, seen))
        ),
        *(pl.lit(model).alias(name) for name, model in added.models(config).items()),
    )
