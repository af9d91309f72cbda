"""Segment's Profile API, for those who have a client of it: traits, external ids, events and metadata of one profile.

A profile is found by `user_id:…` or `anonymous_id:…`, in capitals or not as it was sent. Audiences are traits, true or false, by
their keys. What is not kept (which source said a trait, when an identifier was first seen) is null.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from sync.call import Call, CallType
from sync.errors import NotFound
from sync.instant import iso
from sync.json_value import Json, decode, encode
from sync.store import ledger, people
from sync.store.calls import Place
from sync.store.lookup import Connection
from sync.store.people import Profile, Span
from sync.store.types import EPOCH, from_micros, to_micros
from sync.web.api.parameters import InvalidParameter
from sync.web.api.program import Program

DAYS: Final = timedelta(days=14)
"""How far back events go where nobody says since when."""

_ID_TYPES: Final = ("user_id", "anonymous_id")
_NO_CURSOR: Final = "next: expected what a cursor's next said"


def traits(
    program: Program,
    *,
    space: str,
    profile: str,
    class_: str | None,
    include: Sequence[str],
    limit: int,
    next: str | None,
    verbose: bool,
) -> Json:
    """List traits by name; audiences and computed traits are among them."""
    with program.store.snapshot() as connection:
        found = _profile(program, connection, space, profile)
        known = _of_class(class_, _own_traits(found), _computed(connection, found))
    wanted = sorted(name for name in known if not include or name in include)
    after = "" if next is None else _opened(next)
    page = [name for name in wanted if name > after][: limit + 1]
    told: dict[str, Json] = {}
    for name in page[:limit]:
        value, at = known[name]
        told[name] = {"value": value, "source_id": None, "updated_at": iso(at)} if verbose else value
    last = page[limit - 1] if len(page) > limit else None
    return {"traits": told, "cursor": _cursor(space, profile, "traits", last, limit)}


def external_ids(program: Program, *, space: str, profile: str, limit: int, next: str | None) -> Json:
    """List identifiers: the user id first, then anonymous ids."""
    after = "" if next is None else _opened(next)
    with program.store.snapshot() as connection:
        found = _profile(program, connection, space, profile)
        ids = [("user_id", found.user_id)] if found.user_id is not None and next is None else []
        anonymous = people.anonymous_ids(connection, found.id, after, limit + 1 - len(ids))
    page = [*ids, *(("anonymous_id", id) for id in anonymous)]
    told: list[Json] = [
        {"collection": "users", "type": type, "id": id, "encoding": "none", "source_id": None, "created_at": None}
        for type, id in page[:limit]
    ]
    last = page[limit - 1] if len(page) > limit else None
    after_last = None if last is None else "" if last[0] == "user_id" else str(last[1])
    return {"data": told, "cursor": _cursor(space, profile, "external_ids", after_last, limit)}


def events(
    program: Program,
    *,
    space: str,
    profile: str,
    start: datetime | None,
    end: datetime | None,
    include: Sequence[str],
    exclude: Sequence[str],
    sort: str,
    limit: int,
    next: str | None,
) -> Json:
    """List events, the latest first unless asked otherwise; of the last 14 days unless asked otherwise."""
    now = program.clock()
    until = end or now + timedelta(microseconds=1)
    span = Span(
        # No call is of before 1970, and no day of before the year 1.
        since=start or max(until, EPOCH + DAYS) - DAYS,
        until=until,
        include=include,
        exclude=exclude,
        after=None if next is None else _place(_opened(next)),
        oldest_first=sort == "asc",
    )
    with program.store.snapshot() as connection:
        found = _profile(program, connection, space, profile)
        page = people.events(connection, found.id, span, limit + 1)
    told: list[Json] = [_event(source, call) for _, source, call in page[:limit]]
    last = page[limit - 1][0] if len(page) > limit else None
    cursor = _cursor(space, profile, "events", None if last is None else f"{to_micros(last[0])}.{last[1]}", limit)
    return {"data": told, "cursor": cursor}


def metadata(program: Program, *, space: str, profile: str) -> Json:
    """Say when the profile was made, and by which call it was last seen."""
    with program.store.snapshot() as connection:
        found = _profile(program, connection, space, profile)
        seen = people.first_and_last(connection, found.id)
    first, last = seen or (None, None)
    return {
        "created_at": iso(found.created_at),
        "updated_at": iso(found.created_at if last is None else last.received_at),
        "expires_at": None,
        "first_message_id": None if first is None else first.message_id,
        "first_source_id": None if first is None else first.source,
        "last_message_id": None if last is None else last.message_id,
        "last_source_id": None if last is None else last.source,
    }


def _profile(program: Program, connection: Connection, space: str, profile: str) -> Profile:
    if space != program.space:
        raise NotFound(f"there is no space with this id; it is {program.space}")
    type, _, id = profile.partition(":")
    if type not in _ID_TYPES or not id:
        raise NotFound(f"profiles are found by {' and '.join(f'{one}:ID' for one in _ID_TYPES)}")
    return people.find(connection, type, id)


def _own_traits(profile: Profile) -> dict[str, tuple[Json, datetime]]:
    said = profile.traits_at
    return {name: (value, from_micros(said.get(name, 0))) for name, value in profile.traits.items() if value is not None}


def _computed(connection: Connection, profile: Profile) -> dict[str, tuple[str, Json, datetime]]:
    rows = ledger.of_user(connection, profile.id)
    return {row.key: (row.kind, decode(row.value), row.since) for row in rows if row.value is not None}


def _of_class(
    class_: str | None, own: Mapping[str, tuple[Json, datetime]], computed: Mapping[str, tuple[str, Json, datetime]]
) -> dict[str, tuple[Json, datetime]]:
    ours = {key: (value, since) for key, (kind, value, since) in computed.items() if class_ in (None, kind)}
    return ours if class_ is not None else {**own, **ours}


def _event(source: str, call: Call) -> Json:
    ids = [(type, id) for type, id in (("user_id", call.user_id), ("anonymous_id", call.anonymous_id)) if id is not None]
    return {
        "type": call.type.value,
        "event": call.event,
        "message_id": call.message_id,
        "source_id": source,
        "timestamp": iso(call.timestamp),
        "properties": _properties(call),
        "context": dict(call.context),
        "external_ids": [{"collection": "users", "type": type, "id": id, "encoding": "none"} for type, id in ids],
        "related": {},
    }


def _properties(call: Call) -> dict[str, Json]:
    """Return properties; of a page or screen its name under Segment's name for it."""
    if call.type not in (CallType.PAGE, CallType.SCREEN) or "name" not in call.properties:
        return dict(call.properties)
    return {**call.properties, f"{call.type}_name": call.properties["name"]}


def _cursor(space: str, profile: str, what: str, last: str | None, limit: int) -> Json:
    """Say how to go on after the last one of this page; None where there is no more."""
    if last is None:
        return {"url": "", "has_more": False, "next": "", "limit": limit}
    token = urlsafe_b64encode(encode(last).encode()).decode()
    path = f"/v1/spaces/{space}/collections/users/profiles/{quote(profile, safe=':')}/{what}"
    url = f"{path}?{urlencode({'next': token, 'limit': limit})}"
    return {"url": url, "has_more": True, "next": token, "limit": limit}


def _opened(token: str) -> str:
    try:
        text = decode(urlsafe_b64decode(token))
    except ValueError:
        text = None
    if not isinstance(text, str) or "\0" in text:
        raise InvalidParameter(_NO_CURSOR)
    return text


def _place(text: str) -> Place:
    found = re.fullmatch(r"(-?[0-9]{1,18})\.([0-9]{1,18})", text, re.ASCII)
    if found is None:
        raise InvalidParameter(_NO_CURSOR)
    try:
        return from_micros(int(found[1])), int(found[2])
    except OverflowError:
        raise InvalidParameter(_NO_CURSOR) from None
