"""What somebody who asks has to know: a write key, a token.

This is the one place where such things are compared, and the type leaves no other: a plain comparison, which takes the longer the
more of a guess is right, raises.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import Final, NoReturn


class Secret:
    """A key or token, kept as its digest: it can be compared, in constant time, and neither shown nor sent."""

    __slots__ = ("_digest",)

    def __init__(self, text: str | bytes) -> None:
        self._digest: Final = sha256(text.encode() if isinstance(text, str) else text).digest()

    def is_same(self, other: Secret) -> bool:
        """Whether both are the same; neither the time taken nor the length of either tells anything about them."""
        return compare_digest(self._digest, other._digest)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("secrets are compared with `is_same`")

    def __ne__(self, other: object) -> NoReturn:
        raise TypeError("secrets are compared with `is_same`")

    def __hash__(self) -> NoReturn:
        raise TypeError("a secret is looked up by comparing it with each that is known")

    def __repr__(self) -> str:
        return "Secret(***)"
