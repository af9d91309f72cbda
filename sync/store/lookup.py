"""Looking things up for people: one person, and rows of the ledger that are not settled. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, DateTime, Row, Select, Text, and_, func, select, text, true

from sync.delivery import State
from sync.errors import NotFound
from sync.json_value import Json
from sync.profile import known
from sync.store import ledger_claims
from sync.store.audiences import about
from sync.store.evidence import no_user
from sync.store.prepared import Prepared, told
from sync.store.profiles import ANONYMOUS_ID
from sync.store.schema import audiences, calls, changes, identifiers, memberships, profiles, runs

__all__ = [
    "Change",
    "Connection",
    "LedgerRow",
    "Person",
    "changes_of",
    "latest_arrival",
    "ledger_row",
    "ledger_rows",
    "person",
    "server_clock",
]
# `Connection` is here for the doors, which hand it from one function to the next and know nothing else of SQLAlchemy.


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """A profile with a user id, as people see it."""

    profile_id: int
    user_id: str
    traits: dict[str, Json]
    """Those that stand; one that was taken away is not among them."""
    anonymous_ids: tuple[str, ...]
    calls: int
    first_seen_at: datetime | None
    """By the timestamps of the calls; None where there is none any more."""
    last_seen_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerRow:
    """What the ledger says of one user and one audience or computed trait."""

    audience_id: int
    profile_id: int
    key: str
    kind: str
    user_id: str
    value: str | None
    """JSON."""
    since: datetime
    accepted: str | None
    accepted_at: datetime | None
    state: str
    attempts: int
    reason: str | None
    run_id: int
    owed_since: datetime | None
    """When the run that answers for it began."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An entry, an exit, or a new value of a computed trait."""

    key: str
    kind: str
    value: str | None
    """JSON."""
    at: datetime
    run_id: int


def person(connection: Connection, user_id: str) -> Person:
    """Return a user's profile. Raises NotFound."""
    found = _PERSON.records(connection, user=user_id)
    if not found:
        raise NotFound(no_user(user_id))
    (row,) = found
    return Person(
        profile_id=row.id,
        user_id=user_id,
        traits=known(row.traits),
        anonymous_ids=tuple(value for (value,) in _ANONYMOUS_IDS.rows(connection, profile=row.id)),
        calls=row.calls,
        first_seen_at=row.first,
        last_seen_at=row.last,
    )


def ledger_rows(connection: Connection, state: State, limit: int) -> list[LedgerRow]:
    """Return rows in a state, by audience and profile, up to so many."""
    # The second condition is the one that the index of unsettled rows is for.
    on_the_way = ledger_claims.is_on_the_way()
    theirs = on_the_way if state is State.SENDING else and_(memberships.c.state == state.value, ~on_the_way)
    found = _rows().where(theirs, text("memberships.state <> 'settled'"))
    return _listed(connection.execute(found.order_by(memberships.c.audience_id, memberships.c.profile_id).limit(limit)).all())


def ledger_row(connection: Connection, audience_id: int, profile_id: int) -> LedgerRow:
    """Return one row. Raises NotFound."""
    its = (memberships.c.audience_id == audience_id) & (memberships.c.profile_id == profile_id)
    rows = _listed(connection.execute(_rows().where(its)).all())
    if not rows:
        raise NotFound("there is no such delivery; `personas-sync deliveries` lists them")
    return rows[0]


def changes_of(connection: Connection, profile_id: int, limit: int) -> list[Change]:
    """Return a profile's latest entries, exits and new values, newest first, up to so many."""
    return [Change(**row._asdict()) for row in _CHANGES.records(connection, profile=profile_id, most=limit)]


def latest_arrival(connection: Connection) -> datetime | None:
    """Return when the latest call came in; None before the first."""
    return connection.scalars(select(calls.c.received_at).order_by(calls.c.id.desc()).limit(1)).one_or_none()


def server_clock(connection: Connection) -> datetime | None:
    """Return what time it is at the server of the store; None for SQLite, which has none."""
    if connection.dialect.name == "sqlite":
        return None
    return connection.scalars(select(func.clock_timestamp(type_=DateTime(timezone=True)))).one().astimezone(UTC)


# Asked of one user after another, so they are written once.
_PROFILE: Final = told("profile", BigInteger())
_IS_THE_USER: Final = profiles.c.user_id == told("user", Text())
_SEEN: Final = (
    select(func.count().label("calls"), func.min(calls.c.timestamp).label("first"), func.max(calls.c.timestamp).label("last"))
    .where(calls.c.profile_id == select(profiles.c.id).where(_IS_THE_USER).scalar_subquery())
    .subquery()
)
_PERSON: Final = Prepared(select(profiles.c.id, profiles.c.traits, *_SEEN.c).join_from(profiles, _SEEN, true()).where(_IS_THE_USER))
_ANONYMOUS_IDS: Final = Prepared(
    select(identifiers.c.value)
    .where(identifiers.c.profile_id == _PROFILE, identifiers.c.type == ANONYMOUS_ID)
    .order_by(identifiers.c.value)
)
_CHANGES: Final = Prepared(
    select(audiences.c.key, audiences.c.kind, changes.c.value, changes.c.at, changes.c.run_id)
    .join(audiences, audiences.c.id == changes.c.audience_id)
    .where(about(changes, _PROFILE))
    .order_by(changes.c.at.desc(), changes.c.run_id.desc())
    .limit(told("most", BigInteger()))
)


def _rows() -> Select[Any]:
    return (
        select(
            memberships,
            ledger_claims.state().label("shown"),
            audiences.c.key,
            audiences.c.kind,
            profiles.c.user_id,
            runs.c.started_at,
        )
        .join(audiences, audiences.c.id == memberships.c.audience_id)
        .join(runs, runs.c.id == memberships.c.run_id, isouter=True)
        .join(profiles, profiles.c.id == memberships.c.profile_id)
    )


def _listed(rows: Sequence[Row[Any]]) -> list[LedgerRow]:
    return [
        LedgerRow(
            audience_id=row.audience_id,
            profile_id=row.profile_id,
            key=row.key,
            kind=row.kind,
            user_id=row.user_id,
            value=row.value,
            since=row.since,
            accepted=row.accepted,
            accepted_at=row.accepted_at,
            state=row.shown,
            attempts=row.attempts + (row.shown == State.SENDING.value),
            reason=row.reason,
            run_id=row.run_id,
            owed_since=row.started_at,
        )
        for row in rows
    ]
