"""What every route has at hand."""

from dataclasses import dataclass

from bentos.current import Current
from bentos.encoder import Encoder
from bentos.kernel import Kernel
from bentos.metrics import Metrics
from bentos.settings import Settings
from cortex_rec.events.protocol import EventStore


@dataclass(frozen=True)
class Desk:
    """One running service."""

    settings: Settings
    current: Current
    kernel: Kernel
    events: EventStore
    encoder: Encoder
    metrics: Metrics
