"""The app: a request is read by its route's model, answered by one call, written by another model. No ranking logic."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bentos import explorer, openapi
from bentos.answered import Json, assigned
from bentos.desk import Desk
from bentos.guard import Guard, Key, allowed
from bentos.problems import Problem, Refused
from bentos.table import TABLE, Operation
from cortex_rec.errors import ArtifactError, DataError, EventsUnavailable, InvalidEvent, InvalidRequest, UnknownItem

#: Bytes of a body; a picture in base64 needs more.
LARGEST_BODY: Final = 256 * 1024
LARGEST_ITEM: Final = 8 * 2**20
_PLAIN: Final = ("/", "/report", "/openapi.json", "/metrics", "/livez", "/readyz")
ROUTES: Final = ", ".join([*(f"{each.method} {each.template}" for each in TABLE), *_PLAIN])
#: A page of the release is whole in one file: it may use what is in it, and nothing else.
PAGE_HEADERS: Final = {
    "Content-Security-Policy": ("default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FaultHandler = Callable[[HttpRequest, Exception], Awaitable[Response]]
#: Faults of the library that asking otherwise mends, and the name of each for programs.
_FAULTS: Final = {
    UnknownItem: "unknown_item",
    InvalidRequest: "invalid_request",
    InvalidEvent: "invalid_event",
    DataError: "invalid_item",
}


def make_app(desk: Desk, keys: tuple[Key, ...] = (), table: Sequence[Operation] = TABLE) -> ASGIApp:
    """The whole API.

    Parameters
    ----------
    desk
        What it answers from.
    keys
        API keys; whoever reaches the port may ask when there is none.
    table
        What answers: `TABLE`, with other calls where a deployment cannot do what some of it does.
    """
    document = json.dumps(openapi.document(TABLE)).encode()

    def page(name: str) -> Callable[[HttpRequest], Awaitable[Response]]:
        async def show(_: HttpRequest) -> Response:
            file = desk.current.loaded.release.path / "report" / name
            # A release that is served may have been removed, and an old one has fewer pages.
            if not file.is_file():
                raise HTTPException(404)
            return FileResponse(file, headers=PAGE_HEADERS)

        return show

    async def show_metrics(_: HttpRequest) -> Response:
        return Response(desk.metrics.text(desk), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def show_document(_: HttpRequest) -> Response:
        return Response(document, media_type="application/json")

    routes = [
        *(_route(each, desk, keys) for each in table),
        *explorer.routes(lambda: desk.current.loaded.page),
        Route("/report", page("report.html")),
        # Beside the report in the release's folder, too, so that its link leads there from either.
        Route("/catalogue.html", page("catalogue.html")),
        Route("/metrics", show_metrics),
        Route("/openapi.json", show_document),
    ]
    faults: dict[Any, FaultHandler] = {
        Refused: _refused,
        EventsUnavailable: _unavailable,
        ArtifactError: _unavailable,
        ClientDisconnect: _gone,
        **dict.fromkeys(_FAULTS, _invalid),
        HTTPException: _no_route,
        Exception: _defect,
    }
    app = Starlette(routes=routes, exception_handlers=faults)
    # A redirect would lead to whatever the request calls the host.
    app.router.redirect_slashes = False
    guarded = Guard(app, desk.settings, keys, desk.metrics, desk.traces)
    if not desk.settings.cors:
        return guarded
    # Before the guard, so that a page may read the guard's own refusals.
    return CORSMiddleware(
        guarded,
        [origin.strip() for origin in desk.settings.cors.split(",")],
        allow_methods=sorted({each.method for each in TABLE}),
        allow_headers=["Authorization", "X-API-Key", "Content-Type", "X-Request-Id", "traceparent", "tracestate"],
        expose_headers=["X-Request-Id", "Retry-After"],
    )


def _route(operation: Operation, desk: Desk, keys: tuple[Key, ...]) -> Route:
    async def answer(http: HttpRequest) -> Response:
        allowed(http.scope, keys, operation.needed)
        path = {name: http.path_params[name] for name in operation.in_path}
        if operation.has_body:
            asked = operation.asked.from_body(await _body(http, LARGEST_ITEM if operation.method == "PUT" else LARGEST_BODY), path)
        else:
            asked = operation.asked.from_url(path, http.query_params.multi_items())
        answered = await operation.call(desk, asked)
        http.scope["assigned"] = assigned(answered)
        return Json(answered)

    # `:path` for ids that hold a slash.
    return Route(operation.template.replace("_id}", "_id:path}"), answer, methods=[operation.method])


async def _body(http: HttpRequest, largest: int) -> bytes:
    """The whole body, unless it is too large to be a question."""
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > largest:
            raise Refused(f"The body has more than {largest // 1024} KiB. Send less at once.", error="too_large", status=413)
    return bytes(body)


async def _refused(_: HttpRequest, error: Exception) -> Response:
    refused = cast(Refused, error)
    return Json(Problem(error=refused.error, detail=str(refused)), refused.status, refused.headers)


async def _invalid(_: HttpRequest, error: Exception) -> Response:
    name = next(name for kind, name in _FAULTS.items() if isinstance(error, kind))
    return Json(Problem(error=name, detail=str(error)), 422)


async def _unavailable(_: HttpRequest, error: Exception) -> Response:
    """What is kept beside the releases, events or changes, cannot be read or written."""
    name = "events_unavailable" if isinstance(error, EventsUnavailable) else "changes_unavailable"
    return Json(Problem(error=name, detail=str(error)), 503, {"Retry-After": "1"})


async def _gone(_: HttpRequest, error: Exception) -> Response:
    """Nobody gets this answer: it is the status of the log and the metrics, by the number that proxies give it."""
    return Json(Problem(error="client_gone", detail=f"The client went away before the whole body came ({type(error).__name__})."), 499)


async def _no_route(http: HttpRequest, error: Exception) -> Response:
    fault = cast(HTTPException, error)
    if fault.status_code == 405:
        problem = Problem(error="wrong_method", detail=f"{http.method} is not for this path. There are: {ROUTES}.")
    else:
        problem = Problem(error="not_found", detail=f"There is nothing at this path. There are: {ROUTES}.")
    return Json(problem, fault.status_code, fault.headers)


async def _defect(_: HttpRequest, error: Exception) -> Response:
    """Starlette raises the error again after this answer, so that its traceback is in the log."""
    del error
    return Json(Problem(error="internal", detail="A defect of the service; its log has the traceback under the X-Request-Id."), 500)
