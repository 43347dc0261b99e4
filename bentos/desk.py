"""What every route has at hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bentos.arms import Arms
from bentos.current import Current
from bentos.encoder import Encoder
from bentos.kernel import Kernel
from bentos.metrics import Metrics
from bentos.settings import Settings
from cortex_rec.events.exposure_log import ExposureLog
from cortex_rec.events.protocol import EventStore

if TYPE_CHECKING:
    from bentos.traces import Traces


@dataclass(frozen=True)
class Desk:
    """One running service; without `traces`, `arms` and `exposures` where none are asked for. `clock` gives the time of a zone."""

    settings: Settings
    current: Current
    kernel: Kernel
    events: EventStore
    encoder: Encoder
    metrics: Metrics
    traces: "Traces | None" = None
    arms: Arms | None = None
    exposures: ExposureLog | None = None
    clock: Callable[[ZoneInfo], datetime] = datetime.now

    @property
    def served(self) -> Sequence[Current]:
        """All that is answered from, each once: what serves whoever takes part in nothing comes first."""
        return [self.current] if self.arms is None else list(dict.fromkeys([self.current, *self.arms.currents.values()]))

    def close(self) -> None:
        """Send the last spans, write the last exposures, end the encoders, close the store of events: nobody is answered any more."""
        if self.traces is not None:
            self.traces.close()
        if self.exposures is not None:
            self.exposures.close()
        self.encoder.close()
        self.events.close()
