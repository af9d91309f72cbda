"""What is known of one user that bears on one query: traits, events, and what the ledger and its history say. Reads only.

Each look goes by an index on the profile, so that its cost follows what this user did and not how many users there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Row, Select, Text, and_, null, select

from sync.audience import Kind
from sync.delivery import State
from sync.errors import NotFound
from sync.json_value import Json
from sync.language.reading import Event
from sync.profile import known
from sync.store import ledger_claims
from sync.store.prepared import Prepared, told
from sync.store.schema import audiences, calls, changes, memberships, profiles, runs


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvent(Event):
    """An event as a call brought it."""

    message_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Referred:
    """What `trait('key')` means of a user where the key is an audience's or a computed trait's."""

    key: str
    kind: Kind
    value: str | None
    """JSON; None where the ledger has no row, or no value."""
    since: datetime | None
    computed_at: datetime | None
    """The instant of its last run; None before the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """An entry, an exit or a new value, as a run recorded it."""

    value: str | None
    """JSON; None where a computed trait has none any more."""
    at: datetime
    run_id: int
    run_at: datetime | None
    """The instant that counted as now in the run; None where the run is no longer kept."""
    started_at: datetime | None
    """When the run began by the clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The ledger's row of a user and an audience or computed trait."""

    value: str | None
    """JSON, as are the next two."""
    sent: str | None
    """What is, or may be, on the way."""
    accepted: str | None
    since: datetime
    accepted_at: datetime | None
    state: str
    attempts: int
    reason: str | None


def traits_of(connection: Connection, user_id: str) -> tuple[int, dict[str, Json]]:
    """Return a user's profile id and the traits that stand. Raises NotFound."""
    found = _TRAITS.records(connection, user=user_id)
    if not found:
        raise NotFound(no_user(user_id))
    return found[0].id, known(found[0].traits)


def no_user(user_id: str) -> str:
    """Say that there is no such user."""
    return f"there is no user {user_id!r}; ids are compared letter by letter"


def events_of(connection: Connection, profile_id: int, names: Collection[str], *, context: bool, limit: int) -> list[StoredEvent]:
    """Return what a profile did, of the names given, in no order; up to so many. Contexts are large, and read only if asked for."""
    columns = (calls.c.id, calls.c.message_id, calls.c.event, calls.c.timestamp, calls.c.source, calls.c.properties)
    contexts = calls.c.context if context else null().label("context")
    theirs = and_(calls.c.profile_id == profile_id, calls.c.event.in_(sorted(names)))
    statement: Select[Any] = select(*columns, contexts).where(theirs).limit(limit)
    return [_event(row) for row in connection.execute(statement)] if names else []


def references_of(connection: Connection, profile_id: int, keys: Collection[str]) -> Mapping[str, Referred]:
    """Return, by key, what the ledger says of a profile for those of the keys that are standing audiences or computed traits."""
    itself = and_(memberships.c.audience_id == audiences.c.id, memberships.c.profile_id == profile_id)
    statement = (
        select(audiences.c.key, audiences.c.kind, audiences.c.computed_at, memberships.c.value, memberships.c.since)
        .select_from(audiences.outerjoin(memberships, itself))
        .where(audiences.c.key.in_(sorted(keys)), audiences.c.retired_at.is_(None))
    )
    rows = connection.execute(statement).all() if keys else []
    return {
        row.key: Referred(key=row.key, kind=Kind(row.kind), value=row.value, since=row.since, computed_at=row.computed_at)
        for row in rows
    }


def standing(connection: Connection, audience_id: int, profile_id: int) -> Standing | None:
    """Return the ledger's row; None where it never had anything to say."""
    found = _STANDING.records(connection, audience=audience_id, profile=profile_id)
    sent = ledger_claims.sent_to(connection, profile_id).get(audience_id)
    if not found:
        return None
    (row,) = found
    on_its_way = {} if sent is None else {"state": State.SENDING.value, "attempts": row.attempts + 1}
    return Standing(**{**row._asdict(), "sent": sent, **on_its_way})


def last_turn(connection: Connection, audience_id: int, profile_id: int, until: datetime | None) -> Turn | None:
    """Return the latest entry, exit or new value, up to and including an instant if one is given."""
    latest = _LATEST_TURN if until is None else _LATEST_TURN_UNTIL
    found = latest.records(connection, audience=audience_id, profile=profile_id, until=until)
    return Turn(**found[0]._asdict()) if found else None


# Asked of one user after another, so they are written once.
_TRAITS: Final = Prepared(select(profiles.c.id, profiles.c.traits).where(profiles.c.user_id == told("user", Text())))
_AUDIENCE: Final = told("audience", BigInteger())
_PROFILE: Final = told("profile", BigInteger())
_M: Final = memberships.c
_STANDING: Final = Prepared(
    select(_M.value, _M.accepted, _M.since, _M.accepted_at, _M.state, _M.attempts, _M.reason).where(
        _M.audience_id == _AUDIENCE, _M.profile_id == _PROFILE
    )
)
_TURNS: Final = (
    select(changes.c.value, changes.c.at, changes.c.run_id, runs.c.at.label("run_at"), runs.c.started_at)
    .select_from(changes.outerjoin(runs, runs.c.id == changes.c.run_id))
    .where(changes.c.profile_id == _PROFILE, changes.c.audience_id == _AUDIENCE)
    .order_by(changes.c.run_id.desc())
    .limit(1)
)
_LATEST_TURN: Final = Prepared(_TURNS)
_LATEST_TURN_UNTIL: Final = Prepared(_TURNS.where(changes.c.at <= told("until", changes.c.at.type)))


def _event(row: Row[Any]) -> StoredEvent:
    return StoredEvent(
        name=row.event,
        timestamp=row.timestamp,
        order=row.id,
        properties=row.properties,
        context=row.context or {},
        source=row.source,
        message_id=row.message_id,
    )
