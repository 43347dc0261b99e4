"""What every route has at hand."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bentos.current import Current
from bentos.encoder import Encoder
from bentos.kernel import Kernel
from bentos.metrics import Metrics
from bentos.settings import Settings
from cortex_rec.events.protocol import EventStore

if TYPE_CHECKING:
    from bentos.traces import Traces


@dataclass(frozen=True)
class Desk:
    """One running service; without `traces` where none are asked for."""

    settings: Settings
    current: Current
    kernel: Kernel
    events: EventStore
    encoder: Encoder
    metrics: Metrics
    traces: "Traces | None" = None

    def close(self) -> None:
        """Send the last spans, end the encoders' process, close the store of events: nobody is answered any more."""
        if self.traces is not None:
            self.traces.close()
        self.encoder.close()
        self.events.close()
