"""Before and after every route: who asks, how often, under which number; one line in the log for each request."""

import hashlib
import hmac
import json
import logging
import math
import re
import sys
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, Literal
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.answered import Json
from bentos.problems import Problem, Refused, later
from bentos.settings import Settings
from cortex_rec.errors import ConfigError

if TYPE_CHECKING:
    from bentos.metrics import Metrics
    from bentos.traces import Traces

Permission = Literal["read", "write"]
#: Label of a request that no route matches.
NO_ROUTE: Final = "(none)"
#: What a caller may send as its own number of a request.
_NUMBER: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OF_NOTHING: Final = hashlib.sha256(b"").digest()
_LOG: Final = logging.getLogger("cortex_rec.requests")


@dataclass
class Key:
    """An API key as the service knows it: its SHA-256 alone, and how many requests it has left for now."""

    name: str
    sha256: bytes
    permissions: frozenset[str]
    left: float = field(default=float("inf"))
    at: float = 0.0

    def take(self, rate: float, now: float) -> int:
        """Use up one request of a bucket that fills with `rate` a second; gives 0, or in how many seconds there will be one."""
        if rate == 0:
            return 0
        most = max(10.0, rate)
        self.left = min(most, self.left + rate * (now - self.at))
        self.at = now
        if self.left < 1:
            return max(1, math.ceil((1 - self.left) / rate))
        self.left -= 1
        return 0


def keys_of(settings: Settings) -> tuple[Key, ...]:
    """The keys of `CORTEX_REC_KEYS` and of the file that `CORTEX_REC_KEYS_FILE` names.

    Raises
    ------
    ConfigError
        If the file cannot be read, a line is not `name sha256 read|write|read,write`, two have one name or one key, or a key is the empty
        text, which whoever sends none would have. The line is not repeated, it may hold a secret. And if there is a rate without a key.
    """
    text = settings.keys.replace(";", "\n")
    if settings.keys_file is not None:
        try:
            text += "\n" + settings.keys_file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"CORTEX_REC_KEYS_FILE: {settings.keys_file} cannot be read ({error}).") from error
    keys: list[Key] = []
    lines = (line.strip() for line in text.splitlines())
    for number, line in enumerate((line for line in lines if line and not line.startswith("#")), start=1):
        found = re.fullmatch(r"(\S+)\s+([0-9a-f]{64})\s+(read|write|read,write)", line)
        if found is None:
            raise ConfigError(
                f"CORTEX_REC_KEYS: key {number} is not `name sha256 scopes`, with the 64 hexadecimal digits of `printf %s KEY | sha256sum` "
                "and the scopes read, write, or read,write."
            )
        key = Key(found[1], bytes.fromhex(found[2]), frozenset(found[3].split(",")))
        if key.sha256 == _OF_NOTHING:
            raise ConfigError(f"CORTEX_REC_KEYS: key {number}, {key.name!r}, is the SHA-256 of nothing. Was the key's variable unset?")
        if any(key.name == other.name or key.sha256 == other.sha256 for other in keys):
            raise ConfigError(f"CORTEX_REC_KEYS: key {number}, {key.name!r}, has the name or the key of one before. Leave one of them out.")
        keys.append(key)
    if settings.rate and not keys:
        raise ConfigError("CORTEX_REC_RATE: requests are counted by key, and there is none. Set CORTEX_REC_KEYS, or unset the rate.")
    return tuple(keys)


class Guard:
    """Counts, times, logs and numbers every request of the app inside, and lets in who may ask.

    Parameters
    ----------
    app
        A Starlette app; it leaves the matched route in the scope.
    keys
        Whoever reaches the port may ask when there is none.
    """

    def __init__(self, app: ASGIApp, settings: Settings, keys: tuple[Key, ...], metrics: "Metrics", traces: "Traces | None") -> None:
        self.app, self.settings, self.keys, self.metrics, self.traces = app, settings, keys, metrics, traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; add the request's number to the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status, headers = perf_counter(), 500, Headers(scope=scope)
        given = headers.get("x-request-id", "")
        number = given if _NUMBER.fullmatch(given) else uuid4().hex
        key = self._key(headers)
        scope["key"] = key
        span = None if self.traces is None else self.traces.begin(scope["method"], headers)

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = number
            await send(message)

        # BentoML's own router has left its mount there.
        scope.pop("route", None)
        try:
            wait = 0 if key is None else key.take(self.settings.rate, monotonic())
            if wait:
                detail = f"More than {self.settings.rate:g} requests a second come with this key. Ask again in {wait} s."
                fault = later(detail, error="too_many_requests", seconds=wait, status=429)
                await Json(Problem(error=fault.error, detail=str(fault)), 429, fault.headers)(scope, receive, noted)
            else:
                await self.app(scope, receive, noted)
        finally:
            route = scope.get("route")
            template = None if route is None else route.path.replace(":path", "")
            path = template or NO_ROUTE
            seconds = perf_counter() - start
            self.metrics.request(path, status, seconds)
            if self.traces is not None and span is not None:
                self.traces.end(span, scope["method"], template, status)
            if self.settings.log == "all" or status >= 400:
                told = {"request_id": number, "method": scope["method"], "route": path, "status": status, "ms": round(1_000 * seconds, 2)}
                if key is not None:
                    told["key"] = key.name
                told |= scope.get("assigned", {})
                if span is not None:
                    told["trace_id"] = f"{span.get_span_context().trace_id:032x}"
                _LOG.info(json.dumps(told))

    def _key(self, headers: Headers) -> Key | None:
        """The key that came with a request. All are compared, so that the time taken tells nothing."""
        if not self.keys:
            return None
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        secret = secret.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = hashlib.sha256(secret.encode()).digest()
        matching = [key for key in self.keys if hmac.compare_digest(key.sha256, digest)]
        return matching[0] if matching else None


def allowed(scope: Scope, keys: tuple[Key, ...], needed: Permission) -> None:
    """Whether the request's key may do what a route needs.

    Raises
    ------
    Refused
        With 401 without a known key, with 403 when the key may not do this.
    """
    if not keys:
        return
    key: Key | None = scope["key"]
    if key is None:
        raise Refused(
            "This service asks for an API key. Send it as `Authorization: Bearer KEY`.",
            error="unauthorized",
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
        )
    if needed not in key.permissions:
        raise Refused(f"Key {key.name!r} may not {needed}. Use one that may.", error="forbidden", status=403)


def log_requests() -> None:
    """Write one JSON object a line, without what other logs put before it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    _LOG.handlers = [handler]
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False
