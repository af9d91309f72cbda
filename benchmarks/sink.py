"""A destination that costs next to nothing: takes batches, answers each after a while, and looks at them only when it is asked.

    python -m benchmarks.sink --latency 0.01       in a process of its own; prints its URL
    POST anything                                  201, so many seconds later
    GET /told, GET /user/{id}                      what came: requests, rows, users; one user, as Moesif would hold it

Bodies are kept as they came, so that what is measured is whoever sends.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from benchmarks.machine import ROOT

_ANSWER: Final = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


class Sink:
    """A sink in another process, as one asks it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def told(self) -> dict[str, int]:
        """Return how many requests and rows came, and about how many users."""
        return dict(self._asked("told"))

    def user(self, user_id: str) -> dict[str, Any]:
        """Return the metadata of one user."""
        return dict(self._asked(f"user/{user_id}"))

    def forget(self) -> None:
        self._asked("forget")

    def _asked(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}") as answer:
            return json.load(answer)


@contextmanager
def running(latency: float) -> Iterator[Sink]:
    """Run a sink in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sink", "--latency", str(latency)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None, "it is a pipe"
        try:
            yield Sink(process.stdout.readline().strip())
        finally:
            process.terminate()


class _Kept:
    """What came, as it came."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def rows(self) -> Iterator[dict[str, Any]]:
        for body in self.bodies:
            yield from json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)

    def answer(self, path: str) -> Any:
        match path.strip("/").split("/"):
            case ["user", id]:
                return {key: value for row in self.rows() if row["user_id"] == id for key, value in row["metadata"].items()}
            case ["forget"]:
                self.bodies.clear()
                return {}
        users = [row["user_id"] for row in self.rows()]
        return {"requests": len(self.bodies), "rows": len(users), "users": len(set(users))}


class _Connection(asyncio.Protocol):
    def __init__(self, kept: _Kept, latency: float) -> None:
        self._kept = kept
        self._latency = latency
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a TCP server has no other"
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end])
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        if len(self._received) < end + 4 + length:
            return
        body = bytes(self._received[end + 4 : end + 4 + length])
        del self._received[: end + 4 + length]
        self._take(head, body)

    def _take(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            told = json.dumps(self._kept.answer(head.split(b" ")[1].decode())).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
            self._transport.close()
            return
        self._kept.bodies.append(body)
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, _ANSWER)
        else:
            self._transport.write(_ANSWER)


async def _serve(latency: float) -> None:
    kept = _Kept()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(kept, latency), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink", description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0)
    asyncio.run(_serve(parser.parse_args().latency))


if __name__ == "__main__":
    main()
