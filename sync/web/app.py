"""The ASGI application: ingest, health, and whatever other routes it is given."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, request_response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.web.access import Access, Guarded
from sync.web.answers import CLOSED, Answer, error, json_answer
from sync.web.api import Api
from sync.web.api.asking import PREFIXES
from sync.web.door import Door
from sync.web.ingest import IngestRoute
from sync.web.metrics import CONTENT_TYPE, Metrics
from sync.web.writer import Writer

_log: Final = logging.getLogger(__name__)
_CODES: Final = {404: ("not_found", "there is nothing here"), 405: ("method_not_allowed", "this method is not allowed here")}


def create_app(door: Door, more_routes: Sequence[BaseRoute] = ()) -> Starlette:
    """Make the application. It writes while it runs under a server that speaks ASGI's lifespan, such as `Server`.

    Ingest goes first; paths that are not Segment's fall through to `more_routes`.
    """
    limits = door.limits
    writer = Writer(door.accept, waiting_calls=limits.waiting_calls, calls_at_once=limits.calls_at_once)

    @asynccontextmanager
    async def writing(_app: Starlette) -> AsyncIterator[None]:
        writer.start()
        yield
        if not await asyncio.to_thread(writer.stop, limits.stop_seconds):
            _log.warning("stopped before everything that was waiting could be stored; its senders have not been told success")

    async def healthz(_request: Request) -> Response:
        return _as_response(json_answer(200 if writer.alive else 503, {"alive": writer.alive}, CLOSED))

    async def readyz(_request: Request) -> Response:
        health = await asyncio.to_thread(door.health)
        ready = health.ready and writer.alive
        return _as_response(json_answer(200 if ready else 503, {"ready": ready, **health.facts}, CLOSED))

    app = Starlette(
        routes=[IngestRoute(door, writer), Route("/healthz", healthz), Route("/readyz", readyz), *more_routes],
        middleware=[Middleware(LastResort)],
        exception_handlers={HTTPException: _http_error},
        lifespan=writing,
    )
    # A redirect counts as success for some SDKs, and loses the body for others.
    app.router.redirect_slashes = False
    return app


class ApiRoute(BaseRoute):
    """Every path of the query API, for whom `Access` lets in; what is not there is answered within."""

    def __init__(self, api: Api, access: Access) -> None:
        self._app = Guarded(api, access)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the beginning of the path."""
        return (Match.FULL if scope["type"] == "http" and scope["path"].startswith(PREFIXES) else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)


def metrics_route(metrics: Metrics, access: Access) -> BaseRoute:
    """Return the route that Prometheus reads."""

    async def read(_request: Request) -> Response:
        return Response(
            await asyncio.to_thread(metrics.text), headers={"content-type": CONTENT_TYPE, "x-content-type-options": "nosniff"}
        )

    return Route("/metrics", Guarded(request_response(read), access), methods=["GET"])


async def _http_error(_request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)
    code, message = _CODES.get(raised.status_code, ("bad_request", "the request cannot be answered"))
    headers = tuple((name.lower().encode(), value.encode()) for name, value in (raised.headers or {}).items())
    return _as_response(error(raised.status_code, code, message, (*headers, *CLOSED)))


def _as_response(answer: Answer) -> Response:
    response = Response(status_code=answer.status, content=answer.body)
    response.raw_headers[:] = [*response.raw_headers, *answer.headers]
    return response


class LastResort:
    """Answers 500 for whatever nobody foresaw, and logs where it happened but not the message, which may hold data."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception as raised:  # noqa: BLE001 - nothing may get past here
            where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(raised.__traceback__)]
            _log.error("a request failed with %s at %s", type(raised).__name__, " < ".join(reversed(where)))
            if started:
                # Half an answer is out; only a cut connection tells the sender that it is not whole.
                raise ConnectionAbortedError from None
            await error(500, "internal_error", "something went wrong here; it has been logged")(scope, receive, send)
