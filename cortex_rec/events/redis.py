"""Events in a Redis server: for a service of several machines. As durable as the server is told to be; `docs/events.md` says how."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from operator import attrgetter, itemgetter
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as Late
from redis.retry import Retry

from cortex_rec.errors import ConfigError, EventsUnavailable
from cortex_rec.events.protocol import KINDS, LIMITS, Event, Line

#: Seconds for an answer, and to leave a server alone that gave none: whoever asks meanwhile need not wait, too.
_PATIENCE: Final = 0.25
_PAUSE: Final = 1.0
#: Events that are read or trimmed at once: others have their turn in between.
_PAGE: Final = 1_000
_values = attrgetter(*(field.name for field in fields(Event)))
_PREFIX: Final = "cortex_rec:events:"
#: All keys: the ids that came, a counter, all events by time, and those of a user and a kind by time. A member of the latter two is the
#: event's number of arrival, 16 digits, then its fields as JSON; members of one second are in the order of their letters, which is that
#: of arrival.
_KEYS: Final = f"""
local ids, count, log = '{_PREFIX}ids', '{_PREFIX}count', '{_PREFIX}log'
local function own(kind, user) return '{_PREFIX}' .. kind .. ':' .. user end
local function remove(member, event)
    redis.call('ZREM', log, member)
    redis.call('ZREM', own(event[2], event[3]), member)
    redis.call('SREM', ids, event[1])
end
"""
#: Scripts run whole or not at all, and nothing is read in between.
_APPEND: Final = f"""{_KEYS}
local new = 0
for i = 1, #ARGV, 5 do
    if redis.call('SADD', ids, ARGV[i]) == 1 then
        local member = string.format('%016d', redis.call('INCR', count)) .. ARGV[i + 4]
        redis.call('ZADD', log, ARGV[i + 3], member)
        redis.call('ZADD', own(ARGV[i + 1], ARGV[i + 2]), ARGV[i + 3], member)
        new = new + 1
    end
end
return new
"""
_FORGET: Final = f"""{_KEYS}
local gone = 0
for i = 2, #ARGV do
    for _, member in ipairs(redis.call('ZRANGE', own(ARGV[i], ARGV[1]), 0, -1)) do
        remove(member, cjson.decode(string.sub(member, 17)))
        gone = gone + 1
    end
end
return gone
"""
#: Hides stay, but for those on which no answer rests.
_TRIM: Final = f"""{_KEYS}
local before, start, hides = ARGV[1], ARGV[2], tonumber(ARGV[3])
local gone, kept = 0, 0
for _, member in ipairs(redis.call('ZRANGE', log, '-inf', '(' .. before, 'BYSCORE', 'LIMIT', start, {_PAGE})) do
    local event = cjson.decode(string.sub(member, 17))
    if event[2] == 'hide' and redis.call('ZREVRANK', own('hide', event[3]), member) < hides then
        kept = kept + 1
    else
        remove(member, event)
        gone = gone + 1
    end
end
return {{gone, kept}}
"""


class RedisEvents:
    """A Redis server, version 6.2 or later, that is not a cluster; its keys begin with `cortex_rec:events:`.

    Parameters
    ----------
    address
        `redis://[user:password@]host[:port][/database]`, or with `rediss://` or `unix://`.
    limits
        How many of a user's latest events of each kind `of` gives.

    Raises
    ------
    ConfigError
        If the address cannot be read.
    """

    def __init__(self, address: str, *, limits: Mapping[str, int] = LIMITS) -> None:
        self._limits, self._silent_until = limits, 0.0
        try:
            parts = urlsplit(address)
            # Without the password: errors tell it.
            self._name = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
            # A connection that a restarted server has closed is opened anew, once.
            retry = Retry(NoBackoff(), 1, supported_errors=(Disconnected,))
            self._redis = Redis.from_url(address, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=retry)
        except ValueError as error:
            raise ConfigError(
                f"events: the Redis address cannot be read ({error}). Write redis://user:password@host:port/database."
            ) from None
        self._append, self._forget, self._trim = (self._redis.register_script(script) for script in (_APPEND, _FORGET, _TRIM))

    def append(self, events: Sequence[Event]) -> int:
        arguments = [part for one in events for part in (one.event_id, one.kind, one.user, one.time, _written(one))]
        with self._named():
            new: int = self._append(args=arguments)
        return new

    def of(self, users: Sequence[str]) -> list[list[Line]]:
        with self._named(), self._redis.pipeline(transaction=True) as asked:
            for user in users:
                for kind, limit in self._limits.items():
                    asked.zrange(f"{_PREFIX}{kind}:{user}", 0, limit - 1, desc=True)
            found = asked.execute()
        each = len(self._limits)
        return [_lines([member for kind in found[i : i + each] for member in kind]) for i in range(0, len(found), each)]

    def since(self, time: int, kinds: Sequence[str] = KINDS) -> Iterator[Event]:
        seen = 0
        while True:
            with self._named():
                page: Any = self._redis.zrange(f"{_PREFIX}log", time, "+inf", byscore=True, offset=seen, num=_PAGE)
            for member in page:
                event = Event(*json.loads(member[16:]))
                # The next page begins in the second in which this one ends, after what came of it.
                seen = seen + 1 if event.time == time else 1
                time = event.time
                if event.kind in kinds:
                    yield event
            if len(page) < _PAGE:
                return

    def forget(self, user: str) -> int:
        with self._named():
            gone: int = self._forget(args=[user, *KINDS])
        return gone

    def trim(self, before: int) -> int:
        gone: int
        kept: int
        removed = start = 0
        while True:
            with self._named():
                gone, kept = self._trim(args=[before, start, self._limits["hide"]])
            removed, start = removed + gone, start + kept
            if gone + kept < _PAGE:
                return removed

    def close(self) -> None:
        self._redis.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Redis' faults as ours, with the server's name."""
        if monotonic() < self._silent_until:
            raise EventsUnavailable(f"{self._name}: Redis did not answer within {_PATIENCE} s a moment ago. It is asked again soon.")
        try:
            yield
        except RedisError as error:
            if isinstance(error, Late):
                self._silent_until = monotonic() + _PAUSE
            raise EventsUnavailable(f"{self._name}: the store of events does not answer ({error}). Start Redis, or see its log.") from error


def _written(event: Event) -> str:
    return json.dumps(_values(event), ensure_ascii=False, separators=(",", ":"))


def _lines(members: Sequence[bytes]) -> list[Line]:
    """What was read of one user, in order."""
    values = sorted(([*json.loads(member[16:]), member[:16]] for member in members), key=itemgetter(4, -1))
    return [Line(kind, item, time, basket, quantity, price) for _, kind, _, item, time, basket, quantity, price, *_ in values]
