"""Live events: what shoppers do between two releases, kept and taken into account."""

from pathlib import Path
from typing import Final

from cortex_rec.errors import ConfigError
from cortex_rec.events.protocol import EventStore
from cortex_rec.events.sqlite import SqliteEvents

_REDIS: Final = ("redis://", "rediss://", "unix://")


def open(place: str | Path) -> EventStore:
    """Open the store of events that is kept somewhere; it is made when absent.

    Parameters
    ----------
    place
        A file, which SQLite keeps; or the address of a Redis server, `redis://[user:password@]host[:port][/database]`, or with
        `rediss://` an encrypted connection, with `unix://` a socket.

    Raises
    ------
    ConfigError
        If it is neither, or Redis is asked for and its client is not installed.
    EventsUnavailable
        If the file cannot be used. A Redis that does not answer is told of when it is asked.
    """
    address = str(place)
    if address.startswith(_REDIS):
        from cortex_rec.events.redis import RedisEvents  # an extra that most shops do not need

        return RedisEvents(address)
    if "://" in address:
        raise ConfigError(f"events: {address.partition('://')[0]}:// is no store of events. Give a file, or redis://host:port/database.")
    return SqliteEvents(Path(place))
