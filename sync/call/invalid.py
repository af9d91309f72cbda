"""What makes a call unacceptable."""

from __future__ import annotations

from sync.errors import InputError


class InvalidCall(InputError):
    """A call breaks the Spec or a limit.

    `code` is Segment's documented reject reason where there is one (docs "Delivery Overview", Failed on Ingest, 2025-11). The
    message names fields and limits, never a value.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
