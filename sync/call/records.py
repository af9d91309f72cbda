"""The records: a call, a call that was refused, and what one request brought.

A call is a struct of msgspec's, which is made in a fifth of the time that a frozen dataclass takes; there are thousands a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from sync.json_value import Json


class CallType(StrEnum):
    """The six calls of the Spec."""

    IDENTIFY = "identify"
    TRACK = "track"
    PAGE = "page"
    SCREEN = "screen"
    GROUP = "group"
    ALIAS = "alias"


PAGE_VIEWED = "Page Viewed"
SCREEN_VIEWED = "Screen Viewed"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call. At least one of `user_id` and `anonymous_id` is set."""

    type: CallType
    message_id: str
    """1 to 100 characters; the sender's, or made on arrival where there was none."""
    user_id: str | None = None
    anonymous_id: str | None = None
    group_id: str | None = None
    """Of a group call."""
    previous_id: str | None = None
    """Of an alias call."""
    event: str | None = None
    """A track call's event; `Page Viewed` and `Screen Viewed` for page and screen calls; None for the others."""
    timestamp: datetime
    """When it happened, corrected for the sender's clock: received_at − (sent_at − original timestamp)."""
    received_at: datetime
    properties: Mapping[str, Json] = msgspec.field(default_factory=dict)
    """Properties of track, page, screen; traits of identify and group. A page's name is `page_name`, a screen's `screen_name`."""
    context: Mapping[str, Json] = msgspec.field(default_factory=dict)
    integrations: Mapping[str, Json] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedCall:
    """A call that was refused: kept, so that a person can see what and why."""

    id: str
    """Made on arrival, whatever its message id, which may be what is wrong: one that is given to the store twice is kept once."""
    code: str
    """Segment's word where it has one, such as `no_user_anon_id`."""
    message: str
    """What is wrong, for a person; holds nothing of the call itself."""
    body: str
    """The JSON as it came, the write key masked, cut at 32 KB; what is not UTF-8 is replaced."""
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Incoming:
    """What one request brought, to be stored as one: all of it or nothing. Not empty."""

    source: str
    """The name of the source, never its key."""
    calls: tuple[Call, ...] = ()
    """In the order in which the sender wrote them."""
    rejected: tuple[RejectedCall, ...] = ()
