"""Who may read and control: whoever has the token; without a token, this machine alone.

The token comes as bearer, or as the user name of HTTP Basic (Segment's Profile API has it there). There are no cookies, so nothing
is sent by a browser on its own but Basic credentials that it remembers and, on loopback, the address itself. So another site's page
may not send what changes anything. Where loopback is all that protects, a name that leads here is not believed unless it is
loopback's (DNS rebinding), and what a proxy hands on comes from elsewhere, if it says so.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.settings import Secret, is_loopback
from sync.web.answers import CLOSED, Answer, Headers, error
from sync.web.keys import basic_user

_ASK: Final = ((b"www-authenticate", b'Bearer realm="personas-sync"'), (b"www-authenticate", b'Basic realm="personas-sync"'))
_HANDED_ON: Final = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via")
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Decides about a request by its head."""

    def __init__(self, token: Secret | None, *, on_loopback: bool) -> None:
        """`on_loopback` is whether the server can be reached from this machine only."""
        self._token = token
        self._on_loopback = on_loopback

    def refusal(self, method: str, headers: dict[bytes, bytes]) -> Answer | None:
        """Say why a request is not let in; None where it is."""
        if self._token is None and not (self._on_loopback and _comes_from_here(headers)):
            return error(403, "not_served", "without SYNC_API_TOKEN this is served on loopback only; set it, and send it as bearer")
        if self._token is not None and not self._is_known(headers.get(b"authorization", b"")):
            return error(401, "unauthorized", "send SYNC_API_TOKEN as bearer token, or as Basic user name", _ASK)
        if method not in _READS and _is_from_elsewhere(headers):
            return error(403, "cross_origin", "a page of another site may not do this")
        return None

    def _is_known(self, authorization: bytes) -> bool:
        scheme, _, value = authorization.partition(b" ")
        given = value.strip() if scheme.lower() == b"bearer" else basic_user(authorization)
        return self._token is not None and self._token.is_same(Secret(given))


class Guarded:
    """Lets an application be asked only by whom `Access` lets in, and puts headers on every answer, refusals included."""

    def __init__(self, app: ASGIApp, access: Access, headers: Headers = CLOSED) -> None:
        self._app = app
        self._access = access
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        refusal = self._access.refusal(scope["method"], dict(scope["headers"]))
        await (refusal or self._app)(scope, receive, closed)


def _comes_from_here(headers: dict[bytes, bytes]) -> bool:
    """Whether a request that reached loopback was meant for it."""
    try:
        named = urlsplit("//" + headers.get(b"host", b"").decode("latin-1")).hostname or ""
    except ValueError:
        return False
    return is_loopback(named) and not any(name in headers for name in _HANDED_ON)


def _is_from_elsewhere(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser says that another site's page sends this. Programs say nothing of the kind."""
    if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        return True
    origin = headers.get(b"origin")
    return origin is not None and origin.partition(b"://")[2] != headers.get(b"host")
