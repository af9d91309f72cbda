"""Collectors that are told what to do, down to the single byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from sync.moesif import Collector, Limits
from sync.standin import StandIn

Behaviour = Callable[[socket.socket], None]
"""What to do with a connection on which a whole request has been read."""


@dataclass
class RawServer:
    """Reads each request whole and then does as it was told; notes what it read."""

    behave: Behaviour
    received: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        # Closing alone would not wake the thread that waits for a connection.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    self.received.append(whole_request(connection))
                    self.behave(connection)


def whole_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or _gone()
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536) or _gone()
    return head + b"\r\n\r\n" + body


def _gone() -> bytes:
    raise ConnectionError


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], RawServer]]:
    servers: list[RawServer] = []

    def start(behave: Behaviour) -> RawServer:
        servers.append(RawServer(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def connect(clock: Callable[[], object]) -> Iterator[Callable[..., Collector]]:
    """Make collectors whose patience is short enough for a test, and close them afterwards."""
    collectors: list[Collector] = []

    def start(url: str, **limits: float) -> Collector:
        chosen = {"connect": 0.5, "read": 0.5, "total": 2.0} | limits
        collectors.append(Collector("app-1", url, clock=clock, limits=Limits(**chosen)))  # type: ignore[arg-type]
        return collectors[-1]

    yield start
    for collector in collectors:
        collector.close()


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn.start(application_id="app-1") as running:
        yield running


@pytest.fixture
def collector(standin: StandIn, connect: Callable[..., Collector]) -> Collector:
    return connect(standin.url)
