"""Which base URLs and addresses are fit to be used.

A key goes to whatever a base URL names, with every request, so a URL is taken only if there is one way to read it. And whoever may
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

_BASE: Final = re.compile(r"[A-Za-z0-9._~:/\[\]%-]+")
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


def base_url(text: str) -> str:
    """Read the base URL of an API; comes back without a slash at its end.

    Raises ValueError that does not repeat it: somebody may have put a password into it.
    """
    parts = web_url(text, "https://api.example.com")
    if "?" in text or "#" in text:
        raise ValueError("expected a base URL without ? and #")
    if not _BASE.fullmatch(text):
        raise ValueError("expected a base URL of scheme, host and perhaps port and path, without other signs")
    _check_host(parts.hostname or "")
    return text.rstrip("/")


def web_url(text: str, example: str) -> SplitResult:
    """Take an absolute http or https URL apart. Raises ValueError that does not repeat it."""
    expected = ValueError(f"expected an absolute http or https URL, such as {example}")
    try:
        parts = urlsplit(text)
        usable = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and bool(re.fullmatch(r"[!-~]+", text))
        )
    except ValueError:
        raise expected from None
    if "@" in parts.netloc:
        raise ValueError("expected a URL without a user name or password")
    if not usable:
        raise expected
    return parts


def is_plain_to_elsewhere(url: str) -> bool:
    """Say whether what is sent to this URL could be read on the way: plain HTTP, and not to this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Say whether a host can be reached from this machine only; names are not looked up."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def is_address(text: str) -> bool:
    """Say whether it is an IP address, as it is usually written."""
    return _address(text) is not None


def is_forbidden(host: str) -> bool:
    """Return whether a host is written as an address to which nothing may ever be sent; names are not looked up."""
    address = _address(host.partition("%")[0])
    return address is not None and any(_is_out_of_bounds(one) for one in (address, *_within(address)))


def _check_host(host: str) -> None:
    if "%" in host or _is_odd_number(host):
        raise ValueError("expected a host's name, or an IP address as it is usually written, such as 192.0.2.1 or [2001:db8::1]")
    if host.lower().rstrip(".") in _METADATA_NAMES or is_forbidden(host):
        raise ValueError("a link-local address or a cloud's metadata service is never Moesif's")


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
