"""The stand-in as a server: sockets, and how it is asked and told.

    POST /v1/{users,actions,companies}[/batch], GET /health/probe      as Moesif's collector
    DELETE /v1/search/~/users/{id}[?delete_events=true]                as Moesif's Management API
    GET  /_standin/{users,users/{id},actions,companies,requests}       what it holds, and what it was asked
    POST /_standin/faults                                              a script of faults (`sync.standin.faults`)
    DELETE /_standin, DELETE /_standin/faults                          forget everything; behave again

What is under `/_standin` asks for no key: it is a sandbox, to be kept on loopback.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote

from sync.errors import InputError
from sync.json_value import Json, decode, encode
from sync.standin.collector import BATCH_BYTES, Collector, Reply
from sync.standin.faults import Fault, Faults, script
from sync.standin.holdings import LANES, Counts, Document, Holdings, Taken
from sync.standin.management import Management
from sync.stopping import until_told_to_stop


class StandIn:
    """A running stand-in. Made by `start`, ended by `stop` or by leaving the `with` block."""

    def __init__(
        self,
        host: str,
        port: int,
        application_id: str | None,
        *,
        type_lock: bool,
        remember: bool,
        management_key: str | None,
    ) -> None:
        self._holdings = Holdings(type_lock=type_lock, remember=remember)
        self._faults = Faults()
        collector = Collector(self._holdings, self._faults, application_id)
        try:
            management = Management(self._holdings, self._faults, management_key)
            self._server = _Server((host, port), self, collector, management)
        except OSError as error:
            raise InputError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @classmethod
    def start(
        cls,
        port: int = 0,
        application_id: str | None = None,
        *,
        host: str = "127.0.0.1",
        type_lock: bool = False,
        remember: bool = False,
        management_key: str | None = None,
    ) -> StandIn:
        """Return a stand-in that listens, on any free port if it is 0. Raises InputError if it cannot.

        Without an application id, or a management key, it takes any. `type_lock` makes a metadata key keep its first JSON type,
        as Moesif documents for actions and probably does for users; `remember` keeps every batch that is taken (`history`).
        """
        standin = cls(host, port, application_id, type_lock=type_lock, remember=remember, management_key=management_key)
        standin._thread.start()
        return standin

    def stop(self) -> None:
        """Stop listening, and drop every connection. What it holds can still be asked for."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def users(self) -> dict[str, Document]:
        """Return all users by id. Not to be changed."""
        return self._holdings.users()

    def user(self, user_id: str) -> Document | None:
        """Return one user."""
        return self._holdings.user(user_id)

    def companies(self) -> dict[str, Document]:
        """Return all companies by id. Not to be changed."""
        return self._holdings.companies()

    def actions(self) -> list[Document]:
        """Return all actions."""
        return self._holdings.actions()

    def history(self) -> list[Taken]:
        """Return every batch that was taken, in the order in which that was; empty unless it is to remember."""
        return self._holdings.history()

    @property
    def open_connections(self) -> int:
        """How many connections are open: of a client that was killed, until all that it had sent has been read."""
        return self._server.open

    @property
    def requests(self) -> dict[str, Counts]:
        """What has been asked, by lane."""
        return self._holdings.counts()

    @property
    def connections(self) -> int:
        """How many connections have been opened to it since it started."""
        return self._server.opened

    def misbehave(self, *faults: Fault) -> None:
        """Put faults behind those that are there."""
        self._faults.add(list(faults))

    def behave(self) -> None:
        """Forget the faults that have not been met yet."""
        self._faults.clear()

    def forget(self) -> None:
        """Forget everything that was sent, counts and faults too."""
        self._holdings.forget()
        self._faults.clear()


def run(
    host: str, port: int, application_id: str | None = None, *, type_lock: bool = False, ready: Callable[[str], None] = print
) -> None:
    """Run a stand-in until SIGTERM or SIGINT; in the main thread only. `ready` is called with its URL once it listens."""
    with StandIn.start(port, application_id, host=host, type_lock=type_lock) as standin:
        until_told_to_stop(lambda: ready(standin.url))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], standin: StandIn, collector: Collector, management: Management) -> None:
        self.standin = standin
        self.collector = collector
        self.management = management
        self.opened = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, without the look-up of the host's name that the library does first, and that can last seconds."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self.opened += 1
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close the kept connections too: without that a stand-in that was stopped would go on answering old friends."""
        self.socket.close()
        with self._lock:
            for connection in self._open:
                _drop(connection)

    @property
    def open(self) -> int:
        with self._lock:
            return len(self._open)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are part of what it is for."""


def _drop(connection: socket.socket) -> None:
    # It may be closed already.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    """Headers and body leave in one packet."""

    def do_GET(self) -> None:
        standin = self.server.standin
        match self._path():
            case ["health", "probe"]:
                self._reply(Reply(status=200, body=b'{"status":true}'))
            case ["_standin", "users", user_id]:
                user = standin.user(user_id)
                self._tell({"message": "no such user"} if user is None else user, 404 if user is None else 200)
            case ["_standin", "users"]:
                self._tell(dict(standin.users()))
            case ["_standin", "companies"]:
                self._tell(dict(standin.companies()))
            case ["_standin", "actions"]:
                self._tell(list(standin.actions()))
            case ["_standin", "requests"]:
                self._tell({lane: asdict(counts) for lane, counts in standin.requests.items()})
            case _:
                self._tell({"message": "no such path"}, 404)

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        match self._path():
            case ["v1", lane] if lane in LANES:
                self._reply(self._collected(lane, body, batch=False))
            case ["v1", lane, "batch"] if lane in LANES:
                self._reply(self._collected(lane, body, batch=True))
            case ["_standin", "faults"]:
                self._script(body)
            case _:
                self._tell({"message": "no such path"}, 404)

    def do_DELETE(self) -> None:
        match self._path():
            case ["v1", "search", "~", "users", user_id]:
                self._reply(self._deleted(user_id))
            case ["_standin"]:
                self.server.standin.forget()
                self._tell({})
            case ["_standin", "faults"]:
                self.server.standin.behave()
                self._tell({})
            case _:
                self._tell({"message": "no such path"}, 404)

    def _collected(self, lane: str, body: bytes, *, batch: bool) -> Reply:
        key, encoding = self.headers.get("X-Moesif-Application-Id"), self.headers.get("Content-Encoding", "")
        return self.server.collector.answer(lane, body, key=key, encoding=encoding, batch=batch)

    def _deleted(self, user_id: str) -> Reply:
        with_actions = parse_qs(self.path.partition("?")[2]).get("delete_events") == ["true"]
        authorization = self.headers.get("Authorization", "")
        return self.server.management.delete_user(user_id, authorization=authorization, with_actions=with_actions)

    def _script(self, body: bytes) -> None:
        try:
            self.server.standin.misbehave(*script(decode(body)))
        except (InputError, ValueError) as error:
            self._tell({"message": str(error)}, 400)
        else:
            self._tell({})

    def _path(self) -> list[str]:
        return [unquote(part) for part in self.path.partition("?")[0].strip("/").split("/")]

    def _body(self) -> bytes | None:
        """Return the request's body, or answer and return None if it has no honest length."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 12):
            self.close_connection = True
            self._tell({"message": "a Content-Length is required"}, 411)
            return None
        if int(length) > BATCH_BYTES:
            self.close_connection = True
            self._tell({"message": "the batch is larger than 15 MB"}, 413)
            return None
        return self.rfile.read(int(length))

    def _tell(self, value: Json, status: int = 200) -> None:
        self._reply(Reply(status=status, body=encode(value).encode()))

    def _reply(self, reply: Reply) -> None:
        fault = reply.fault
        if fault is not None and fault.close in ("before", "after"):
            self._reset()
            return
        if fault is None or not (fault.close or fault.drip_seconds):
            self.wfile.write(self._bytes(reply))
            return
        data = self._bytes(reply)
        self._send_slowly(data[: len(data) - len(reply.body) // 2 - 1] if fault.close else data, fault.drip_seconds)
        self.close_connection = self.close_connection or fault.close is not None

    def _bytes(self, reply: Reply) -> bytes:
        phrase = self.responses.get(reply.status, ("",))[0]
        headers = {"Content-Type": "application/json", **reply.headers, "Content-Length": str(len(reply.body))}
        if self.close_connection:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1") + reply.body

    def _send_slowly(self, data: bytes, pause: float) -> None:
        for start in range(0, len(data), 1 if pause else len(data)):
            self.wfile.write(data[start : start + 1] if pause else data)
            self.wfile.flush()
            time.sleep(pause)

    def _reset(self) -> None:
        """Drop the connection so that the client sees a reset, not an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a log of requests would be one of personal data."""
