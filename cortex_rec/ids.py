"""External ids to dense rows and back, frozen, saved beside what was trained on them."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from cortex_rec.arrays import I32, NO_ROW
from cortex_rec.errors import ArtifactError

#: Below so many ids a look-up each is faster than a join with the whole map: a request asks for a few.
FEW: Final = 1_000


class IdMap:
    """A frozen bijection between external ids (text) and rows 0 .. n-1.

    Parameters
    ----------
    ids
        Unique ids; the position is the row.
    """

    def __init__(self, ids: pl.Series) -> None:
        self._unfound: frozenset[str] = frozenset()
        if ids.dtype != pl.String or ids.null_count() or ids.n_unique() != len(ids):
            raise ArtifactError(f"an id map needs unique, non-null text ids; got {ids.dtype} with {ids.n_unique()} unique of {len(ids)}.")
        self.ids = ids.rename("id").rechunk()

    @classmethod
    def of(cls, *columns: pl.Series) -> "IdMap":
        """All ids of the given columns, in ascending order."""
        return cls(pl.concat([column.cast(pl.String).rename("id") for column in columns]).drop_nulls().unique().sort())

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {value: row for row, value in enumerate(self.ids.to_list()) if value not in self._unfound}

    def row(self, external: str) -> int:
        """The row of one id, -1 when it is unknown."""
        return self._row_of.get(external, NO_ROW)

    def rows(self, externals: Iterable[str] | pl.Series) -> I32:
        """Rows (n,) int32 of many ids, -1 where unknown or null."""
        if isinstance(externals, Sequence) and len(externals) < FEW:
            return np.array([self.row(external) for external in externals], np.int32)
        column = externals if isinstance(externals, pl.Series) else pl.Series(list(externals), dtype=pl.String)
        table = pl.DataFrame({"id": self.ids, "row": np.arange(len(self.ids), dtype=np.int32)})
        found = column.cast(pl.String).rename("id").to_frame().join(table, on="id", how="left", maintain_order="left")
        rows = found["row"].fill_null(NO_ROW).to_numpy().astype(np.int32)
        if self._unfound:
            rows[column.cast(pl.String).is_in(list(self._unfound)).fill_null(False).to_numpy()] = NO_ROW
        return rows

    def external(self, rows: Sequence[int] | I32) -> list[str]:
        """The ids of rows, in their order."""
        taken: list[str] = self.ids.gather(np.asarray(rows, np.int64)).to_list()
        return taken

    def extended(self, externals: pl.Series) -> "IdMap":
        """The same rows, and further ones for ids that are not there yet."""
        return IdMap(pl.concat([self.ids, externals.cast(pl.String).rename("id")]))

    def without(self, externals: Iterable[str]) -> "IdMap":
        """The same rows, some of which no id leads to any more: whoever asks for one of `externals` is told that it is unknown."""
        ids = IdMap(self.ids)
        ids._unfound = frozenset(externals)
        return ids

    def save(self, path: Path) -> None:
        self.ids.to_frame().write_parquet(path, statistics=False)

    @classmethod
    def load(cls, path: Path) -> "IdMap":
        try:
            return cls(pl.read_parquet(path)["id"])
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(
                f"{path}: cannot be read as an id map ({error}). Verify the release with `cortex-rec releases verify`."
            ) from error
