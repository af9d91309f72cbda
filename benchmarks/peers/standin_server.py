"""A lean stand-in for Moesif's collector, fast enough not to be what is measured: `python -m benchmarks.peers.standin_server KEY`.

Takes user updates, `POST /v1/users` and `/v1/users/batch`, plain or gzipped, and remembers of each user the value of one key of
their metadata. `sync.standin` imitates more of Moesif, and is ten times slower.

    GET    /_told/counts              what was asked and taken since it was told to count anew
    DELETE /_told/counts              count anew
    GET    /_told/held                who is `true` and who is `false`
    PUT    /_told/behaviour           how to behave from now on, see `Behaviour`
    GET    /_told/taken?rows=N        answers once so many rows were taken

One thread; prints its URL and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
import time
import zlib
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """How requests are answered."""

    latency_seconds: float = 0.0
    refused: frozenset[str] = frozenset()
    """A batch with one of these users is answered 400, and nothing of it is taken."""
    held: int = 0
    """So many requests to come are taken and not answered; the connection is closed after `held_seconds`."""
    held_seconds: float = 30.0


class Counts(msgspec.Struct):
    """What was asked and taken."""

    requests: int = 0
    refused: int = 0
    """Requests that were answered 400."""
    rows: int = 0
    """Of the requests that were taken."""
    repeated: int = 0
    """Of these, rows that told what the stand-in held already."""


class _Item(msgspec.Struct):
    user_id: str
    metadata: dict[str, Any] = {}


_many, _one = msgspec.json.Decoder(list[_Item]), msgspec.json.Decoder(_Item)


class Holder:
    """What is held, and what was counted."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._held: dict[str, bool] = {}
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.counts = Counts()
        self.behaviour = Behaviour()

    def refuses(self, items: list[_Item]) -> bool:
        self.counts.requests += 1
        is_refused = bool(self.behaviour.refused) and any(item.user_id in self.behaviour.refused for item in items)
        self.counts.refused += is_refused
        return is_refused

    def take(self, items: list[_Item]) -> None:
        held, key = self._held, self._key
        for item in items:
            value = item.metadata[key]
            self.counts.repeated += held.get(item.user_id) is value
            held[item.user_id] = value
        self.counts.rows += len(items)
        for rows, taken in self._waiting:
            if self.counts.rows >= rows and not taken.done():
                taken.set_result(None)

    def is_to_hold(self) -> bool:
        if self.behaviour.held == 0:
            return False
        self.behaviour.held -= 1
        return True

    def as_json(self) -> dict[str, list[str]]:
        return {
            "true": [user for user, value in self._held.items() if value],
            "false": [user for user, value in self._held.items() if not value],
        }

    async def taken(self, rows: int) -> None:
        if self.counts.rows < rows:
            taken = asyncio.get_running_loop().create_future()
            self._waiting.append((rows, taken))
            await taken


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other, as every client of a collector makes them."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._bytes = bytearray()
        self._needed = 0
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        if len(self._bytes) < self._needed:
            return
        while (end := self._bytes.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._bytes[:end]).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            self._needed = end + 4 + int(headers.get("content-length", 0))
            if len(self._bytes) < self._needed:
                return
            body = bytes(self._bytes[end + 4 : self._needed])
            del self._bytes[: self._needed]
            self._needed = 0
            method, path, _ = head[0].split(" ")
            self._answer(method, path, zlib.decompress(body, wbits=31) if headers.get("content-encoding") == "gzip" else body)

    def _answer(self, method: str, path: str, body: bytes) -> None:
        if path.startswith("/v1/users"):
            self._collect(path, body)
        else:
            task = asyncio.create_task(self._told(method, path, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _collect(self, path: str, body: bytes) -> None:
        holder, later = self._holder, self._loop.call_later
        items = _many.decode(body) if path.endswith("/batch") else [_one.decode(body)]
        latency = holder.behaviour.latency_seconds
        if holder.refuses(items):
            later(latency, partial(self._write, "400 Bad Request", b'{"message":"an item is refused"}'))
            return
        holder.take(items)
        if holder.is_to_hold():
            later(holder.behaviour.held_seconds, self._transport.abort)
        elif latency:
            later(latency, partial(self._write, "201 Created", b"{}"))
        else:
            self._write("201 Created", b"{}")

    async def _told(self, method: str, path: str, body: bytes) -> None:
        holder = self._holder
        path, _, query = path.partition("?")
        match method, path:
            case "GET", "/_told/counts":
                said: object = holder.counts
            case "DELETE", "/_told/counts":
                holder.counts = Counts()
                said = {}
            case "GET", "/_told/held":
                said = holder.as_json()
            case "PUT", "/_told/behaviour":
                holder.behaviour = msgspec.json.decode(body, type=Behaviour)
                said = {}
            case "GET", "/_told/taken":
                await holder.taken(int(parse_qs(query)["rows"][0]))
                said = {"at": time.monotonic()}
            case _:
                self._write("404 Not Found", b'{"message":"no such path"}')
                return
        self._write("200 OK", msgspec.json.encode(said))

    def _write(self, status: str, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(_HEAD % (status.encode(), len(body)) + body)


_HEAD: Final = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


async def serve(key: str) -> None:
    holder = Holder(key)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(holder), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
