"""The items table with what was found, as a file that `source.items` takes."""

import os
from pathlib import Path

import polars as pl

from cortex_rec import columns, folders
from cortex_rec.enrichment.extract import Enriched
from cortex_rec.errors import ArtifactError, ConfigError, DataError


def write(items: pl.DataFrame, found: Enriched, path: Path) -> dict[str, Path]:
    """Write the table and, beside it, where each item's new values come from and what was not taken.

    Parameters
    ----------
    items
        The table as the source gives it.
    found
        What a run found, of some of its items or all.
    path
        `.parquet` or `.csv`. Paths of pictures start at its folder.

    Returns
    -------
    dict[str, Path]
        `items`, `provenance` and, where there is something in it, `quarantine`.

    Raises
    ------
    ConfigError
        If the name ends in neither.
    DataError
        If a picture does not lie in or below the file's folder: a source would refuse it.
    ArtifactError
        If a file cannot be written.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{path}: write a .parquet or a .csv file.")
    table = joined(items, found.columns)
    if columns.IMAGE in table.columns:
        table = table.with_columns(_beside(path, table[columns.IMAGE]))
    files = {"items": path, "provenance": path.with_name(f"{path.stem}.provenance.csv")}
    quarantine = path.with_name(f"{path.stem}.quarantine.csv")
    try:
        # Each appears whole or not at all, the table that a source reads last.
        quarantine.unlink(missing_ok=True)
        if found.quarantine.height:
            files["quarantine"] = quarantine
            with folders.replace_file(quarantine) as fresh:
                found.quarantine.write_csv(fresh)
        with folders.replace_file(files["provenance"]) as fresh:
            found.provenance.write_csv(fresh)
        with folders.replace_file(path) as fresh:
            (table.write_csv if path.suffix == ".csv" else table.write_parquet)(fresh)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written ({error}). Choose another --output.") from error
    return files


def joined(items: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """All items with the new columns; what the shop says itself stays as it is, only gaps are filled."""
    new = [name for name in found.columns if name != columns.ITEM]
    beside = items.join(found.rename({name: f"found {name}" for name in new}), on=columns.ITEM, how="left", maintain_order="left")
    filled = [
        pl.coalesce(pl.col(name).cast(pl.String), f"found {name}").alias(name)
        if name in items.columns
        else pl.col(f"found {name}").alias(name)
        for name in new
    ]
    return beside.with_columns(filled).drop(f"found {name}" for name in new)


def _beside(path: Path, images: pl.Series) -> pl.Series:
    folder = os.path.abspath(path.parent)
    relative = [None if image is None else os.path.relpath(image, folder) for image in images]
    outside = [place for place, image in enumerate(relative) if image is not None and image.startswith("..")]
    if outside:
        way_out = "Let --output lie in the folder of your items file"
        raise DataError(
            f"{path}: the picture of row {outside[0]}, {images[outside[0]]}, does not lie below. {way_out}.",
            table="items",
            rows=outside[:5],
        )
    return pl.Series(columns.IMAGE, relative, pl.String)
