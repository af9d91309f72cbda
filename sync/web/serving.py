"""Serve the application over HTTP with uvicorn."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final, Self

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sync.errors import SettingsError, SyncError
from sync.web.answers import come_again, cors

_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than SDKs leave between two flushes, so that a connection is seldom closed just when the next request is on its way."""
_CONNECTIONS: Final = 2000
_READ_BYTES: Final = 256 * 1024
"""Read from a connection at once, at most; what asyncio reads by itself."""
_FULL: Final = come_again(429, "too_many_connections", "more connections are open than can be served; come again", 5).plus(
    ((b"connection", b"close"),)
)


class Server:
    """A server in a thread of its own. It is started once and stopped once; both wait until it is done."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        stop_seconds: float = 10.0,
        header_seconds: float = 15.0,
        connections: int = _CONNECTIONS,
        trusted_proxies: str | None = None,
        answered: Callable[[int], None] = lambda status: None,
    ) -> None:
        """Port 0 takes a free one.

        `stop_seconds` is how long requests underway may go on once the server is stopped; `header_seconds` how long a request's
        head may take to arrive. Of more than so many `connections` the one is closed that has been idle longest; where none is
        idle, whoever comes is told to come again, and `answered` is told the status of that, which the application never sees.
        `trusted_proxies` (addresses, comma-separated) may say by X-Forwarded-For where a call came from; nobody may by default.
        """
        self._host, self._port = host, port
        told = {"header_seconds": header_seconds, "most": connections, "full": _Full(answered), "room": bytearray(_READ_BYTES)}
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                http=type("Protocol", (_PROTOCOL,), told),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=trusted_proxies is not None,
                forwarded_allow_ips=trusted_proxies or "",
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(stop_seconds)),
            )
        )
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._socket: socket.socket | None = None

    def start(self) -> int:
        """Listen, and return the port. Raises SettingsError if that address cannot be had."""
        self._socket = _listen(self._host, self._port)
        self._thread.start()
        while not self._uvicorn.ready.wait(0.05):
            if not self._thread.is_alive():
                raise SyncError("the HTTP server could not start")
        port: int = self._socket.getsockname()[1]
        return port

    def stop(self) -> None:
        """Take no new connection, let the requests underway end, store what is waiting."""
        self._uvicorn.should_exit = True
        if self._thread.ident is not None:
            self._thread.join()

    def run(self, ready: Callable[[int], None] = lambda port: None, stopping: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT, then stop; a second signal does not wait for the requests underway. Main thread only.

        `ready` is called with the port once it is listened on, `stopping` when it has been told to stop, before it has.
        """
        kept = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            ready(self.start())
            while self._thread.is_alive() and not self._uvicorn.should_exit:
                self._thread.join(0.5)
            stopping()
            self._thread.join()
        finally:
            self.stop()
            for number, handler in kept.items():
                signal.signal(number, handler)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on, once it has been started."""
        assert self._socket is not None
        port: int = self._socket.getsockname()[1]
        return port

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._uvicorn.force_exit = self._uvicorn.should_exit
        self._uvicorn.should_exit = True

    def _serve(self) -> None:
        assert self._socket is not None
        self._uvicorn.run(sockets=[self._socket])


class _Uvicorn(uvicorn.Server):
    """Says when it is ready, so that a test need not poll the port."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready.set()


class ImpatientProtocol(H11Protocol):
    """Closes a connection whose request does not come; uvicorn waits for the first byte, and for the end of a head, for ever.

    And closes the one that was idle longest where there are too many; uvicorn would count those, too, and answer nobody any more.
    """

    header_seconds = 15.0
    most = _CONNECTIONS
    full: ASGIApp
    """Answers in place of the application where there is no room."""
    _deadline: asyncio.TimerHandle | None = None
    _heard = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.header_seconds, self._too_late)
        if len(self.connections) > self.most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        super().data_received(data)
        if self._is_answering():
            self._forget_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.header_seconds, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        idle = [one for one in self.connections if isinstance(one, ImpatientProtocol) and one.is_idle]
        if idle:
            min(idle, key=lambda one: one._heard).transport.close()
        else:
            self.app = self.full

    @property
    def is_idle(self) -> bool:
        """Whether it has had an answer, and nothing of another request has come."""
        return (
            self.cycle is not None and self.cycle.response_complete and self._deadline is None and not self.transport.is_closing()
        )

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if not self._is_answering():
            self.transport.close()


class _OneRoomProtocol(ImpatientProtocol, asyncio.BufferedProtocol):
    """Reads into one room, whichever connection it is, and goes on with a copy of what came.

    Otherwise each time memory is taken for as much as may come, of which all but some hundred bytes are given back: what is taken
    meanwhile for longer lies behind it, and leaves holes, by which a door grew for as long as it was watched.
    """

    room: bytearray

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(memoryview(self.room)[:nbytes]))


# There a connection is not read at once when it is asked where to, so that each would need a room of its own.
_PROTOCOL: Final = ImpatientProtocol if sys.platform == "win32" else _OneRoomProtocol


class _Full:
    """Tells whoever comes over one connection too many to come again, and that this was answered."""

    def __init__(self, answered: Callable[[int], None]) -> None:
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._answered(_FULL.status)
        await _FULL.plus(cors(dict(scope["headers"])))(scope, receive, send)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unusable(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _unusable(host, port, error) from error
    return listener


def _unusable(host: str, port: int, error: OSError) -> SettingsError:
    return SettingsError(f"SYNC_HOST, SYNC_PORT: cannot listen on {host}:{port}: {error.strerror}")
