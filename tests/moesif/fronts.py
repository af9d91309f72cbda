"""A server's front that speaks TLS, with whatever certificate, and hands on what comes to a server that does not."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

import trustme

from tests.moesif.conftest import whole_request


@dataclass
class Front:
    """Runs within `with`."""

    certificate: trustme.LeafCert
    behind: str
    """URL of the server behind it."""
    heard: list[bytes] = field(default_factory=list)
    """Whatever came through the encryption."""
    refusals: list[str] = field(default_factory=list)
    """Why no connection came about, as the other side said."""

    def __enter__(self) -> Self:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate.configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would not wake the thread that waits for a connection.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(5)
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with self._context.wrap_socket(connection, server_side=True) as opened:
                self._hand_on(opened)
        except ssl.SSLError as error:
            self.refusals.append(error.reason or "")
        except OSError:
            self.refusals.append("it was closed")

    def _hand_on(self, opened: ssl.SSLSocket) -> None:
        """Hand on one request and its answer, which the server behind ends with its connection."""
        request = whole_request(opened)
        self.heard.append(request)
        behind = urlsplit(self.behind)
        with socket.create_connection((behind.hostname, behind.port), timeout=5) as inner:
            inner.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            while answer := inner.recv(65536):
                opened.sendall(answer)
