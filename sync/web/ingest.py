"""The routes that take calls in.

Plain ASGI without a framework's request objects: this is the hot path. Everything that SDKs do differently from the documentation
(paths, places for the key, content types, encodings) is met here and in `body` and `keys`, and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from sync.call import CallType, Defaults, Envelope, Incoming, InvalidCall, open_batch, open_call, read
from sync.errors import Unreachable
from sync.web.answers import SUCCESS, Answer, Refused, come_again, cors, error, invalid, preflight
from sync.web.body import Room, SenderLeft, read_body
from sync.web.browser import PIXEL, pixel_body, settings
from sync.web.door import Door
from sync.web.keys import KeyRing, basic_user
from sync.web.rates import Rates
from sync.web.writer import Behind, Writer

_CALLS: Final[dict[str, CallType]] = {
    **{f"/v1/{one}": one for one in CallType},
    # Analytics.js sends to the first letter.
    **{f"/v1/{one[0]}": one for one in CallType},
}
_BATCHES: Final = frozenset({"/v1/batch", "/v1/import", "/v1/b"})
_METRICS: Final = "/v1/m"
"""Where Analytics.js reports about itself; taken, and not kept."""
POSTS: Final = frozenset({*_CALLS, *_BATCHES, _METRICS})
PIXELS: Final = {f"/v1/pixel/{one}": one for one in CallType}
_COME_AGAIN: Final = frozenset({429, 503})
"""By which nothing was taken that could have been."""


class IngestRoute(BaseRoute):
    """Every path under `/v1` that is Segment's; the others are left to whoever comes next."""

    def __init__(self, door: Door, writer: Writer) -> None:
        self._door = door
        self._writer = writer
        self._keys = KeyRing(door.sources)
        self._room = Room(door.limits)
        self._rates = Rates(door.limits.source_rate, door.monotonic)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by path; the method is answered here, so that a wrong one gets CORS headers too."""
        known = scope["type"] == "http" and _methods(_path(scope)) is not None
        return (Match.FULL if known else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = dict(scope["headers"])
        try:
            answer = await self._answer(scope, headers, receive)
        except Refused as refused:
            answer = refused.answer
        except InvalidCall as reason:
            answer = invalid(reason)
        except SenderLeft:
            return
        except Exception:
            self._door.answered(500)
            raise
        self._door.answered(answer.status)
        await answer.plus(cors(headers))(scope, receive, send)

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Answer:
        path, method = _path(scope), scope["method"]
        allowed = _methods(path) or ""
        if method == "OPTIONS":
            return preflight(headers)
        if method not in allowed.split(", "):
            return error(405, "method_not_allowed", f"use {allowed}", ((b"allow", allowed.encode()),))
        if path in PIXELS:
            return await self._pixel(scope, PIXELS[path])
        if path not in POSTS:
            return self._settings(path, headers, scope["scheme"])
        return await self._post(path, scope, headers, receive)

    async def _post(self, path: str, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Answer:
        limits = self._door.limits
        limit = limits.call_bytes if path in _CALLS else limits.batch_bytes
        with self._room.hold() as held:
            body = await read_body(receive, headers, held, limit=limit, seconds=limits.body_seconds)
            if path == _METRICS:
                return SUCCESS
            if self._writer.is_behind:
                return self._behind()
            basic = basic_user(headers.get(b"authorization", b""))
            source = self._keys.source((basic,))
            if source is not None:
                # Before the body is understood: whoever floods is not to cost that.
                self._require_patience(source)
            envelope = open_call(body, _CALLS[path]) if path in _CALLS else open_batch(body)
            return await self._take(source or self._source_in_body(basic, envelope), envelope, _address(scope))

    def _source_in_body(self, basic: bytes, envelope: Envelope) -> str:
        in_body = (envelope.write_key or "").encode()
        source = self._keys.source((in_body,))
        if source is not None:
            return source
        if not basic and not in_body:
            raise Refused(error(401, "missing_write_key", "send the write key as Basic user name, or as writeKey in the body"))
        raise Refused(error(401, "unknown_source", "the write key is not known"))

    async def _take(self, source: str, envelope: Envelope, ip: str | None) -> Answer:
        """Have everything stored, what is rejected too; 200 unless it was a single call that is rejected."""
        self._require_patience(source)
        self._rates.spend(source, max(1, len(envelope.items)))
        calls, rejected = read(envelope, received_at=self._door.clock(), ip=ip)
        try:
            await self._writer.put(Incoming(source=source, calls=calls, rejected=rejected))
        except Behind:
            return self._behind()
        except Unreachable:
            return come_again(503, "store_away", "nothing can be stored just now", self._door.limits.away_seconds)
        if rejected and not envelope.is_batch:
            return invalid(InvalidCall(rejected[0].code, rejected[0].message))
        return SUCCESS

    def _require_patience(self, source: str) -> None:
        """Raise Refused (429) where a source has sent more than its rate."""
        wait = self._rates.wait(source)
        if wait:
            self._door.limited(source)
            raise Refused(come_again(429, "too_many_requests", "this source sends too much at a time", math.ceil(wait)))

    def _behind(self) -> Answer:
        return come_again(429, "too_many_requests", "too much is waiting to be stored", self._door.limits.behind_seconds)

    async def _pixel(self, scope: Scope, type: CallType) -> Answer:
        """Take a call in an image's address. Always an image, whatever becomes of the call: nobody would read an error.

        What could have been taken at another time is not told to be a success all the same.
        """
        body = pixel_body(scope["query_string"]) if scope["method"] == "GET" else None
        if body is None:
            return PIXEL
        try:
            opened = open_call(body, type)
            source = self._source_in_body(b"", opened)
            address = _address(scope)
            seen = Defaults(context={"ip": address}) if address else opened.defaults
            envelope = Envelope(items=opened.items, type=type, sent_at=opened.sent_at, defaults=seen)
            answer = await self._take(source, envelope, address)
        except InvalidCall:
            return PIXEL
        except Refused as refused:
            answer = refused.answer
        return replace(PIXEL, status=answer.status) if answer.status in _COME_AGAIN else PIXEL

    def _settings(self, path: str, headers: dict[bytes, bytes], scheme: str) -> Answer:
        write_key = path.split("/")[3]
        if self._keys.source((write_key.encode("utf-8", "surrogateescape"),)) is None:
            return error(404, "not_found", "there is no such project")
        return settings(write_key, headers, scheme)


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removesuffix("/")


def _methods(path: str) -> str | None:
    """Which methods a path takes beside OPTIONS; None for a path that is not ours."""
    if path in POSTS:
        return "POST"
    if path in PIXELS or (path.startswith("/v1/projects/") and path.endswith("/settings") and path.count("/") == 4):
        return "GET, HEAD"
    return None


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None
