"""A record: what one request brought, as a line that can be checked.

    9a8b7c6d 2 {"source":"web","calls":[…],"rejected":[…]}
    CRC-32   │ JSON, in which no line break can stand
             └ how many calls, rejected ones included

A line that a dying process did not finish has no end; one that was damaged has another checksum.
"""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from sync.call import Call, CallType, Incoming, RejectedCall
from sync.json_value import decode

_encode: Final = msgspec.json.Encoder().encode
_WITHOUT_ID: Final = UUID("0ad0c4ac-8e0a-4a8c-9b4a-0f8d2e5c7a61")


class Damaged(ValueError):
    """A line is not what was written, or not what this release writes."""


def line_of(incoming: Incoming) -> bytes:
    """Write what a request brought as a line, its end included."""
    body = b"%d %b" % (len(incoming.calls) + len(incoming.rejected), _encode(incoming))
    return b"%08x %b\n" % (zlib.crc32(body), body)


def read_line(line: bytes) -> Incoming:
    """Read a line without its end. Raises Damaged."""
    sum, _, body = line.partition(b" ")
    if sum != b"%08x" % zlib.crc32(body):
        raise Damaged("the checksum is another")
    try:
        return _incoming(decode(body.partition(b" ")[2]), line)
    except (KeyError, TypeError, ValueError):
        raise Damaged("it was written by another release") from None


def calls_in(line: bytes) -> int:
    """Return how many calls a line says it has, unchecked; 0 where it says nothing."""
    number = line[9:40].partition(b" ")[0]
    return int(number) if number.isdigit() else 0


def first_instant(incoming: Incoming) -> datetime:
    """Return when it came in."""
    return incoming.calls[0].received_at if incoming.calls else incoming.rejected[0].received_at


def _incoming(found: Any, line: bytes) -> Incoming:
    return Incoming(
        source=found["source"],
        calls=tuple(_call(call) for call in found["calls"]),
        rejected=tuple(_refused(refused, f"{line!r} {place}") for place, refused in enumerate(found["rejected"])),
    )


def _call(written: dict[str, Any]) -> Call:
    timestamp, received_at = datetime.fromisoformat(written["timestamp"]), datetime.fromisoformat(written["received_at"])
    return Call(**written | {"type": CallType(written["type"]), "timestamp": timestamp, "received_at": received_at})


def _refused(written: dict[str, Any], where: str) -> RejectedCall:
    # A line of a release that gave them no id yet: the same one whenever it is read.
    id = written.get("id") or str(uuid5(_WITHOUT_ID, where))
    return RejectedCall(**written | {"id": id, "received_at": datetime.fromisoformat(written["received_at"])})
