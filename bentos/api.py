"""The routes: HTTP in, one call of the library, HTTP out. No ranking logic."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, Final, cast
from uuid import uuid4

import faiss
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bentos import explorer
from bentos.metrics import Measured, Metrics
from bentos.models import LARGEST_BODY, Answer, Asked, Item, Json, Problem, Refused, Version
from cortex_rec import __version__
from cortex_rec.errors import UnknownItem
from cortex_rec.recommender import Recommender
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request, Slate

ROUTES: Final = "POST /recommend, GET /api/recommend/{user_id}, /, /report, /catalogue.html, /version, /metrics, /livez, /readyz"
#: A page of the release is whole in one file: it may use what is in it, and nothing else.
PAGE_HEADERS: Final = {
    "Content-Security-Policy": ("default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FaultHandler = Callable[[HttpRequest, Exception], Awaitable[Response]]


def make_app(release: Release, recommender: Recommender) -> ASGIApp:
    """The whole API over one loaded release."""
    metrics = Metrics(release)
    # One kernel at a time, on one thread: two would fight for the interpreter's lock and answer less together (22 a second
    # against 29, measured with 8 connections). The event loop stays free for probes.
    kernels = ThreadPoolExecutor(1, "kernel", initializer=faiss.omp_set_num_threads, initargs=(1,))
    version = Version(
        library=__version__,
        release=release.id,
        name=release.manifest.name,
        as_of=f"{release.manifest.data.as_of:%Y-%m-%d}",
        git_commit=release.manifest.git_commit,
    )
    start_page = explorer.render(release, recommender.data)

    async def answer(asked: Asked) -> Response:
        start = perf_counter()
        request = Request(asked.user_id, asked.items, asked.store_id, asked.n)
        (slate,) = await asyncio.get_running_loop().run_in_executor(kernels, recommender.recommend, [request])
        metrics.answers.labels(_basis(slate, request)).inc()
        items = tuple(
            Item(item_id=each.item, title=each.title, score=each.score, probability=each.probability, reasons=each.reasons)
            for each in slate.items
        )
        took_ms = round(1_000 * (perf_counter() - start), 3)
        return Json(Answer(items=items, release=release.id, impression_id=uuid4().hex, took_ms=took_ms, fallback=slate.fallback))

    async def recommend(http: HttpRequest) -> Response:
        return await answer(Asked.from_body(await _body(http)))

    async def recommend_to(http: HttpRequest) -> Response:
        return await answer(Asked.from_query(http.path_params["user_id"], http.query_params.multi_items()))

    async def report(_: HttpRequest) -> Response:
        return FileResponse(release.path / "report" / "report.html", headers=PAGE_HEADERS)

    async def catalogue(_: HttpRequest) -> Response:
        page_file = release.path / "report" / "catalogue.html"
        if not page_file.is_file():
            raise HTTPException(404)
        return FileResponse(page_file, headers=PAGE_HEADERS)

    async def say_version(_: HttpRequest) -> Response:
        return Json(version)

    async def show_metrics(_: HttpRequest) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    routes = [
        Route("/recommend", recommend, methods=["POST"]),
        # `:path` for ids that hold a slash.
        Route("/api/recommend/{user_id:path}", recommend_to),
        *explorer.routes(lambda: start_page),
        Route("/report", report),
        # Beside the report in the release's folder, too, so that its link leads there from either.
        Route("/catalogue.html", catalogue),
        Route("/version", say_version),
        Route("/metrics", show_metrics),
    ]
    faults: dict[Any, FaultHandler] = {Refused: _refused, UnknownItem: _unknown_item, HTTPException: _no_route, Exception: _defect}
    return Measured(Starlette(routes=routes, exception_handlers=faults), metrics)


async def _body(http: HttpRequest) -> bytes:
    """The whole body, unless it is too large to be a question."""
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise Refused(f"The body has more than {LARGEST_BODY // 1024} KiB. Send fewer `items`.", error="too_large", status=413)
    return bytes(body)


def _basis(slate: Slate, request: Request) -> str:
    """What an answer rests on, as a metric's label."""
    if slate.fallback is None:
        return "personal"
    return "basket" if request.items else "popular"


async def _refused(_: HttpRequest, error: Exception) -> Response:
    refused = cast(Refused, error)
    return Json(Problem(error=refused.error, detail=str(refused)), refused.status)


async def _unknown_item(_: HttpRequest, error: Exception) -> Response:
    return Json(Problem(error="unknown_item", detail=f"`items`: {error}"), 422)


async def _no_route(http: HttpRequest, error: Exception) -> Response:
    fault = cast(HTTPException, error)
    if fault.status_code == 405:
        problem = Problem(error="wrong_method", detail=f"{http.method} is not for this path. There are: {ROUTES}.")
    else:
        problem = Problem(error="not_found", detail=f"There is nothing at this path. There are: {ROUTES}.")
    return Json(problem, fault.status_code, fault.headers)


async def _defect(_: HttpRequest, error: Exception) -> Response:
    """Starlette raises the error again after this answer, so that its traceback is in the log."""
    return Json(Problem(error="internal", detail=f"A defect of the service ({type(error).__name__}); its log has the traceback."), 500)
