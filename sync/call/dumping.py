"""Write a call as Segment would: camelCase, ISO 8601. Parsing it again gives the same call."""

from __future__ import annotations

from typing import Final

from sync.call.records import Call, CallType
from sync.instant import iso
from sync.json_value import Json

_IDS: Final = {"userId": "user_id", "anonymousId": "anonymous_id", "groupId": "group_id", "previousId": "previous_id"}


def dump(call: Call) -> dict[str, Json]:
    """Write a call as one JSON object; what it does not have is left out.

    A page's and a screen's name stay among the properties, where parsing has put them.
    """
    written: dict[str, Json] = {"type": str(call.type), "messageId": call.message_id}
    for name, attribute in _IDS.items():
        value: str | None = getattr(call, attribute)
        if value is not None:
            written[name] = value
    if call.type is CallType.TRACK:
        written["event"] = call.event
    written["timestamp"] = iso(call.timestamp)
    written["receivedAt"] = iso(call.received_at)
    written["traits" if call.type in (CallType.IDENTIFY, CallType.GROUP) else "properties"] = dict(call.properties)
    written["context"] = dict(call.context)
    written["integrations"] = dict(call.integrations)
    return written
