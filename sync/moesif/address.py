"""Which base URLs and keys are fit to be used.

A key goes to whatever the URL names, with every request, so a URL is taken only if there is one way to read it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from sync.errors import SettingsError

DEFAULT_URL: Final = "https://api.moesif.net"
MANAGEMENT_URL: Final = "https://api.moesif.com"

_PLAIN: Final = re.compile(r"[A-Za-z0-9._~:/\[\]%-]+")
"""What a scheme, host, port and path need. Neither `@`, `?`, `#` nor the backslash that parsers disagree about."""


def check_url(url: str, *, allow_plain_http: bool = False, setting: str = "SYNC_MOESIF_URL", example: str = DEFAULT_URL) -> str:
    """Return a base URL in the form that a path can be put behind: no slash at the end, and no `/v1`.

    Raises SettingsError that names the setting, without repeating the URL: somebody may have put a password into it.
    """
    parts = _parts(url)
    if parts is None or not parts.hostname:
        raise SettingsError(f"{setting}: expected scheme, host and perhaps a path, such as {example}")
    if parts.scheme not in ("https", "http"):
        raise SettingsError(f"{setting}: expected a URL that begins with https://")
    if parts.scheme == "http" and not (allow_plain_http or _is_loopback(parts.hostname)):
        raise SettingsError(f"{setting}: plain http only to a loopback address; use https, or set SYNC_ALLOW_PLAIN_HTTP=1")
    # Moesif documents its own proxy's address with the version at the end.
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def check_application_id(application_id: str) -> str:
    """Return the id as it is. Raises SettingsError, without repeating it, for what no HTTP header can carry."""
    return check_key(application_id, "SYNC_MOESIF_APPLICATION_ID")


def check_key(key: str, setting: str) -> str:
    """Return a key as it is. Raises SettingsError that names the setting, without repeating the key."""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"{setting}: expected printable ASCII characters without spaces")
    return key


def _parts(url: str) -> SplitResult | None:
    if not _PLAIN.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # read here because it raises for a port that is none
    except ValueError:
        return None
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
