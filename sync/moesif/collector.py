"""Puts batches to Moesif's collector and says what became of each."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sync import __version__
from sync.delivery import Accepted, Lane, Outcome, Rejected
from sync.json_value import Json, encode_bytes
from sync.moesif.address import DEFAULT_URL, check_application_id, check_url
from sync.moesif.answers import is_page, outcome_of
from sync.moesif.lookups import LookUp, look_up
from sync.moesif.wire import Answer, Limits, Wire

_USER_AGENT = f"personas-sync/{__version__}"

_LEVEL: Final = 1
"""Documents of a batch are much alike: the best level saves another hundredth, and takes twice as long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """Whether the collector answers. It does so without a key, so this says nothing of ours."""

    ok: bool
    reason: str


class Collector:
    """Moesif's collector, for one application. Safe to share among threads; each has a connection of its own."""

    def __init__(
        self,
        application_id: str,
        url: str = DEFAULT_URL,
        *,
        clock: Callable[[], datetime],
        allow_plain_http: bool = False,
        authorities: Path | None = None,
        limits: Limits | None = None,
        look_up: LookUp = look_up,
    ) -> None:
        """Raises SettingsError for a URL or an id that cannot be used. Asks nothing yet.

        `clock` is read only for what an answer's `Retry-After` gives as a date; `look_up` finds the addresses of the URL's name.
        """
        self.url = check_url(url, allow_plain_http=allow_plain_http)
        self._application_id = check_application_id(application_id)
        self._clock = clock
        self._wire = Wire(limits or Limits(), authorities=authorities, look_up=look_up)

    def __repr__(self) -> str:
        return f"Collector(url={self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def post(self, lane: Lane, documents: Sequence[dict[str, Json]], may_send: Callable[[], bool] = lambda: True) -> Outcome:
        """Send one batch, once, and return what became of it. Raises nothing that the network or Moesif could cause.

        `may_send` is asked right before the first byte leaves. Takes as long as `limits` allow. An empty batch is accepted
        without being sent.
        """
        if not documents:
            return Accepted()
        body = _body(documents)
        if body is None:
            return Rejected(reason="cannot be written as JSON")
        answer = self._wire.ask("POST", f"{self.url}/v1/{lane}/batch", self._headers(), body, may_send)
        return outcome_of(answer, documents, self._clock())

    def probe(self) -> Probe:
        """Ask whether the collector is there."""
        answer = self._wire.ask("GET", f"{self.url}/health/probe", {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"})
        if not isinstance(answer, Answer):
            return Probe(ok=False, reason=answer.reason)
        if is_page(answer):
            return Probe(ok=False, reason=f"{answer.status}, and a web page: is there a proxy in between?")
        return Probe(ok=200 <= answer.status < 300, reason=str(answer.status))

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def _headers(self) -> dict[str, str]:
        return {
            "X-Moesif-Application-Id": self._application_id,
            "User-Agent": _USER_AGENT,
            "Content-Type": "application/json; charset=utf-8",
            "Content-Encoding": "gzip",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }


def _body(documents: Sequence[dict[str, Json]]) -> bytes | None:
    try:
        text = encode_bytes(documents)
    except (ValueError, TypeError, RecursionError):
        return None
    # The same batch gives the same bytes, hence no time in the header.
    return gzip.compress(text, compresslevel=_LEVEL, mtime=0)
