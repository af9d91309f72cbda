"""A real server on loopback whose store is a list, and what it was asked."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import requests
from starlette.types import Receive, Scope, Send

from sync.call import Call, Incoming, RejectedCall
from sync.settings import Secret
from sync.web import Door, Health, Limits, Server, create_app

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


@dataclass
class Place:
    """A server that runs, and what became of the requests."""

    url: str = ""
    port: int = 0
    taken: list[Incoming] = field(default_factory=list)
    asked: list[tuple[str, dict[bytes, bytes]]] = field(default_factory=list)
    """Path and headers of every request, in order of arrival."""
    fails: Callable[[Sequence[Incoming]], None] = lambda _incoming: None
    """Raises, for a store that is away or chokes."""

    def accept(self, incoming: Sequence[Incoming]) -> None:
        self.fails(incoming)
        self.taken.extend(incoming)

    @property
    def calls(self) -> list[Call]:
        return [call for incoming in self.taken for call in incoming.calls]

    @property
    def rejected(self) -> list[RejectedCall]:
        return [rejected for incoming in self.taken for rejected in incoming.rejected]

    def post(self, path: str, body: Any = None, key: str | None = "key-of-web", **options: Any) -> requests.Response:
        """Post JSON, or bytes as they are."""
        how = {"data": body} if isinstance(body, bytes) else {"json": body}
        auth = (key, "") if key is not None else None
        return requests.post(self.url + path, auth=auth, timeout=10, allow_redirects=False, **how, **options)

    def raw(self, sent: bytes, seconds: float = 5) -> bytes:
        """Send bytes as they are and return everything that comes back until the connection is closed or quiet."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(sent)
            return received(connection)


def received(connection: socket.socket) -> bytes:
    found = b""
    try:
        while chunk := connection.recv(65536):
            found += chunk
            if found.endswith(b"}"):
                break
    except TimeoutError:
        pass
    return found


Serve = Callable[..., Place]


def started(servers: ExitStack, **options: Any) -> Place:
    place = Place()
    health = options.pop("health", lambda: Health(ready=True))
    limits = options.pop("limits", Limits())
    sources = options.pop("sources", {"web": "key-of-web", "app": "schlüssel"})
    monotonic = options.pop("monotonic", time.monotonic)
    keys = None if sources is None else {name: Secret(key) for name, key in sources.items()}
    door = Door(accept=place.accept, clock=lambda: NOW, health=health, sources=keys, limits=limits, monotonic=monotonic)
    app = create_app(door, options.pop("more_routes", ()))

    async def recording(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            place.asked.append((scope["path"], dict(scope["headers"])))
        await app(scope, receive, send)

    place.port = servers.enter_context(Server(recording, host="127.0.0.1", port=0, **options)).port
    place.url = f"http://127.0.0.1:{place.port}"
    return place


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server of the test's own; it is stopped at its end."""
    with ExitStack() as servers:
        yield partial(started, servers)


@pytest.fixture(scope="session")
def shared_place() -> Iterator[Place]:
    with ExitStack() as servers:
        yield started(servers)


@pytest.fixture
def place(shared_place: Place) -> Place:
    """A server as a user has it, which has not been asked anything yet."""
    shared_place.taken.clear()
    shared_place.asked.clear()
    shared_place.fails = lambda _incoming: None
    return shared_place
