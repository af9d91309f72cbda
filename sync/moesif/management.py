"""Asks Moesif's Management API to delete a user, and says what became of that.

Another host and another key than the collector's. Knows Moesif's API reference ("Delete a User", read 2026-07): 2xx when it is
done. What it answers about a user whom it does not know is not documented; a 404 that is no web page is taken to say that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from sync import __version__
from sync.moesif.address import MANAGEMENT_URL, check_key, check_url
from sync.moesif.answers import is_page, retry_after
from sync.moesif.wire import Answer, Limits, NotAnswered, NotSent, Wire

KEY_SETTING: Final = "SYNC_MOESIF_MANAGEMENT_KEY"
URL_SETTING: Final = "SYNC_MOESIF_MANAGEMENT_URL"


class Deletion(StrEnum):
    """What became of the wish to delete a user."""

    DELETED = "deleted"
    NOT_FOUND = "not found"
    """Moesif holds no such user."""
    REFUSED = "refused"
    """The key, or the id; asking again will not help."""
    FAILED = "failed"
    """Not done, or not known to be done; asking again may help, and does no harm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What Moesif answered, fit to be kept: nothing of the other side's own words."""

    deletion: Deletion
    reason: str

    @property
    def is_gone(self) -> bool:
        """Whether Moesif holds the user no longer."""
        return self.deletion in (Deletion.DELETED, Deletion.NOT_FOUND)

    def __str__(self) -> str:
        return f"{self.deletion} ({self.reason})"


class Management:
    """Moesif's Management API. Safe to share among threads."""

    def __init__(
        self,
        key: str,
        url: str = MANAGEMENT_URL,
        *,
        clock: Callable[[], datetime],
        allow_plain_http: bool = False,
        authorities: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Raises SettingsError for a URL or a key that cannot be used. Asks nothing yet."""
        self.url = check_url(url, allow_plain_http=allow_plain_http, setting=URL_SETTING)
        self._key = check_key(key, KEY_SETTING)
        self._clock = clock
        self._wire = Wire(limits or Limits(), authorities=authorities)

    def __repr__(self) -> str:
        return f"Management(url={self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def delete_user(self, user_id: str) -> Answered:
        """Ask, once, that a user and all that they did be deleted. Raises nothing that the network or Moesif could cause."""
        if user_id in (".", ".."):
            # In a path these are no names but directions, even when they are escaped: the request would be about something else.
            return Answered(deletion=Deletion.REFUSED, reason="Moesif's API cannot name this id; delete the user in Moesif by hand")
        try:
            name = quote(user_id, safe="")
        except UnicodeEncodeError:
            return Answered(deletion=Deletion.REFUSED, reason="this id is no text that an address can carry")
        url = f"{self.url}/v1/search/~/users/{name}?delete_events=true"
        return self._meaning(self._wire.ask("DELETE", url, self._headers()))

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._key}",
            "User-Agent": f"personas-sync/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }

    def _meaning(self, answer: Answer | NotSent | NotAnswered) -> Answered:
        match answer:
            case NotSent(reason=reason) | NotAnswered(reason=reason):
                return Answered(deletion=Deletion.FAILED, reason=reason)
            case Answer(status=status) if is_page(answer):
                return Answered(deletion=Deletion.FAILED, reason=f"{_named(status)}, but a web page: see {URL_SETTING}")
            case Answer(status=status) if 200 <= status < 300:
                return Answered(deletion=Deletion.DELETED, reason=_named(status))
            case Answer(status=status) if status in (404, 410):
                return Answered(deletion=Deletion.NOT_FOUND, reason=_named(status))
            case Answer(status=status) if status in (401, 402, 403):
                wanted = f"{KEY_SETTING} must be a Management API key with the scope delete:users"
                return Answered(deletion=Deletion.REFUSED, reason=f"{_named(status)}: {wanted}")
            case Answer(status=status) if 300 <= status < 400:
                return Answered(deletion=Deletion.FAILED, reason=f"{_named(status)}: a redirect, not followed; see {URL_SETTING}")
            case Answer(status=status) if status in (408, 425, 429) or status >= 500:
                wait = retry_after(answer.headers.get("Retry-After"), self._clock())
                asked = f"; asked to wait {wait.total_seconds():.0f} s" if wait else ""
                return Answered(deletion=Deletion.FAILED, reason=f"{_named(status)}{asked}")
            case Answer(status=status):
                return Answered(deletion=Deletion.REFUSED, reason=_named(status))


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
