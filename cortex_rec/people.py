"""What the shop knows of people: age, income, size of the household."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import F32, load_arrays, save_arrays
from cortex_rec.ids import IdMap


@dataclass(frozen=True)
class People:
    """Attributes by user row.

    Parameters
    ----------
    attributes
        For each recorded attribute, in the order of their names: (n_users,) float32 place of the user's value among all its values,
        NaN where unknown. Values are ordered by the first number in them, so that ages and incomes ascend, then by their letters.
    """

    attributes: dict[str, F32]

    def save(self, path: Path) -> None:
        save_arrays(path, self.attributes)

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(dict(sorted(load_arrays(path).items())))

    @classmethod
    def of(cls, table: pl.DataFrame, users: IdMap) -> Self:
        """Encode the users table: one row a user at most; attributes that nobody has and users that never bought are left out."""
        row = users.rows(table[columns.USER])
        known = row >= 0
        attributes = {}
        for name in sorted(set(table.columns) - {columns.USER}):
            text = table[name].cast(pl.String)
            values = sorted(text.drop_nulls().unique(), key=_by_number)
            if values:
                place = text.replace_strict(values, list(range(len(values))), return_dtype=pl.Float32).fill_null(float("nan")).to_numpy()
                attributes[name] = np.full(len(users), np.nan, np.float32)
                attributes[name][row[known]] = place[known]
        return cls(attributes)


def _by_number(text: str) -> tuple[float, str]:
    number = re.search(r"\d+(\.\d+)?", text)
    return (float(number[0]) if number else -1.0, text)
