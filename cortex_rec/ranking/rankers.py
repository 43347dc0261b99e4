"""The rankers by name, and the one of a release with its calibration."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

from cortex_rec.arrays import F32
from cortex_rec.config import Config
from cortex_rec.errors import ArtifactError, EmptyTrainingSetError
from cortex_rec.features.assemble import Matrix
from cortex_rec.ranking import blend, calibration, lambdarank, neural
from cortex_rec.ranking.calibration import Calibration
from cortex_rec.ranking.protocol import Fit, Ranker
from cortex_rec.ranking.training import TrainingLists, held_out

_KIND: Final = "ranker.json"
#: Share of the last users' lists that no ranker learns from: they say when to stop, and how likely a purchase is.
VALIDATION_SHARE: Final = 0.25


class Registered(NamedTuple):
    """How a ranker is fitted and loaded."""

    fit: Fit
    model: type[Ranker]


#: One line a ranker; its name is what `ranker:` in the YAML chooses, and its section of `ranking:`.
REGISTRY: Final[Mapping[str, Registered]] = {
    "lambdarank": Registered(lambdarank.fit, lambdarank.LambdaRank),
    "neural": Registered(neural.fit, neural.Neural),
    "blend": Registered(blend.fit, blend.Blend),
}


@dataclass(frozen=True)
class Calibrated:
    """A ranker whose scores can be read as probabilities.

    Parameters
    ----------
    kind
        Its name in `REGISTRY`.
    """

    kind: str
    ranker: Ranker
    calibration: Calibration

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that it reads, by name."""
        return self.ranker.features

    def score(self, matrix: Matrix) -> F32:
        """(n,) float32, larger is better within one list."""
        return self.ranker.score(matrix)

    def probability(self, scores: F32) -> F32:
        """(n,) float32 probability that a candidate of such a score is bought in the window."""
        return self.calibration.probability(scores)

    def importances(self) -> list[tuple[str, float]]:
        """Features by what they add to the score, largest first; empty where the ranker cannot say."""
        return self.ranker.importances()

    def contributions(self, matrix: Matrix) -> F32 | None:
        """(n, len(features) + 1) float32 what each feature adds to each score, last what none adds; None where that cannot be said."""
        return self.ranker.contributions(matrix)

    def contributions_by_kind(self, matrix: Matrix) -> F32 | None:
        """(n, len(KINDS)) float32 what features of each kind add to each score, quickly; None where that cannot be said."""
        return self.ranker.contributions_by_kind(matrix)

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        (folder / _KIND).write_text(json.dumps({"kind": self.kind}), encoding="utf-8")
        self.ranker.save(folder)
        self.calibration.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If a file is missing or damaged, or the ranker is of a kind that this version lacks.
        """
        try:
            kind = json.loads((folder / _KIND).read_text(encoding="utf-8"))["kind"]
            model = REGISTRY[kind].model
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{folder / _KIND}: does not name a ranker of this version, {', '.join(REGISTRY)} ({error!r}). "
                "Verify the release with `cortex-rec releases verify`, or release anew."
            ) from error
        return cls(kind, model.load(folder), Calibration.load(folder))


def fit(lists: Sequence[TrainingLists], config: Config) -> Calibrated:
    """Fit the ranker that `config.ranker` names and calibrate it on users that it has not learned from.

    Parameters
    ----------
    lists
        Training lists, one a window, the oldest first.

    Raises
    ------
    EmptyTrainingSetError
        If no candidate of any window was bought, or the last window has too few users to validate on.
    """
    learned, validation = held_out(lists, VALIDATION_SHARE, seed=config.seed)
    if not any(len(each.bought) for each in validation):
        raise EmptyTrainingSetError("ranker: no candidate is left to validate on. Use longer windows, or fewer training windows.")
    ranker = REGISTRY[config.ranker].fit(learned, config.ranking, validation=validation, seed=config.seed, threads=config.threads)
    return Calibrated(config.ranker, ranker, calibration.fit(ranker, validation))
