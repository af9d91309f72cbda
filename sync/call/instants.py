"""Timestamps as senders write them, and the correction for a sender's clock that is wrong."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from sync.call.invalid import InvalidCall
from sync.json_value import Json

# `fromisoformat` also takes week dates and any separator; those are more likely a mistake than a date.
_ISO_8601: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d.*)?|\d{8}(?:[Tt]\d{4}.*)?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(value: Json) -> datetime:
    """Read an ISO 8601 date and time; without a zone it is UTC, without a time midnight, beyond microseconds it is cut.

    Raises ValueError for anything else, numbers included: nobody can tell whether they are seconds or milliseconds.
    """
    if not isinstance(value, str) or not _ISO_8601.fullmatch(value):
        raise ValueError("not an ISO 8601 timestamp")
    read = datetime.fromisoformat(value.upper())
    if read.tzinfo is UTC:
        return read
    try:
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except OverflowError:
        raise ValueError("beyond the years 1 to 9999") from None


def instant_or_none(value: Json) -> datetime | None:
    """Read a timestamp that is only a hint: nonsense counts as absent."""
    try:
        return instant(value)
    except ValueError:
        return None


def happened_at(timestamp: Json, original: Json, *, received_at: datetime, sent_at: datetime | None) -> datetime:
    """Say when a call happened, by Segment's rule: received_at − (sent_at − original timestamp).

    With no sent_at nothing can be corrected, and `timestamp` is taken as it is; with neither, the call happened on arrival. Raises
    InvalidCall for a timestamp that is not one, or that comes to lie before 1970 or after 9999.
    """
    # Where both are given, `timestamp` has been corrected by Segment already, and `original` is the sender's.
    first, second = (timestamp, original) if sent_at is None else (original, timestamp)
    stated = second if first is None else first
    if stated is None:
        return received_at
    try:
        found = instant(stated)
        if sent_at is not None:
            found = received_at - (sent_at - found)
    except (ValueError, OverflowError):
        raise InvalidCall("invalid_timestamp", "timestamp must be an ISO 8601 date and time") from None
    if found < _EPOCH:
        raise InvalidCall("invalid_timestamp", "timestamp must not lie before 1970")
    return found
