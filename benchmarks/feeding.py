"""A client that costs little: requests written beforehand, over connections that stay open, one after the other on each.

    python -m benchmarks.feeding < pickled (port, connections, requests)

prints as JSON how long it took, how long each request took and which statuses came back. A process of its own, so that what it
computes is not the server's.
"""

from __future__ import annotations

import json
import os
import pickle
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Final

from benchmarks.machine import ROOT
from benchmarks.report import require_equal

_RECEIVED_AT_ONCE: Final = 65_536
_BUFFERED: Final = 1 << 19
"""Bytes that a socket takes before the server has read them: a whole request."""


@dataclass(kw_only=True)
class Fed:
    """What came of sending requests."""

    seconds: float
    each: list[float] = field(default_factory=list)
    """How long each request took, in seconds."""
    statuses: dict[str, int] = field(default_factory=dict)
    cpu: float = 0.0
    """Of the client, in seconds."""


def request(path: str, body: bytes) -> bytes:
    """Write a request as an SDK would."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def feed(port: int, requests: Sequence[bytes], connections: int) -> Fed:
    """Send requests from another process; Wrong if one is not answered by 200."""
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.feeding"],
        input=pickle.dumps((port, connections, list(requests))),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    fed = Fed(**json.loads(told.stdout))
    require_equal("statuses of what was sent", fed.statuses, {"200": len(requests)})
    return fed


class Connection:
    """One connection, on which one request is underway."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFERED)
        self.began = 0.0
        self._answer = b""

    def send(self, whole: bytes) -> None:
        self._answer, self.began = b"", time.perf_counter()
        self.socket.sendall(whole)

    def receive(self) -> str | None:
        """Read what is there; the status once the answer is complete."""
        received = self.socket.recv(_RECEIVED_AT_ONCE)
        if not received:
            raise ConnectionError("the server closed the connection")
        self._answer += received
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return None
        return head[9:12].decode()


def _send_all(port: int, connections: int, requests: Sequence[bytes]) -> Fed:
    rest, fed, selector = iter(requests), Fed(seconds=0), selectors.DefaultSelector()
    opened = [Connection(port) for _ in range(min(connections, len(requests)))]
    for one in opened:
        selector.register(one.socket, selectors.EVENT_READ, one)
    began, busy = time.perf_counter(), time.process_time()
    for one, first in zip(opened, islice(rest, len(opened)), strict=True):
        one.send(first)
    while len(fed.each) < len(requests):
        for one, status in _answered(selector):
            fed.each.append(time.perf_counter() - one.began)
            fed.statuses[status] = fed.statuses.get(status, 0) + 1
            following = next(rest, None)
            if following is not None:
                one.send(following)
    fed.seconds, fed.cpu = time.perf_counter() - began, time.process_time() - busy
    return fed


def _answered(selector: selectors.BaseSelector) -> Iterator[tuple[Connection, str]]:
    for key, _ in selector.select():
        status = key.data.receive()
        if status is not None:
            yield key.data, status


if __name__ == "__main__":
    print(json.dumps(asdict(_send_all(*pickle.load(sys.stdin.buffer)))))
