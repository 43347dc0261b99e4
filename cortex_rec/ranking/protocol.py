"""The seam of the second stage."""

from pathlib import Path
from typing import Protocol, Self

from cortex_rec.arrays import F32
from cortex_rec.features.assemble import Matrix


class Ranker(Protocol):
    """Orders candidates. Frozen once fitted; a candidate's score does not depend on who else is in the matrix."""

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that it reads, by name."""
        ...

    def score(self, matrix: Matrix) -> F32:
        """(len(matrix.values),) float32, larger is better within one list."""
        ...

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        ...
