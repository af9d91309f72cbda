"""Which source a request comes from, by its write key.

Every key given is compared with every key known, in constant time and as digests, so that neither the time taken nor the length
of a key tells anything about the right ones.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest

from sync.web.door import DEFAULT_SOURCE


class KeyRing:
    """The write keys that are known."""

    def __init__(self, sources: Mapping[str, str] | None) -> None:
        self._accepts_any = sources is None
        self._digests = {name: sha256(key.encode()).digest() for name, key in (sources or {}).items()}

    def source(self, keys: Iterable[bytes]) -> str | None:
        """Name the source that one of the keys given belongs to; None where none does."""
        given = [sha256(key).digest() for key in keys if key]
        if self._accepts_any:
            return DEFAULT_SOURCE if given else None
        found = [name for name, known in self._digests.items() for digest in given if compare_digest(known, digest)]
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
