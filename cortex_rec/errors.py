"""The exception tree. Every message says what was wrong, where, and what to do about it.

CortexRecError
├── ConfigError            a configuration that cannot be read or asks for the impossible
├── DataError              a table that is not as it must be (`.table`, `.rows`)
│   ├── EmptyTrainingSetError
│   └── GateFailed         a data-quality suite allowed fewer bad rows than it found
├── ArtifactError          a file of a stage or of a release is missing, damaged or cannot be written
│   └── ReleaseNotFound
├── StoreUnavailable       the bucket that releases are kept in does not answer
├── PromotionConflict      a channel is not where it was when somebody decided to move it
├── InvalidRequest         a request for recommendations that asks for the impossible
├── InvalidEvent           an event that is not as it must be
├── EventsUnavailable      the store of live events does not answer
├── ProviderUnavailable    a language model cannot be loaded or does not answer
├── ProgramMissing         a program that is needed is not installed
├── ProgramFailed          another program ended with a fault (`.said`)
├── RegistryError          an image cannot be pushed
├── ClusterUnavailable     the Dask cluster does not answer, lacks what the run needs, or loses worker after worker
├── UnknownUser
└── UnknownItem
"""

from collections.abc import Mapping, Sequence
from typing import Any


class CortexRecError(Exception):
    """Root of everything that this library raises on purpose."""


class ConfigError(CortexRecError):
    """The configuration cannot be read, has an unknown key, or asks for the impossible."""


class DataError(CortexRecError):
    """A table is not as it must be.

    Parameters
    ----------
    message
        What was expected, what was found, and the way out.
    table
        Name of the table or file.
    rows
        Row numbers (0-based, in file order) that show the fault; may be empty.
    """

    def __init__(self, message: str, *, table: str = "", rows: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.table = table
        self.rows = tuple(rows)


class EmptyTrainingSetError(DataError):
    """No interaction is left to learn from; the message says which filter removed the last ones."""


class GateFailed(DataError):
    """More rows break a data-quality suite than the suite allows. The message carries the table of broken rules.

    Parameters
    ----------
    message, table, rows
        As of `DataError`.
    rules
        What was found by each rule of the suite, broken or not; empty when none could be checked.
    """

    def __init__(self, message: str, *, table: str = "", rows: Sequence[int] = (), rules: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message, table=table, rows=rows)
        self.rules = tuple(rules)


class ArtifactError(CortexRecError):
    """A stage's or a release's file is missing, damaged, of another format version, or cannot be written."""


class ReleaseNotFound(ArtifactError):
    """The release asked for is not in the store."""


class StoreUnavailable(CortexRecError):
    """The bucket that releases are kept in cannot be reached, or does not answer now."""


class PromotionConflict(CortexRecError):
    """A channel was moved by somebody else between the decision to move it and the move; nothing was changed."""


class InvalidRequest(CortexRecError):
    """A request for recommendations asks for the impossible, such as no items."""


class InvalidEvent(CortexRecError):
    """Something that a user did is told in a way that cannot be; the message begins with the field."""


class EventsUnavailable(CortexRecError):
    """The store of live events cannot be opened, or does not answer now."""


class ProviderUnavailable(CortexRecError):
    """A language model cannot be loaded or does not answer now; what it answered before is kept."""


class ProgramMissing(CortexRecError):
    """A program that is needed is not installed; the message names its package."""


class ProgramFailed(CortexRecError):
    """Another program ended with a fault.

    Parameters
    ----------
    message
        The command, its exit code and its last words.
    said
        These words alone.
    """

    def __init__(self, message: str, *, said: str = "") -> None:
        super().__init__(message)
        self.said = said


class RegistryError(CortexRecError):
    """An image cannot be pushed: no credentials, a registry that does not answer, or a tag that has another image already."""


class ClusterUnavailable(CortexRecError):
    """The Dask cluster does not answer, its workers lack what the run needs, or one after another of them dies; finished work is kept."""


class UnknownUser(CortexRecError):
    """A user id that the release has never seen, where a known one is needed."""


class UnknownItem(CortexRecError):
    """An item id that the catalogue does not have, where a known one is needed."""
