"""Which source a request comes from, by its write key.

Every key given is compared with every key known, so that the time taken tells nothing about the right ones.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping

from sync.settings import Secret
from sync.web.door import DEFAULT_SOURCE


class KeyRing:
    """The write keys that are known."""

    def __init__(self, sources: Mapping[str, Secret] | None) -> None:
        self._sources = sources

    def source(self, keys: Iterable[bytes]) -> str | None:
        """Name the source that one of the keys given belongs to; None where none does."""
        given = [Secret(key) for key in keys if key]
        if self._sources is None:
            return DEFAULT_SOURCE if given else None
        found = [name for name, known in self._sources.items() for key in given if known.is_same(key)]
        return found[0] if found else None


def basic_user(authorization: bytes) -> bytes:
    """Read the user name of HTTP Basic authorisation, with or without the colon after it; empty for anything else."""
    scheme, _, value = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(value.strip() + b"==").partition(b":")[0]
    except binascii.Error:
        return b""
