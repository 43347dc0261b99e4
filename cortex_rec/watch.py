"""Who keeps the time of a request: the library reads no clock, so its caller may bring one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


class Watch:
    """Never late and without a memory: for callers who set no deadline and measure nothing."""

    #: What each stage took so far, as far as it is known.
    milliseconds: Mapping[str, float] = MappingProxyType({})

    def late(self) -> bool:
        """Whether what is still to be asked should be left out."""
        return False

    def done(self, stage: str) -> None:
        """A stage (ask, retrieve, features, rank, rules, explain) has just ended; it began where the one before it did."""

    def found(self, proposed: Mapping[str, int], candidates: int) -> None:
        """Each retriever that answered has proposed so many items, which are so many different ones for their users."""


#: The default: there is nothing to it that could differ.
NEVER_LATE = Watch()


@dataclass
class Stopwatch(Watch):
    """Keeps what each stage took, and is late after a while.

    Parameters
    ----------
    clock
        Gives seconds, for example `time.perf_counter`.
    patience
        Seconds from the start after which no further retriever is asked, no wider look begun, and no item explained.

    Attributes
    ----------
    milliseconds
        Of each stage so far, in their order.
    proposed
        How many items each retriever has proposed.
    candidates
        How many different ones they are.
    """

    clock: Callable[[], float]
    patience: float = float("inf")
    milliseconds: dict[str, float] = field(default_factory=dict)
    proposed: dict[str, int] = field(default_factory=dict)
    candidates: int = 0

    def __post_init__(self) -> None:
        self._start = self._last = self.clock()

    def late(self) -> bool:
        return self.clock() - self._start > self.patience

    def done(self, stage: str) -> None:
        now = self.clock()
        self.milliseconds[stage] = self.milliseconds.get(stage, 0.0) + 1_000 * (now - self._last)
        self._last = now

    def found(self, proposed: Mapping[str, int], candidates: int) -> None:
        self.proposed.update(proposed)
        self.candidates += candidates
