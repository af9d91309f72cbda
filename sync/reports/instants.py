"""Reads instants as people give them, on the command line and in URLs; how they are written is in `sync.instant`."""

from __future__ import annotations

from datetime import UTC, datetime


def instant(text: str) -> datetime:
    """Read an ISO 8601 date or timestamp; one without a zone is UTC, a date is its first instant. Raises ValueError."""
    try:
        read = datetime.fromisoformat(text.strip())
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        expected = "expected a date such as 2026-03-04, or a time such as 2026-03-04T09:30:00Z or 2026-03-04T10:30:00+01:00"
        raise ValueError(f"{text!r} is no time; {expected} (without a zone it is UTC)") from None
