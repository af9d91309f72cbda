"""One exchange over HTTP: a request out, a status and a short body back, or how far it got.

Knows sockets, time-outs and requests. Does not know Moesif. The points that requests leaves open and this module settles:

  * its time-outs are per read, so a server that drips bytes can hold a call for ever: a watch cuts the socket at a deadline;
  * they are for each address of a name, and not for looking it up: all of that has to end within the time that is left;
  * a failure does not say whether anything was sent: the connection notes it;
  * its Session follows redirects, taking our headers along, obeys proxies, certificates and netrc from the environment, keeps
    cookies, and is not safe among threads: there is none here, but the adapter below it, one to each thread;
  * a name may lead anywhere, and elsewhere the next time: the address that was connected to is looked at before anything is sent;
  * an answer may be endless, or a megabyte that unpacks to a gigabyte: no more is read than needed, and nothing unpacked.

An answer that breaks off among its headers counts by its status, because Python's reader takes their sudden end for the end.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError, ReadTimeoutError

from sync.moesif.lookups import LookUp, LookUps, look_up
from sync.settings import is_address, is_forbidden

ANSWER_BYTES: Final = 16_384
"""How much of an answer is read. A collector's is empty; a fault's first page is enough to say what it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long an exchange may take, in seconds."""

    connect: float = 5.0
    """For each address that the host's name stands for."""
    read: float = 10.0
    """Between two pieces of the answer."""
    total: float = 30.0
    """From the first step to the last byte. A lease on what is sent must last longer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """At most `ANSWER_BYTES` of it, not decompressed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotSent:
    """Nothing of the request left this machine."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NotAnswered:
    """Something was sent, and no whole answer came."""

    reason: str


class Wire:
    """Carries requests. Safe to share among threads."""

    def __init__(
        self,
        limits: Limits,
        is_forbidden: Callable[[str], bool] = is_forbidden,
        authorities: Path | None = None,
        look_up: LookUp = look_up,
    ) -> None:
        """`is_forbidden` says of an IP address whether nothing may be sent there; `look_up` finds a name's addresses.

        `authorities` is a file of the certificates that are trusted instead of those which come with requests. There is no way to
        trust any.
        """
        self._authorities = True if authorities is None else str(authorities)
        self._limits = limits
        self._is_forbidden = is_forbidden
        self._lookups = LookUps(look_up)
        self._deadlines = _Deadlines()
        self._of_thread = threading.local()
        self._adapters: weakref.WeakSet[_Adapter] = weakref.WeakSet()
        self._lock = threading.Lock()

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        may_send: Callable[[], bool] = lambda: True,
    ) -> Answer | NotSent | NotAnswered:
        """Make one attempt. Never raises for anything that the network does, or that the other side says.

        `may_send` is asked right before the first byte leaves.
        """
        with _watched(self._deadlines, _Watch(self._limits.total, may_send, self._is_forbidden, self._lookups)) as watch:
            try:
                answer = self._exchange(method, url, headers, body)
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                return watch.failure(error)
            # An answer without a length ends where the connection does, and that may have been the watch's doing.
            return NotAnswered(reason=_TOO_LONG) if watch.cut else answer

    def close(self) -> None:
        """Close the connections of all threads. Asking again opens new ones."""
        with self._lock:
            adapters = list(self._adapters)
        for adapter in adapters:
            adapter.close()

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        limits = self._limits
        request = _prepared(method, url, tuple(headers.items())).copy()
        request.prepare_body(body, None)
        timeout = (min(limits.connect, limits.total), min(limits.read, limits.total))
        with self._adapter().send(request, stream=True, timeout=timeout, verify=self._authorities, proxies={}) as response:
            return Answer(status=response.status_code, headers=response.headers, body=_body(response))

    def _adapter(self) -> _Adapter:
        adapter: _Adapter | None = getattr(self._of_thread, "adapter", None)
        if adapter is None:
            adapter = self._of_thread.adapter = _Adapter()
            with self._lock:
                self._adapters.add(adapter)
        return adapter


@lru_cache(maxsize=16)
def _prepared(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> requests.PreparedRequest:
    """Return what the requests to one URL have in common; to make it out anew was a seventh of what a request costs."""
    return requests.Request(method, url, headers=dict(headers)).prepare()


_NO_RIGHT: Final = "the right to send ran out"
_FORBIDDEN: Final = "the host's name leads to a link-local address, or to a cloud's metadata service, where nothing is sent"
_TOO_LONG: Final = "no whole answer within the time allowed"


class _Watch:
    """Follows one exchange, and ends it if it takes too long."""

    def __init__(self, seconds: float, may_send: Callable[[], bool], is_forbidden: Callable[[str], bool], lookups: LookUps) -> None:
        self._may_send = may_send
        self._lookups = lookups
        self._is_forbidden = is_forbidden
        self.refused: str | None = None
        """Why nothing may be sent."""
        self.ends: Final = time.monotonic() + seconds
        self.socket: socket.socket | None = None
        self.sent = False
        self.cut = False
        self.over = False
        self._lock = threading.Lock()

    def left(self) -> float:
        """Return how many seconds are left. Raises TimeoutError where none are."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def addresses(self, host: str) -> Sequence[str]:
        """Return where a host may be found. Raises OSError, TimeoutError where there is no time left to find out."""
        # As an address of the sixth version stands in a URL.
        bare = host.strip("[]")
        return (bare,) if is_address(bare) else self._lookups.addresses(host, self.left())

    def connected(self, connection: socket.socket) -> None:
        """Look at where a new connection leads. Raises PermissionError where nothing may be sent there."""
        if self._is_forbidden(connection.getpeername()[0]):
            self.refused = _FORBIDDEN
            connection.close()
            raise PermissionError

    def begin(self, connection: socket.socket) -> None:
        """Note that something is about to be sent. Raises TimeoutError if there is no time left for it, or no right.

        Finding the other side can take all of it, and so can a process that is stopped for a while, in which no other thread cuts.
        """
        with self._lock:
            if self.cut or time.monotonic() >= self.ends:
                raise TimeoutError
            if not self.sent and not self._may_send():
                self.refused = _NO_RIGHT
                raise TimeoutError
            self.socket = connection
            self.sent = True

    def cut_off(self) -> None:
        with self._lock:
            # Once the exchange is over the connection belongs to the next one.
            if self.over:
                return
            self.cut = True
            if self.socket is not None:
                _shut(self.socket)

    def finish(self) -> None:
        with self._lock:
            self.over = True

    def failure(self, error: Exception) -> NotSent | NotAnswered:
        if not self.sent:
            return NotSent(reason=self.refused or _why_not_sent(error))
        if self.cut:
            return NotAnswered(reason=_TOO_LONG)
        if isinstance(error, requests.Timeout | ReadTimeoutError):
            return NotAnswered(reason="no answer in time")
        return NotAnswered(reason="the connection broke before the whole answer came")


class _Deadlines:
    """Cuts off what lasts too long: one thread for all exchanges of a wire, since one for each would cost as much as a request.

    All exchanges may last equally long, so they end in the order in which they began.
    """

    def __init__(self) -> None:
        self._watches: deque[_Watch] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def follow(self, watch: _Watch) -> None:
        with self._lock:
            while self._watches and self._watches[0].over:
                self._watches.popleft()
            self._watches.append(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (watch := self._next()) is not None:
            # The one after it ends later; if this one is over by then, cutting it off does nothing.
            time.sleep(max(0.0, watch.ends - time.monotonic()))
            watch.cut_off()

    def _next(self) -> _Watch | None:
        with self._lock:
            while self._watches and self._watches[0].over:
                self._watches.popleft()
            if not self._watches:
                self._thread = None
                return None
            return self._watches.popleft()


class _UnderWay(threading.local):
    watch: _Watch | None = None


_under_way = _UnderWay()


@contextmanager
def _watched(deadlines: _Deadlines, watch: _Watch) -> Iterator[_Watch]:
    deadlines.follow(watch)
    _under_way.watch = watch
    try:
        yield watch
    finally:
        _under_way.watch = None
        watch.finish()


def _shut(connection: socket.socket) -> None:
    # The other side may have been faster.
    with contextlib.suppress(OSError):
        # Not the TLS socket's own method, which takes the keys away from the thread that is reading.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Noted(HTTPConnection):
    """A connection that notes where it leads, when it first sends, and on which socket."""

    def _new_conn(self) -> socket.socket:
        # What urllib3's own SOCKS connection overrides, too: here the socket is connected, and TLS has not begun.
        watch = _under_way.watch
        if watch is None:
            return super()._new_conn()
        connection = self._connected(watch)
        watch.connected(connection)
        return connection

    def _connected(self, watch: _Watch) -> socket.socket:
        """Connect to the first address that answers, within the time that is left, which is what TLS then has, too."""
        name, given = self._dns_host, self.timeout
        patience = inf if given is None else given
        try:
            failure: HTTPError = NewConnectionError(self, "there is no address")
            for address in self._addresses(watch):
                self._dns_host, self.timeout = address, min(patience, watch.left())
                try:
                    connection = super()._new_conn()
                except (ConnectTimeoutError, NewConnectionError) as error:
                    failure = error
                else:
                    connection.settimeout(min(patience, watch.left()))
                    return connection
            raise failure
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no time is left") from error
        finally:
            self._dns_host, self.timeout = name, given

    def _addresses(self, watch: _Watch) -> Sequence[str]:
        try:
            return watch.addresses(self._dns_host)
        except OSError as error:
            raise NameResolutionError(self.host, self, socket.gaierror(str(error))) from error

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if _under_way.watch is not None:
            _under_way.watch.begin(self.sock)
        super().send(data)


class _NotedTLS(_Noted, HTTPSConnection):
    """The same, encrypted."""


class _Adapter(HTTPAdapter):
    """Uses the connections above, one a thread, and repeats nothing by itself."""

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._latest: tuple[str, HTTPConnectionPool] | None = None
        """Where it leads, and the one pool that is kept open; to find it by all that it could depend on costs a tenth of all."""

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        parts = urlsplit(str(request.url))
        where = f"{parts.scheme}://{parts.netloc}"
        latest = self._latest
        if latest is None or latest[0] != where:
            # Typed as any pool there may be; without a proxy it is always one of these.
            pool: Any = super().get_connection_with_tls_context(request, *args, **kwargs)
            assert isinstance(pool, HTTPConnectionPool)
            pool.ConnectionCls = _NotedTLS if pool.scheme == "https" else _Noted
            latest = self._latest = where, pool
        return latest[1]

    def close(self) -> None:
        self._latest = None
        super().close()


def _body(response: requests.Response) -> bytes:
    """Return the first bytes of the body. When there are no more the connection can be used again, otherwise it is closed."""
    body: bytes = response.raw.read(ANSWER_BYTES, decode_content=False)
    if len(body) < ANSWER_BYTES:
        # There is nothing left, so this does not wait; but only here is it noticed that something was promised and missing.
        response.raw.read(1, decode_content=False)
    return body


def _why_not_sent(error: Exception) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "no secure connection: the certificate or the protocol was refused"
    if isinstance(getattr(error.args[0] if error.args else None, "reason", None), NameResolutionError):
        return "the host's name could not be looked up"
    return "no connection"
