"""Which base URLs, addresses and keys are fit to be used.

A key goes to whatever the URL names, with every request, so a URL is taken only if there is one way to read it. And whoever may
choose the URL, or answers for its name, must not reach with it what only this machine can reach and what gives credentials away:
link-local addresses, among them the metadata services of clouds. Private networks are fine; a proxy of one's own may stand there.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress
from typing import Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

from sync.errors import SettingsError

DEFAULT_URL: Final = "https://api.moesif.net"
MANAGEMENT_URL: Final = "https://api.moesif.com"

_PLAIN: Final = re.compile(r"[A-Za-z0-9._~:/\[\]%-]+")
"""What a scheme, host, port and path need. Neither `@`, `?`, `#` nor the backslash that parsers disagree about."""

_METADATA: Final = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "fd00:ec2::254",  # Amazon's, by IPv6; everybody's IPv4 one is link-local
        "fd20:ce::254",  # Google's
        "100.100.100.200",  # Alibaba's
        "168.63.129.16",  # Azure's
        "192.0.0.192",  # Oracle's
    )
)
_METADATA_NAMES: Final = ("metadata.google.internal", "metadata.goog")
_EMBEDDING: Final = ipaddress.ip_network("64:ff9b::/96")
"""NAT64: IPv6 addresses that stand for the IPv4 address in their last four bytes."""

_IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_url(url: str, *, allow_plain_http: bool = False, setting: str = "SYNC_MOESIF_URL", example: str = DEFAULT_URL) -> str:
    """Return a base URL in the form that a path can be put behind: no slash at the end, and no `/v1`.

    Raises SettingsError that names the setting, without repeating the URL: somebody may have put a password into it.
    """
    parts = _parts(url)
    if parts is None or not parts.hostname:
        raise SettingsError(f"{setting}: expected scheme, host and perhaps a path, such as {example}")
    if parts.scheme not in ("https", "http"):
        raise SettingsError(f"{setting}: expected a URL that begins with https://")
    _check_host(parts.hostname, setting)
    if parts.scheme == "http" and not (allow_plain_http or _is_loopback(parts.hostname)):
        raise SettingsError(f"{setting}: plain http only to a loopback address; use https, or set SYNC_ALLOW_PLAIN_HTTP=1")
    # Moesif documents its own proxy's address with the version at the end.
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _check_host(host: str, setting: str) -> None:
    if "%" in host or _is_odd_number(host):
        raise SettingsError(
            f"{setting}: expected a host's name, or an IP address as it is usually written, such as 192.0.2.1 or [2001:db8::1]"
        )
    if host.lower().rstrip(".") in _METADATA_NAMES or is_forbidden(host):
        raise SettingsError(f"{setting}: a link-local address or a cloud's metadata service is never Moesif's")


def is_forbidden(host: str) -> bool:
    """Return whether a host is written as an address to which nothing may ever be sent; names are not looked up."""
    address = _address(host.partition("%")[0])
    return address is not None and any(_is_out_of_bounds(one) for one in (address, *_within(address)))


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
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _address(host: str) -> _IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_odd_number(host: str) -> bool:
    """Return whether a host would be read as an IPv4 address though it does not look like one: 2852039166, 0xa9fea9fe, 127.1."""
    with suppress(OSError):
        return bool(socket.inet_aton(host)) and _address(host) is None
    return False


def _is_out_of_bounds(address: _IPAddress) -> bool:
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA


def _within(address: _IPAddress) -> list[_IPAddress]:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    last = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _EMBEDDING else None
    return [one for one in (address.ipv4_mapped, address.sixtofour, last) if one is not None]
