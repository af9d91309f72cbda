"""One person by any of their identifiers, and what they did, page by page; for the Profile API. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, literal, select, tuple_

from sync.call import Call
from sync.errors import NotFound
from sync.json_value import Json
from sync.store.calls import Place, from_row
from sync.store.profiles import ANONYMOUS_ID
from sync.store.schema import calls, identifiers, profiles

USER_ID = "user_id"


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A profile as it is kept, be it a user's or an anonymous one."""

    id: int
    user_id: str | None
    traits: Mapping[str, Json]
    """Null stands for one that was taken away."""
    traits_at: Mapping[str, int]
    """When each was said, in microseconds since 1970."""
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Which events of a person are wanted."""

    since: datetime
    until: datetime
    """Not included."""
    include: Sequence[str] = ()
    """Names of events; empty is all."""
    exclude: Sequence[str] = ()
    after: Place | None = None
    """The last one of the page before."""
    oldest_first: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """The first or the last call about a person, by arrival."""

    message_id: str
    source: str
    received_at: datetime


def find(connection: Connection, type: str, value: str) -> Profile:
    """Return whose identifier it is. Raises NotFound."""
    whose = profiles.c.user_id == value if type == USER_ID else profiles.c.id == _owner(type, value)
    row = connection.execute(select(profiles).where(whose)).one_or_none()
    if row is None:
        raise NotFound("there is no profile with this identifier")
    return Profile(id=row.id, user_id=row.user_id, traits=row.traits, traits_at=row.traits_at, created_at=row.created_at)


def anonymous_ids(connection: Connection, profile_id: int, after: str, limit: int) -> list[str]:
    """Return the next anonymous ids of a person, in order."""
    i = identifiers.c
    theirs = (i.profile_id == profile_id, i.type == ANONYMOUS_ID, i.value > after)
    return list(connection.scalars(select(i.value).where(*theirs).order_by(i.value).limit(limit)))


def events(connection: Connection, profile_id: int, span: Span, limit: int) -> list[tuple[Place, str, Call]]:
    """Return the next track, page and screen calls of a person, each with its place in the order and its source."""
    c = calls.c
    order = (c.timestamp, c.id) if span.oldest_first else (c.timestamp.desc(), c.id.desc())
    statement = select(calls).where(c.profile_id == profile_id, c.event.is_not(None), *_within(span))
    rows = connection.execute(statement.order_by(*order).limit(limit))
    return [((row.timestamp, row.id), row.source, from_row(row)) for row in rows]


def first_and_last(connection: Connection, profile_id: int) -> tuple[Seen, Seen] | None:
    """Return the first and the last call about a person; None where none is kept any more."""
    ends = select(func.min(calls.c.id), func.max(calls.c.id)).where(calls.c.profile_id == profile_id)
    first, last = connection.execute(ends).one()
    if first is None:
        return None
    columns = (calls.c.message_id, calls.c.source, calls.c.received_at)
    seen = [Seen(**connection.execute(select(*columns).where(calls.c.id == id)).one()._mapping) for id in (first, last)]
    return seen[0], seen[1]


def _owner(type: str, value: str) -> Any:
    named = (identifiers.c.type == type) & (identifiers.c.value == value)
    return select(identifiers.c.profile_id).where(named).scalar_subquery()


def _within(span: Span) -> list[ColumnElement[bool]]:
    c = calls.c
    conditions: list[ColumnElement[bool]] = [c.timestamp >= span.since, c.timestamp < span.until]
    if span.include:
        conditions.append(c.event.in_(span.include))
    if span.exclude:
        conditions.append(c.event.not_in(span.exclude))
    if span.after is not None:
        here, place = tuple_(c.timestamp, c.id), tuple_(literal(span.after[0], c.timestamp.type), literal(span.after[1], c.id.type))
        conditions.append(here > place if span.oldest_first else here < place)
    return conditions
