"""Whether the arms have as many people as they should: when not, nothing else that is counted can be believed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scipy.stats import chisquare

#: Smaller than what chance does once in a thousand experiments.
BROKEN: Final = 0.001


@dataclass(frozen=True)
class RatioCheck:
    """People by arm, as they are and as they should be."""

    people: tuple[int, ...]
    expected: tuple[float, ...]
    p: float

    @property
    def broken(self) -> bool:
        return self.p < BROKEN


def check(people: Sequence[int], shares: Sequence[float]) -> RatioCheck:
    """Compare by chi-square.

    Source
    ------
    Fabijan et al. 2019, Diagnosing sample ratio mismatch in online controlled experiments.
    """
    total = sum(people)
    expected = tuple(total * share for share in shares)
    p = float(chisquare(people, expected).pvalue) if total and len(people) > 1 else 1.0
    return RatioCheck(tuple(people), expected, p)
