"""One request of the API: find its route, read what it asks with, have it answered in a thread of the API's, or say what is wrong.

Paths are taken apart before they are unquoted, so that a user id may hold a slash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import Receive, Scope, Send

from sync.errors import InputError, NotFound, Unreachable
from sync.json_value import Json, decode
from sync.web.answers import Answer, Refused, come_again, error, json_answer
from sync.web.api.audiences import Conflict
from sync.web.api.openapi import document
from sync.web.api.operations import OPERATIONS, Operation
from sync.web.api.parameters import InvalidParameter, from_body, from_path, from_query
from sync.web.api.program import Program
from sync.web.body import Room, SenderLeft, read_body
from sync.web.door import Limits

PREFIXES: Final = ("/api/", "/v1/spaces/")
DOCUMENT: Final = "/api/openapi.json"

_THREADS: Final = 4
"""Requests answered at one time; the rest wait, so that whoever asks much cannot take the store from ingest."""
_BODY_BYTES: Final = 64 * 1024
_STORE_AWAY: Final = "the store cannot be used just now"


class Api:
    """Answers requests below `PREFIXES`."""

    def __init__(self, program: Program, operations: Sequence[Operation] = OPERATIONS, limits: Limits | None = None) -> None:
        self._program = program
        self._operations = operations
        self._limits = limits or Limits()
        self._room = Room(self._limits)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except Refused as refused:
            answer = refused.answer
        except SenderLeft:
            return
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        parts = _segments(scope)
        found = [(one, values) for one in self._operations if (values := _matched(one, parts)) is not None]
        if scope["path"] == DOCUMENT:
            return _document(scope["method"])
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        for operation, values in found:
            if operation.method == method:
                return await self._asked(operation, values, scope, receive)
        if found:
            return _not_allowed({operation.method for operation, _ in found})
        return error(404, "not_found", f"there is nothing here; {DOCUMENT} lists what there is")

    async def _asked(self, operation: Operation, in_path: Mapping[str, bytes], scope: Scope, receive: Receive) -> Answer:
        body = await self._body(operation, scope, receive)
        work = partial(self._answered, operation, in_path, scope["query_string"], body)
        answer = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        return _as_profiles_answer(answer) if operation.is_profile and answer.status >= 400 else answer

    async def _body(self, operation: Operation, scope: Scope, receive: Receive) -> bytes:
        if not operation.body:
            return b""
        headers = dict(scope["headers"])
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            raise Refused(error(415, "unsupported_media_type", "send JSON, with Content-Type: application/json"))
        with self._room.hold() as held:
            return await read_body(receive, headers, held, limit=_BODY_BYTES, seconds=self._limits.body_seconds)

    def _answered(self, operation: Operation, in_path: Mapping[str, bytes], query: bytes, body: bytes) -> Answer:
        try:
            given = _given(operation, in_path, query, body)
            return json_answer(operation.status, operation.answered_by(self._program, **given))
        except InvalidParameter as wrong:
            return error(400, "invalid_parameter", str(wrong))
        except NotFound as missing:
            return error(404, "not_found", str(missing))
        except Conflict as conflict:
            return error(409, "conflict", str(conflict))
        except InputError as wrong:
            return error(400, "bad_request", str(wrong))
        except Unreachable:
            return come_again(503, "store_away", _STORE_AWAY, self._limits.away_seconds)


def _given(operation: Operation, in_path: Mapping[str, bytes], query: bytes, body: bytes) -> dict[str, object]:
    """Read every parameter. Raises InvalidParameter."""
    parts = {name: _unquoted(name, value) for name, value in in_path.items()}
    given = from_path(parts, operation.in_path) | from_query(query, operation.query)
    if operation.body:
        given |= from_body(_json(body), operation.body)
    # Python has a word of its own for what Segment calls `class`.
    return {"class_" if name == "class" else name: value for name, value in given.items()}


def _segments(scope: Scope) -> list[bytes]:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.strip(b"/").split(b"/")


def _matched(operation: Operation, parts: Sequence[bytes]) -> dict[str, bytes] | None:
    """Return the variable parts of a path that is an operation's; None where it is another's."""
    if len(parts) != len(operation.segments):
        return None
    values: dict[str, bytes] = {}
    for wanted, part in zip(operation.segments, parts, strict=True):
        if wanted.startswith("{") and part:
            values[wanted[1:-1]] = part
        elif wanted.encode() != part:
            return None
    return values


def _unquoted(name: str, part: bytes) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise InvalidParameter(f"{name}: expected UTF-8, percent-encoded") from None


def _json(body: bytes) -> Json:
    try:
        return decode(body)
    except ValueError:
        raise InvalidParameter("the body must be JSON by RFC 8259, in UTF-8") from None


def _document(method: str) -> Answer:
    return json_answer(200, document(OPERATIONS)) if method in ("GET", "HEAD") else _not_allowed({"GET"})


def _not_allowed(methods: set[str]) -> Answer:
    allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
    return error(405, "method_not_allowed", f"use {allowed}", ((b"allow", allowed.encode()),))


def _as_profiles_answer(answer: Answer) -> Answer:
    """Return an error in the shape that Segment's Profile API has."""
    said = decode(answer.body)
    assert isinstance(said, dict)
    kept = tuple(header for header in answer.headers if header[0] not in (b"content-type", b"x-content-type-options"))
    return json_answer(answer.status, {"error": {"code": said["code"], "message": said["message"]}}, kept)
