"""Calls: Segment's Spec, understood once and for all.

Knows the Spec: fields, types, sizes, the three timestamps, what a batch is, and Segment's names for what can be wrong. Does not
know HTTP, who may send, or storage. Segment's camelCase ends here; everything behind has our own records.

    bytes ── envelope.open_* ──> Envelope ── envelope.read ──> Calls and RejectedCalls
                                              └─ parse, one item at a time
"""

from __future__ import annotations

from sync.call.dumping import dump
from sync.call.envelope import Envelope, open_batch, open_call, open_line, read
from sync.call.invalid import InvalidCall
from sync.call.parsing import NO_DEFAULTS, Defaults, parse
from sync.call.records import PAGE_VIEWED, SCREEN_VIEWED, Call, CallType, Incoming, RejectedCall

__all__ = [
    "NO_DEFAULTS",
    "PAGE_VIEWED",
    "SCREEN_VIEWED",
    "Call",
    "CallType",
    "Defaults",
    "Envelope",
    "Incoming",
    "InvalidCall",
    "RejectedCall",
    "dump",
    "open_batch",
    "open_call",
    "open_line",
    "parse",
    "read",
]
