"""Read a request's body: bounded in bytes before and after decompression, in time, and in memory over all requests.

What is too large is read on for a while and thrown away before it is refused: a sender that is cut off while it still writes sees a
reset connection instead of the answer, and tries again. Where there is no room, a body that has been arriving for long makes way:
whose it is need not be known by then, and a few senders that never come to an end could keep everybody else out.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from starlette.types import Receive

from sync.web.answers import Refused, come_again, error
from sync.web.door import Limits

_CLOSE: Final = ((b"connection", b"close"),)
_THROWN_AWAY: Final = 16 * 1024 * 1024
_WINDOW_BITS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class SenderLeft(Exception):
    """The connection was closed before the body was complete; there is nobody to answer."""


class Room:
    """How many bytes of bodies may be held at one time, over all requests. For one event loop; not thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._free = limits.waiting_bytes
        self._behind_seconds = limits.behind_seconds
        self._slow_seconds = limits.slow_seconds
        # Since when, the longest first, and until when it may.
        self._arriving: dict[Held, tuple[float, asyncio.Timeout]] = {}

    @contextmanager
    def hold(self) -> Iterator[Held]:
        """Hold room while a request is underway; it is given back at the end."""
        held = Held(self)
        try:
            yield held
        finally:
            self._free += held.size

    @contextmanager
    def arriving(self, held: Held, until: asyncio.Timeout) -> Iterator[None]:
        """Count a body among those that are still arriving, whose time ends early where others need its room more."""
        self._arriving[held] = asyncio.get_running_loop().time(), until
        try:
            yield
        finally:
            self._arriving.pop(held, None)

    def take(self, size: int) -> None:
        """Take room. Raises Refused (429) if there is not enough."""
        if size > self._free:
            self._make_way(size)
        if size > self._free:
            raise Refused(come_again(429, "too_many_requests", "too much is waiting to be stored", self._behind_seconds))
        self._free -= size

    def _make_way(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        for held, (since, until) in [*self._arriving.items()]:
            if size <= self._free or now - since <= self._slow_seconds:
                return
            del self._arriving[held]
            if not until.expired():
                until.reschedule(now)
            self._free += held.size
            held.size = 0


class Held:
    """The room that one request holds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0

    def arriving(self, until: asyncio.Timeout) -> AbstractContextManager[None]:
        """Say that what the room is for is still arriving, and until when it may."""
        return self._room.arriving(self, until)

    def add(self, size: int) -> None:
        """Take so many bytes more. Raises Refused (429)."""
        self._room.take(size)
        self.size += size


async def read_body(receive: Receive, headers: dict[bytes, bytes], held: Held, *, limit: int, seconds: float) -> bytes:
    """Read a body and undo its encoding. Raises Refused (400, 408, 413, 415, 429) and SenderLeft."""
    if b"content-length" in headers and b"transfer-encoding" in headers:
        # Two lengths are how a request is smuggled past a proxy.
        raise Refused(error(400, "bad_request", "Content-Length and Transfer-Encoding exclude each other", _CLOSE))
    try:
        async with asyncio.timeout(seconds) as until:
            with held.arriving(until):
                raw = await _collect(receive, held, limit)
    except TimeoutError:
        raise Refused(
            error(408, "request_timeout", f"the body must arrive within {seconds:g} seconds, and soon while others wait", _CLOSE)
        ) from None
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding in (b"", b"identity"):
        return raw
    body = _decompress(raw, encoding, limit)
    held.add(len(body))
    return body


async def _collect(receive: Receive, held: Held, limit: int) -> bytes:
    kept, size = bytearray(), 0
    refused: Refused | None = None
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise SenderLeft
        chunk = message.get("body", b"")
        size += len(chunk)
        refused = refused or _refusal(held, size, len(chunk), limit)
        if refused is None:
            kept += chunk
        if not message.get("more_body"):
            break
        if size > _THROWN_AWAY:
            raise Refused(_too_large(limit).answer.plus(_CLOSE))
    if refused is not None:
        raise refused
    return bytes(kept)


def _refusal(held: Held, size: int, added: int, limit: int) -> Refused | None:
    if size > limit:
        return _too_large(limit)
    try:
        held.add(added)
    except Refused as refused:
        return refused
    return None


def _decompress(raw: bytes, encoding: bytes, limit: int) -> bytes:
    """Undo gzip or deflate. Never makes more than the limit, whatever it is given."""
    bits = _WINDOW_BITS.get(encoding)
    if bits is None:
        raise Refused(error(415, "unsupported_encoding", "Content-Encoding must be gzip, deflate or identity"))
    inflater = zlib.decompressobj(bits)
    try:
        body = inflater.decompress(raw, limit + 1)
    except zlib.error:
        raise Refused(error(400, "invalid_encoding", "the body is not what Content-Encoding says")) from None
    if len(body) > limit:
        raise _too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise Refused(error(400, "invalid_encoding", "the compressed body is cut off, or is followed by something else"))
    return body


def _too_large(limit: int) -> Refused:
    return Refused(error(413, "body_too_large", f"the body may have at most {limit} bytes"))
