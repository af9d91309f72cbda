"""Read one call.

Segment's rules, and where Segment is silent: null is the same as absent at the top level (the Python SDK sends `anonymousId:
null`); a number as an id is taken as its digits; an empty id is absent. Whatever breaks a rule is refused with a reason, never
mended in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import uuid4

from sync.call.bounds import check_bounds
from sync.call.instants import happened_at
from sync.call.invalid import InvalidCall
from sync.call.records import PAGE_VIEWED, SCREEN_VIEWED, Call, CallType
from sync.json_value import Json

MESSAGE_ID_LENGTH: Final = 100
"""Segment's limit, in characters."""
ID_LENGTH: Final = 255
"""In characters: ids and event names are indexed, and PostgreSQL cannot index text of more than about 2,700 bytes."""

_TYPES: Final = {str(one): one for one in CallType}
# Named once: until Python 3.12 an enum looks its member up whenever it is named, which takes ten times as long as a variable.
_TRACK, _GROUP, _ALIAS = CallType.TRACK, CallType.GROUP, CallType.ALIAS
_WITH_TRAITS: Final = frozenset({CallType.IDENTIFY, CallType.GROUP})
_EVENTS: Final = {CallType.PAGE: (PAGE_VIEWED, "page_name"), CallType.SCREEN: (SCREEN_VIEWED, "screen_name")}

# Only for these does Segment fill in the address itself; a server's address would say nothing about the user.
_CLIENT_CHANNELS: Final = frozenset({"browser", "mobile", "client"})
_CLIENT_LIBRARIES: Final = frozenset(
    {
        "analytics.js",
        "analytics-android",
        "analytics-flutter",
        "analytics-ios",
        "analytics-kotlin",
        "analytics-react-native",
        "analytics-swift",
        "analytics_flutter",
        "@segment/analytics-react-native",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What a call has if it does not say otherwise."""

    context: Mapping[str, Json] = field(default_factory=dict)
    """Merged key by key; the call's own keys win. So are the integrations."""
    integrations: Mapping[str, Json] = field(default_factory=dict)
    ip: str | None = None
    """The address it came from; for `context.ip` of calls from browsers and mobiles, and of those with `context.direct`."""


NO_DEFAULTS: Final = Defaults()


def parse(
    item: Json,
    *,
    type: CallType | None = None,
    received_at: datetime,
    sent_at: datetime | None = None,
    defaults: Defaults = NO_DEFAULTS,
    message_id: str | None = None,
    is_bounded: bool = False,
) -> Call:
    """Read one call. Raises InvalidCall, with the code and the message for its sender.

    `type` is what the route says, and wins; None takes the item's own. `sent_at` is the sender's clock at sending; None takes the
    timestamp as it is. `message_id` is for a call that brings none; None makes a random one. `is_bounded` says that the bounds are
    known to be kept (`sync.call.bounds`).
    """
    if not isinstance(item, dict):
        raise InvalidCall("call_not_object", "a call must be an object")
    if not is_bounded:
        check_bounds(item)
    kind = type or _type(item)
    properties = _object(item, "traits" if kind in _WITH_TRAITS else "properties")
    user_id, anonymous_id, previous_id = _who(item, kind)
    return Call(
        type=kind,
        message_id=_message_id(item) or message_id or str(uuid4()),
        user_id=user_id,
        anonymous_id=anonymous_id,
        group_id=_required_id(item, "groupId") if kind is _GROUP else None,
        previous_id=previous_id,
        event=_event(item, kind),
        timestamp=happened_at(item.get("timestamp"), item.get("originalTimestamp"), received_at=received_at, sent_at=sent_at),
        received_at=received_at,
        properties=_with_name(properties, item, kind) if kind in _EVENTS else properties,
        context=_context(item, defaults),
        integrations=_merged(defaults.integrations, _object(item, "integrations")),
    )


def _type(item: dict[str, Json]) -> CallType:
    value = item.get("type")
    found = _TYPES.get(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidCall("invalid_type", f"type must be one of {', '.join(_TYPES)}")
    return found


def _who(item: dict[str, Json], kind: CallType) -> tuple[str | None, str | None, str | None]:
    """Return user id, anonymous id and previous id, by what this type of call needs."""
    user_id, anonymous_id = _id(item, "userId"), _id(item, "anonymousId")
    if user_id is None and anonymous_id is None:
        raise InvalidCall("no_user_anon_id", "userId or anonymousId is required")
    if kind is not _ALIAS:
        return user_id, anonymous_id, None
    # analytics.js leaves previousId out when it means the visitor's anonymous id.
    return _required_id(item, "userId"), anonymous_id, _id(item, "previousId") or anonymous_id or _required_id(item, "previousId")


def _required_id(item: dict[str, Json], name: str) -> str:
    value = _id(item, name)
    if value is None:
        raise InvalidCall("id_required", f"{name} is required")
    return value


def _id(item: dict[str, Json], name: str) -> str | None:
    value = item.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidCall("id_not_string", f"{name} must be a string")
    if len(value) > ID_LENGTH:
        raise InvalidCall("id_too_long", f"{name} may have at most {ID_LENGTH} characters")
    return value


def _message_id(item: dict[str, Json]) -> str | None:
    value = item.get("messageId")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise InvalidCall("message_id_not_string", "messageId must be a string")
    if value and len(value) > MESSAGE_ID_LENGTH:
        raise InvalidCall("message_id_too_long", f"messageId may have at most {MESSAGE_ID_LENGTH} characters")
    return value


def _event(item: dict[str, Json], kind: CallType) -> str | None:
    if kind is not _TRACK:
        return _EVENTS[kind][0] if kind in _EVENTS else None
    event = item.get("event")
    if event is None or event == "":
        raise InvalidCall("event_not_defined", "event is required")
    if not isinstance(event, str):
        raise InvalidCall("event_not_string", "event must be a string")
    if len(event) > ID_LENGTH:
        raise InvalidCall("event_too_long", f"event may have at most {ID_LENGTH} characters")
    return event


def _with_name(properties: dict[str, Json], item: dict[str, Json], kind: CallType) -> dict[str, Json]:
    """Put a page's or screen's name and category among its properties, as Segment does. An own `category` there wins."""
    name, category = item.get("name"), item.get("category")
    if name is not None and (name == "" or not isinstance(name, str)):
        raise InvalidCall("name_not_string", "name must be a string that is not empty")
    # The mobile SDKs send an empty category where there is none.
    if category is not None and not isinstance(category, str):
        raise InvalidCall("category_not_string", "category must be a string")
    added: dict[str, Json] = {} if name is None else {_EVENTS[kind][1]: name}
    if category and "category" not in properties:
        added["category"] = category
    return {**properties, **added} if added else properties


def _context(item: dict[str, Json], defaults: Defaults) -> Mapping[str, Json]:
    context = _merged(defaults.context, _object(item, "context"))
    if defaults.ip is not None and context.get("ip") is None and _is_client_side(item, context):
        return {**context, "ip": defaults.ip}
    return context


def _is_client_side(item: dict[str, Json], context: Mapping[str, Json]) -> bool:
    channel = item.get("channel") or context.get("channel")
    library = context.get("library")
    name = library.get("name") if isinstance(library, dict) else None
    return (
        context.get("direct") is True
        or (isinstance(channel, str) and channel in _CLIENT_CHANNELS)
        or (isinstance(name, str) and name in _CLIENT_LIBRARIES)
    )


def _merged(defaults: Mapping[str, Json], own: Mapping[str, Json]) -> Mapping[str, Json]:
    return {**defaults, **own} if defaults else own


def _object(item: dict[str, Json], name: str) -> dict[str, Json]:
    value = item.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidCall(f"{name}_not_object", f"{name} must be an object")
    return value
