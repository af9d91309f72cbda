"""Instants as text, the same wherever we write one: ISO 8601 in UTC, with a Z. Reading them is another matter, of who said them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal


def iso(at: datetime, timespec: Literal["auto", "seconds", "milliseconds"] = "auto") -> str:
    """Write an instant, as exactly as it is unless told otherwise."""
    return at.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def optional_iso(at: datetime | None) -> str | None:
    """Write an instant as exactly as it is, or null."""
    return None if at is None else iso(at)
