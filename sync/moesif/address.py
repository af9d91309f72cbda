"""The base URL and the key with which a client of Moesif is made, held to the rules of `sync.settings.address` whoever makes it."""

from __future__ import annotations

from typing import Final

from sync.errors import SettingsError
from sync.settings import base_url, is_plain_to_elsewhere

DEFAULT_URL: Final = "https://api.moesif.net"
MANAGEMENT_URL: Final = "https://api.moesif.com"


def check_url(url: str, *, allow_plain_http: bool = False, setting: str = "SYNC_MOESIF_URL") -> str:
    """Return a base URL in the form that a path can be put behind: no slash at the end, and no `/v1`.

    Raises SettingsError that names the setting, without repeating the URL: somebody may have put a password into it.
    """
    try:
        bare = base_url(url)
    except ValueError as error:
        raise SettingsError(f"{setting}: {error}") from None
    if not allow_plain_http and is_plain_to_elsewhere(bare):
        raise SettingsError(f"{setting}: plain http only to a loopback address; use https, or set SYNC_ALLOW_PLAIN_HTTP=1")
    # Moesif documents its own proxy's address with the version at the end.
    return bare.removesuffix("/v1").rstrip("/")


def check_application_id(application_id: str) -> str:
    """Return the id as it is. Raises SettingsError, without repeating it, for what no HTTP header can carry."""
    return check_key(application_id, "SYNC_MOESIF_APPLICATION_ID")


def check_key(key: str, setting: str) -> str:
    """Return a key as it is. Raises SettingsError that names the setting, without repeating the key."""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"{setting}: expected printable ASCII characters without spaces")
    return key
