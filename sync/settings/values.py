"""What a setting may be: from the text of a variable to a value.

Every function takes a text that is not empty and has no white space around it, and raises ValueError with what was expected. The
text itself is never repeated: a key may have been pasted into the wrong variable.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from sync.settings.address import is_address, web_url
from sync.settings.secret import Secret

_SWITCH: Final = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_DATABASE: Final = "expected sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
_POSTGRESQL: Final = ("postgresql+psycopg", "postgresql", "postgres")


def switch(text: str) -> bool:
    """Read 0 or 1, or a word for them."""
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise ValueError("expected 0 or 1") from None


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers within bounds, both included."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return read


def word(*known: str) -> Callable[[str], str]:
    """Return a reader of one of a few words."""

    def read(text: str) -> str:
        if text.lower() not in known:
            raise ValueError(f"expected {', '.join(known[:-1])} or {known[-1]}")
        return text.lower()

    return read


def rate(what: str, example: int) -> Callable[[str], float]:
    """Return a reader of a number of something per second, above 0."""

    def read(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or float(text) <= 0:
            raise ValueError(f"expected {what} per second, a number above 0 such as {example} or 0.5")
        return float(text)

    return read


_UNITS: Final = MappingProxyType(
    {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1), "year": timedelta(days=365)}
)


def duration(text: str) -> timedelta:
    """Read a number of hours, days, weeks or years (of 365 days), above 0."""
    found = re.fullmatch(r"([0-9]{1,6})\s*(hour|day|week|year)s?", text, re.IGNORECASE)
    # Farther back than 1970 there are no calls; what is more than that would be a slip.
    if found is None or not timedelta() < (span := int(found[1]) * _UNITS[found[2].lower()]) <= LONGEST:
        raise ValueError("expected a duration such as 400 days, 36 hours, 12 weeks or 2 years; 100 years at most")
    return span


LONGEST: Final = timedelta(days=36_500)

_SHORT_UNITS: Final = MappingProxyType(
    {"day": timedelta(days=1), "hour": timedelta(hours=1), "minute": timedelta(minutes=1), "second": timedelta(seconds=1)}
)


def timeout(text: str) -> timedelta:
    """Read a number of seconds, minutes or hours, from one second to a day."""
    found = re.fullmatch(r"([0-9]{1,5})\s*(second|minute|hour|day)s?", text, re.IGNORECASE)
    if found is None or not timedelta() < (span := int(found[1]) * _SHORT_UNITS[found[2].lower()]) <= timedelta(days=1):
        raise ValueError("expected a time such as 30 minutes, 90 seconds or 2 hours; a day at most")
    return span


def shown_duration(span: timedelta) -> str:
    """Write a duration of whole seconds as `duration` or `timeout` reads it."""
    unit, length = next((unit, length) for unit, length in _SHORT_UNITS.items() if unit == "second" or not span % length)
    number = span // length
    return f"{number} {unit}{'' if number == 1 else 's'}"


def path(text: str) -> Path:
    """Read the path of a file or folder; one that is relative starts at the working directory."""
    if "\0" in text:
        raise ValueError("expected the path of a file or folder")
    return Path(text)


def certificates(text: str) -> Path:
    """Read the path of a file of certificates in PEM form, which must be one."""
    try:
        ssl.create_default_context(cafile=path(text))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else "there is none in it"
        raise ValueError(f"expected the path of a file of certificates in PEM form: {str(reason).lower()}") from None
    return Path(text)


def secret(text: str) -> str:
    """Read a key or token, which goes into an HTTP header: visible ASCII characters, no blanks."""
    if not re.fullmatch(r"[!-~]{1,4096}", text):
        raise ValueError("expected a key of visible ASCII characters, without blanks")
    return text


def space(text: str) -> str:
    """Read the id of a space, which is a part of a URL's path."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ValueError("expected letters, digits, _ and -, at most 64 of them")
    return text


def host(text: str) -> str:
    """Read an address to listen on: a host name, an IPv4 or an IPv6 address, without scheme and port."""
    bare = text.removeprefix("[").removesuffix("]")
    if is_address(bare) or re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})", text):
        return bare
    raise ValueError("expected a host name or an IP address, such as 127.0.0.1 or 0.0.0.0, without scheme and port")


def token(text: str) -> Secret:
    """Read a key that somebody who asks has to know."""
    return Secret(secret(text))


def write_keys(text: str) -> Mapping[str, Secret]:
    """Read `name=key,name=key` (line breaks do for commas) as write keys by the names of their sources."""
    pairs = [pair.strip() for pair in re.split(r"[,\n]", text) if pair.strip()]
    found: dict[str, Secret] = {}
    for number, pair in enumerate(pairs, 1):
        name, _, key = pair.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name.strip()) or not re.fullmatch(r"[!-9;-~]{1,256}", key.strip()):
            raise ValueError(f"expected name=key,name=key; number {number} is not of that form")
        if name.strip() in found:
            raise ValueError(f"two sources are called {name.strip()}; give each its own name")
        secret = Secret(key.strip())
        if any(secret.is_same(other) for other in found.values()):
            raise ValueError(f"number {number} has the write key of another source; give each its own key")
        found[name.strip()] = secret
    if not found:
        raise ValueError("expected name=key,name=key")
    return MappingProxyType(found)


def page_url(text: str) -> str:
    """Read the absolute URL of a page."""
    web_url(text, "https://app.example.com/")
    return text


def database_url(text: str) -> str:
    """Read the URL of the store; any spelling of PostgreSQL comes back as `postgresql+psycopg://`."""
    url = _parsed(text)
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        _check_sqlite(url)
        return text
    if url.drivername in _POSTGRESQL:
        return f"postgresql+psycopg://{text.partition('://')[2]}"
    raise ValueError(f"{_DATABASE}; other databases and drivers are not supported")


def _parsed(text: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(_DATABASE) from None


def _check_sqlite(url: URL) -> None:
    if not url.database or ":memory:" in url.database or "memory" in url.query.get("mode", ""):
        raise ValueError(
            "expected a file, sqlite:///FILE; a SQLite database in memory is forgotten at the end, "
            "and what was sent to Moesif with it"
        )
    if url.host or url.username:
        raise ValueError("expected sqlite:///FILE with three slashes, four for an absolute path")


def masked_database_url(url: str) -> str:
    """Return the URL of a store without its password, wherever it stands."""
    parsed = make_url(url)
    secrets = {name: "hidden" for name in parsed.query if "password" in name.lower()}
    return parsed.update_query_dict(secrets).render_as_string(hide_password=True)
