"""What is answered, in the form that every SDK understands.

Exactly 200 for success: older Python, PHP and .NET SDKs take any other 2xx for a failure. Errors carry `success`, `code`,
`message` and `error`, because each is read by some SDK, and a 400 without them is sent again by Python 2.3. Never a redirect:
some SDKs take that for success.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from starlette.types import Receive, Scope, Send

from sync.call import InvalidCall
from sync.errors import InputError
from sync.json_value import Json, encode

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One complete answer; itself an ASGI application that gives it."""

    status: int
    body: bytes = b""
    headers: Headers = ()

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        length = (b"content-length", str(len(self.body)).encode())
        headers = (length, *self.headers) if self.status != 204 else self.headers
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def plus(self, headers: Headers) -> Answer:
        """The same with more headers."""
        return replace(self, headers=(*self.headers, *headers)) if headers else self


class Refused(InputError):
    """A request is answered with something else than 200."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"answered {answer.status}")
        self.answer = answer


def json_answer(status: int, value: Json, headers: Headers = ()) -> Answer:
    """Answer with a JSON value."""
    return Answer(status=status, body=encode(value).encode(), headers=(*_JSON, *headers))


_JSON: Final = ((b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff"))

SUCCESS: Final = json_answer(200, {"success": True})


def error(status: int, code: str, message: str, headers: Headers = ()) -> Answer:
    """Answer that something went wrong, in the words of all SDKs at once."""
    return json_answer(status, {"success": False, "code": code, "message": message, "error": message}, headers)


def invalid(reason: InvalidCall) -> Answer:
    """Answer to a call, or a body, that breaks the Spec or a limit."""
    return error(413 if reason.code in _TOO_LARGE else 400, reason.code, reason.message)


CLOSED: Final[Headers] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
"""What goes with every answer that is for operators: not to be kept, framed, or read by another site's page."""

_TOO_LARGE: Final = frozenset({"call_too_large", "too_many_calls", "context_too_large"})


def come_again(status: int, code: str, message: str, seconds: int) -> Answer:
    """Answer that nothing was taken, and when to try again. Newer SDKs read the first header, older ones the second."""
    after = str(seconds).encode()
    return error(status, code, message, ((b"retry-after", after), (b"x-ratelimit-reset", after)))


def cors(headers: dict[bytes, bytes]) -> Headers:
    """Let a page of any origin read the answer: write keys are public in browsers, and there are no cookies to protect here.

    The origin is echoed and credentials are allowed, since Analytics.js can be told to send them, and `*` would then not do.
    """
    origin = headers.get(b"origin")
    if origin is None:
        return ()
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"retry-after, x-ratelimit-reset"),
        (b"vary", b"origin"),
    )


def preflight(headers: dict[bytes, bytes]) -> Answer:
    """Answer a browser that asks before it sends: since Analytics.js 1.84 every call carries `Authorization` and is asked for."""
    wanted = headers.get(b"access-control-request-headers", b"authorization, content-encoding, content-type, x-retry-count")
    return Answer(
        status=204,
        headers=(
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", wanted),
            (b"access-control-max-age", b"86400"),
        ),
    )
