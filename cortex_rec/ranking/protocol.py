"""The seam of the second stage: what a ranker is given to learn from, and the verbs that it answers to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from cortex_rec.arrays import F32
from cortex_rec.config import Ranking
from cortex_rec.features.assemble import Matrix
from cortex_rec.ranking.training import TrainingLists


class Ranker(Protocol):
    """Orders candidates. Frozen once fitted; a candidate's score does not depend on who else is in the matrix."""

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that it reads, by name."""
        ...

    def score(self, matrix: Matrix) -> F32:
        """(len(matrix.values),) float32, larger is better within one list."""
        ...

    def importances(self) -> list[tuple[str, float]]:
        """Features by how much they count, largest first; empty where that cannot be said."""
        ...

    def contributions(self, matrix: Matrix) -> F32 | None:
        """What each feature adds to each score: (n, len(features) + 1) float32, None where that cannot be said.

        The last column is what no feature adds; each row's sum is its score.
        """
        ...

    def contributions_by_kind(self, matrix: Matrix) -> F32 | None:
        """What features of each of `KINDS` add to each score, over the mean score: (n, len(KINDS)); None where that cannot be said.

        Quick enough for every answer, where `contributions` is not; what it says of an item may differ a little.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        ...


class Fit(Protocol):
    """How a ranker is fitted: on `lists`, knowing when to stop by `validation`, which it does not learn from."""

    def __call__(
        self, lists: Sequence[TrainingLists], config: Ranking, *, validation: Sequence[TrainingLists], seed: int, threads: int
    ) -> Ranker:
        """Fit with the ranker's own section of `config`; `threads` cores may be used."""
        ...
