"""A Lambda function as it runs on AWS, but for AWS: the real Runtime Interface Client against a small Runtime API on this machine."""

import base64
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

_SECONDS: Final = 120
_API: Final = "/2018-06-01/runtime"


class FailedToStart(Exception):
    """What a function told the Runtime API in place of asking for work."""


class LambdaFunction:
    """Started when made, and ready; one call at a time, as on AWS.

    Parameters
    ----------
    handler
        `module.name` of the handler.
    folder
        Where the process runs; the module is found there or by `PYTHONPATH`.
    environment
        Its variables.
    log
        The file that takes what it writes.

    Raises
    ------
    FailedToStart
        With the function's own message.
    """

    def __init__(self, handler: str, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self._events: queue.Queue[bytes | None] = queue.Queue()
        self._told: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _api_of(self._events, self._told))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        ours = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "cortex-rec"}
        start = time.perf_counter()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", handler], cwd=folder, env=dict(environment) | ours, stdout=output, stderr=output
            )
        try:
            kind, content = self._told.get(timeout=_SECONDS)
        except queue.Empty:
            self.stop()
            raise FailedToStart(log.read_text()) from None
        #: From the process's start to its first question for work.
        self.cold_seconds = time.perf_counter() - start
        if kind != "ready":
            self.stop()
            raise FailedToStart(json.loads(content)["errorMessage"])

    def call(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Hand over one event and give the handler's answer."""
        self._events.put(json.dumps(event).encode())
        kind, content = self._told.get(timeout=_SECONDS)
        assert kind == "response", content
        answer: dict[str, Any] = json.loads(content)
        # The client asks for more work when it has answered.
        assert self._told.get(timeout=_SECONDS)[0] == "ready"
        return answer

    def stop(self) -> None:
        """End it, as AWS does: without a word."""
        self.process.kill()
        self.process.wait()
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()


def url_event(
    method: str, path: str, query: str = "", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What a function URL hands over, payload format 2.0.

    Parameters
    ----------
    path
        Not yet quoted.
    query
        As it stands in the address.
    """
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": quote(path),
        "rawQueryString": query,
        "headers": {"host": "abc.lambda-url.eu-central-1.on.aws", "x-forwarded-proto": "https", **(headers or {})},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": "abc.lambda-url.eu-central-1.on.aws",
            "http": {"method": method, "path": quote(path), "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9", "userAgent": "test"},
            "requestId": uuid4().hex,
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1767225600000,
        },
        "isBase64Encoded": False,
    }
    if body is not None:
        event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return event


def _api_of(events: "queue.Queue[bytes | None]", told: "queue.Queue[tuple[str, bytes]]") -> type[BaseHTTPRequestHandler]:
    class RuntimeApi(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else each answer waits for the other side's acknowledgement: 40 ms.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            told.put(("ready", b""))
            event = events.get()
            if event is None:
                self.close_connection = True
                return
            self._answer(
                200,
                event,
                {
                    "Lambda-Runtime-Aws-Request-Id": str(uuid4()),
                    "Lambda-Runtime-Deadline-Ms": str(int(1_000 * (time.time() + 60))),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:cortex-rec",
                },
            )

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(202, b"{}", {})
            told.put((self.path.removeprefix(f"{_API}/").rpartition("/")[2] if "/invocation/" in self.path else "init", content))

        def _answer(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return RuntimeApi
