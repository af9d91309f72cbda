"""From a Segment call to the bodies of Moesif's Collector API.

Obeys, in this order: Moesif's API reference ("Users", "Companies", "User Actions", read 2026-07), the page of Segment's own
Moesif destination (read 2025-11), and Segment's Spec for what the two leave open. Where all are silent the function that
decides says what it decided.

    identify ──► users                           track ──► actions  (an audience's track call: users too)
    group ─────► companies, users if one is named
    page, screen ──► actions, only if wanted     alias ──► nothing, or users if anonymous ids are wanted
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sync.call import Call, CallType
from sync.delivery import Lane
from sync.json_value import Json

# Named once, since that takes its time and is done for every call.
_ACTIONS, _USERS = Lane.ACTIONS, Lane.USERS

MOESIF: Final = "Moesif API Analytics"
"""The destination's name in `integrations`, as Segment's catalog spells it."""
_NAMES: Final = (MOESIF, "moesif-api-analytics")

_TRANSACTIONS: Final = uuid.UUID("ce4cdaf3-3aae-4af4-b4e8-b9e198a8f991")
"""Never to be changed: Moesif would take every action that is sent again for a new one."""

_RESERVED: Final = {"firstName": "first_name", "lastName": "last_name", "avatar": "photo_url"}
"""Segment's reserved traits that Moesif knows by another name. `email`, `name` and `phone` are the same in both."""

_CAMPAIGN: Final = {
    "source": "utm_source",
    "medium": "utm_medium",
    "name": "utm_campaign",
    "term": "utm_term",
    "content": "utm_content",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapping:
    """What the user may choose about the mapping."""

    uri_fallback: str = "https://segment.invalid/"
    """`request.uri` of calls without a page. Moesif wants a full URL; `.invalid` can be nobody's (RFC 2606)."""
    forward_pages: bool = False
    """Page and screen calls become actions. Segment's own destination has neither."""
    forward_anonymous: bool = False
    """Calls without a user id are told under `anonymous_id`, which Moesif's browser SDK sends but no reference documents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """One item of one request to Moesif."""

    lane: Lane
    subject: str
    """The user's id, the company's on its lane; empty for an action without a user. What shares one keeps its order."""
    document: dict[str, Json]


class _Draft(NamedTuple):
    """A body whose document is not written yet, since most who ask want to know only whom it is about."""

    lane: Lane
    subject: str
    write: Callable[[], dict[str, Json]]


def wanted(call: Call) -> bool:
    """Return whether the call's `integrations` let it go to Moesif.

    Names are case-sensitive, an object of options counts as yes, null as absent. A value under either name of the destination
    is worth more than `All`; where the two names disagree, false wins: nobody who wrote it meant "send".
    """
    if not call.integrations:
        return True
    named = [call.integrations[name] for name in _NAMES if call.integrations.get(name) is not None]
    if any(value is False for value in named):
        return False
    if call.integrations.get("All") is False:
        return any(isinstance(value, dict) or bool(value) for value in named)
    return True


def bodies(call: Call, mapping: Mapping) -> tuple[Body, ...]:
    """Return what Moesif is to be told of a call, perhaps nothing. Whether it wants to be told at all: see `wanted`."""
    return tuple(
        Body(lane=draft.lane, subject=draft.subject, document=_without_nulls(draft.write())) for draft in _drafts(call, mapping)
    )


def addressed(call: Call, mapping: Mapping) -> tuple[tuple[Lane, str], ...]:
    """Return the lane and subject of each of the bodies, without writing them."""
    return tuple([(draft.lane, draft.subject) for draft in _drafts(call, mapping)])


def transaction_id(message_id: str) -> str:
    """Return the UUID by which Moesif recognises an action that it already has; the same for a message for ever."""
    return str(uuid.uuid5(_TRANSACTIONS, message_id))


def _drafts(call: Call, mapping: Mapping) -> Sequence[_Draft]:
    return _DRAFTS[call.type](call, mapping)


def _identify(call: Call, _mapping: Mapping) -> Sequence[_Draft]:
    return (_user(call.user_id, lambda: _who(call)),) if call.user_id else ()


def _who(call: Call) -> dict[str, Json]:
    return {
        "company_id": _id(_inside(call.properties.get("company"), "id")) or _company_in_context(call),
        "modified_time": _iso(call.timestamp),
        "ip_address": _text(call.context.get("ip")),
        "user_agent_string": _text(call.context.get("userAgent")),
        "campaign": _campaign(call),
        "metadata": _under_moesifs_names(_with_real_membership(call)),
    }


def _track(call: Call, mapping: Mapping) -> Sequence[_Draft]:
    event = call.event
    if not event:
        return ()
    action = _action(call, mapping, lambda: (event, _with_real_membership(call)))
    key = _audience_key(call)
    value = None if key is None else _with_real_membership(call).get(key)
    if key is None or not call.user_id or not isinstance(value, bool):
        return action
    # "Audience Entered" alone would leave the profile without the flag that Moesif's cohorts filter on.
    return (*action, _user(call.user_id, lambda: {"modified_time": _iso(call.timestamp), "metadata": {key: value}}))


def _group(call: Call, _mapping: Mapping) -> Sequence[_Draft]:
    group_id = call.group_id
    if not group_id:
        return ()
    company = _Draft(Lane.COMPANIES, group_id, lambda: _company(call))
    return (company, _user(call.user_id, lambda: {"company_id": group_id})) if call.user_id else (company,)


def _company(call: Call) -> dict[str, Json]:
    return {
        "company_id": call.group_id,
        "company_domain": _company_domain(call),
        "modified_time": _iso(call.timestamp),
        "metadata": dict(call.properties),
    }


def _viewing(call: Call, mapping: Mapping) -> Sequence[_Draft]:
    return _action(call, mapping, lambda: _view(call)) if mapping.forward_pages else ()


def _view(call: Call) -> tuple[str, dict[str, Json]]:
    what, stored_name = ("Page", "page_name") if call.type is CallType.PAGE else ("Screen", "screen_name")
    properties = dict(call.properties)
    name = properties.pop(stored_name, None)
    if name is not None:
        properties["name"] = name
    return f"Viewed {what}", properties


def _alias(call: Call, mapping: Mapping) -> Sequence[_Draft]:
    """Join an anonymous id to a user.

    The call does not say whether `previousId` was anonymous. It was if it is the call's `anonymousId`, and it is taken to be
    if it is a UUID, as every SDK's anonymous ids are.
    """
    previous_id = call.previous_id
    if mapping.forward_anonymous and call.user_id and previous_id and (previous_id == call.anonymous_id or _is_uuid(previous_id)):
        return (_user(call.user_id, lambda: {"anonymous_id": previous_id}),)
    return ()


_DRAFTS: Final[dict[CallType, Callable[[Call, Mapping], Sequence[_Draft]]]] = {
    CallType.IDENTIFY: _identify,
    CallType.TRACK: _track,
    CallType.GROUP: _group,
    CallType.PAGE: _viewing,
    CallType.SCREEN: _viewing,
    CallType.ALIAS: _alias,
}


def _user(user_id: str, write: Callable[[], dict[str, Json]]) -> _Draft:
    return _Draft(_USERS, user_id, lambda: {"user_id": user_id, **write()})


def _action(call: Call, mapping: Mapping, write: Callable[[], tuple[str, dict[str, Json]]]) -> Sequence[_Draft]:
    """Return the action, of which name and metadata are written when asked for; nothing for somebody unknown."""
    anonymous_id = call.anonymous_id if mapping.forward_anonymous and not call.user_id else None
    if not call.user_id and not anonymous_id:
        return ()
    return (_Draft(_ACTIONS, call.user_id or "", lambda: _done(call, mapping, anonymous_id, *write())),)


def _done(call: Call, mapping: Mapping, anonymous_id: str | None, name: str, metadata: dict[str, Json]) -> dict[str, Json]:
    """Write an action. No `session_token`: Moesif would make one of whatever we sent."""
    return {
        "action_name": name,
        "user_id": call.user_id or None,
        "anonymous_id": anonymous_id,
        "company_id": _company_in_context(call),
        "transaction_id": transaction_id(call.message_id),
        "request": {
            "time": _iso(call.timestamp),
            "uri": _uri(call) or mapping.uri_fallback,
            # Without this one Moesif would take the address of whoever forwards.
            "ip_address": _text(call.context.get("ip")),
            "user_agent_string": _text(call.context.get("userAgent")),
        },
        "metadata": metadata,
    }


def _under_moesifs_names(traits: dict[str, Json]) -> dict[str, Json]:
    """Rename the reserved traits. Where both spellings are there, Moesif's own holds and the other is dropped."""
    renamed: dict[str, Json] = {}
    for key, value in traits.items():
        name = _RESERVED.get(key, key)
        if value is not None and (name == key or traits.get(name) is None):
            renamed[name] = value
    return renamed


def _audience_key(call: Call) -> str | None:
    """Return the key of the audience or journey step that Segment sent this call about, if it did."""
    personas = call.context.get("personas")
    if personas is None or _inside(personas, "computation_class") not in ("audience", "journey_step"):
        return None
    return _text(_inside(personas, "computation_key"))


def _with_real_membership(call: Call) -> dict[str, Json]:
    """Return the call's properties, with the string "true" of Segment's journeys made true.

    Moesif holds a key to the type that it first came with, so that one string would shut out the booleans for ever.
    """
    properties = dict(call.properties)
    key = _audience_key(call)
    if key is not None and properties.get(key) in ("true", "false"):
        properties[key] = properties[key] == "true"
    return properties


def _campaign(call: Call) -> dict[str, Json]:
    said = call.context.get("campaign")
    referrer = _text(_inside(call.context.get("page"), "referrer")) or _text(_inside(call.context.get("referrer"), "url"))
    campaign: dict[str, Json] = {theirs: _id(_inside(said, ours)) for ours, theirs in _CAMPAIGN.items()}
    return campaign | {"referrer": referrer, "referring_domain": _host(referrer)}


def _company_domain(call: Call) -> str | None:
    """Return what Moesif looks a company up by: the trait `domain`, or the host of Segment's reserved trait `website`."""
    for trait in ("domain", "website"):
        said = _text(call.properties.get(trait))
        host = _host(said if said is None or "//" in said else f"//{said}")
        if host is not None:
            return host.removeprefix("www.")
    return None


def _uri(call: Call) -> str | None:
    """Return the page's URL if it is a full one. A page call may carry it as a property alone."""
    for said in (_inside(call.context.get("page"), "url"), call.properties.get("url") if call.type is CallType.PAGE else None):
        url = _text(said)
        if url is not None and _is_full(url):
            return url
    return None


def _company_in_context(call: Call) -> str | None:
    return _id(call.context.get("groupId"))


def _is_full(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def _host(url: str | None) -> str | None:
    try:
        return urlsplit(url).hostname or None if url else None
    except ValueError:
        return None


def _is_uuid(value: str) -> bool:
    try:
        return str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _inside(value: Json, key: str) -> Json:
    return value.get(key) if isinstance(value, dict) else None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _id(value: Json) -> str | None:
    """Return a value as the string that Moesif wants where Segment allows numbers: 88 and 88.0 are both "88"."""
    match value:
        case bool():
            return None
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() else str(value)
        case _:
            return _text(value)


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _without_nulls(document: dict[str, Json]) -> dict[str, Json]:
    """Return a copy without null anywhere, and without the top-level objects that hold nothing then.

    What Moesif makes of a null is documented nowhere, so it gets none: a key is left out, an array is closed up.
    """
    return {key: value for key, value in _cleaned(document).items() if value != {}}


def _cleaned(members: dict[str, Json]) -> dict[str, Json]:
    return {key: _clean(value) for key, value in members.items() if not _is_nothing(value)}


def _clean(value: Json) -> Json:
    if isinstance(value, dict):
        return _cleaned(value)
    if isinstance(value, list):
        return [_clean(item) for item in value if not _is_nothing(item)]
    return value


def _is_nothing(value: Json) -> bool:
    """Return whether a value would be written as null; a number that is none would."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))
