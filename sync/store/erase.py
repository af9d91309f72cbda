"""Erase: take one user out of every table, in one transaction, however much there is.

The order in which rows are locked is that of everybody else: the right to send, the audiences, the profile. With these held no
sender claims or settles, no run records, and no call about the user is taken in; whoever did so before has committed, and is seen.
Nothing is read into memory but the user's ids.

A run that answers for a row that is erased no longer owes it, so that its counts go on to balance and it can end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Delete, Select, and_, case, delete, func, or_, select, true, update

from sync.audience import Kind
from sync.delivery import State
from sync.json_value import decode
from sync.membership import IN
from sync.store import audiences as audiences_of_store
from sync.store import ledger_claims, metadata_types, runs
from sync.store.audiences import about
from sync.store.profiles import ANONYMOUS_ID, portions
from sync.store.schema import (
    audiences,
    calls,
    changes,
    dates,
    deliveries,
    identifiers,
    leases,
    memberships,
    profiles,
    rejected_calls,
)
from sync.store.suppressions import quoted

BODIES_AT_A_TIME: Final = 200
"""Rejected calls read at once; each may have 32 KB."""

REJECTED_AT_A_TIME: Final = 2_000
"""Rejected calls looked through at once."""

IDS_IN_ONE_STATEMENT: Final = 50

_OPEN: Final = (State.OWED.value, State.UNKNOWN.value)


def hold(connection: Connection, user_id: str) -> int | None:
    """Keep everybody else away from a user until the transaction ends; return the profile's id, None where there is none."""
    connection.execute(select(leases.c.name).order_by(leases.c.name).with_for_update()).all()
    audiences_of_store.hold(connection)
    return connection.scalars(select(profiles.c.id).where(profiles.c.user_id == user_id).with_for_update()).one_or_none()


def ids_of(connection: Connection, user_id: str, profile_id: int) -> frozenset[str]:
    """Return the ids by which calls name a user: the user id and every anonymous id."""
    theirs = (identifiers.c.profile_id == profile_id, identifiers.c.type == ANONYMOUS_ID)
    return frozenset({user_id, *connection.scalars(select(identifiers.c.value).where(*theirs))})


def is_on_its_way(connection: Connection, profile_id: int) -> bool:
    """Whether a sender has anything about a user in a request at this moment, or died with it."""
    facts = select(deliveries.c.id).where(deliveries.c.call_id.in_(_calls(profile_id)), deliveries.c.state == State.SENDING.value)
    return bool(ledger_claims.sent_to(connection, profile_id)) or connection.execute(facts.limit(1)).first() is not None


def erase(connection: Connection, profile_id: int, now: datetime) -> dict[str, int]:
    """Erase a user of whom `hold` keeps everybody else away; return how many rows, by table."""
    relieved = _answered_for(connection, profile_id)
    _lower_members(connection, profile_id)
    # Whatever is being computed at this moment is to be done anew.
    connection.execute(update(audiences).values(generation=audiences.c.generation + 1))
    with _zeroed(connection):
        ledger_claims.erase(connection, profile_id)
        erased = {name: connection.execute(statement).rowcount for name, statement in _all_of(profile_id)}
    runs.relieve(connection, relieved, now)
    return erased


def erase_rejected(connection: Connection, found: Collection[int]) -> int:
    """Erase rejected calls, by id; return how many there were."""
    with _zeroed(connection):
        gone = [connection.execute(delete(rejected_calls).where(rejected_calls.c.id.in_(some))) for some in portions(found)]
    return sum(one.rowcount for one in gone)


def erase_types(connection: Connection, ids: frozenset[str]) -> None:
    """Erase the types of metadata keys that were made of an id."""
    with _zeroed(connection):
        metadata_types.forget_naming(connection, ids)


def rejected_about(connection: Connection, ids: Collection[str], after: int) -> tuple[list[int], int] | None:
    """Return which of the next rejected calls after an id name one of the ids, and the last that was looked at; None at the end."""
    r = rejected_calls.c
    page = select(r.id, _may_name(ids).label("may_name")).where(r.id > after).order_by(r.id).limit(REJECTED_AT_A_TIME)
    rows = connection.execute(page).all()
    if not rows:
        return None
    likely = [row.id for row in rows if row.may_name]
    found = [id for some in portions(likely, BODIES_AT_A_TIME) for id in _naming(connection, some, ids)]
    return found, rows[-1].id


def names(body: str, ids: Collection[str]) -> bool:
    """Whether the body of a rejected call names one of the ids.

    As JSON, where it is a string of it, or a number in a field whose name ends in `id`. In what is no JSON, or was cut off, also
    where it stands as a word of its own: rather one too many is erased than one too few.
    """
    return not frozenset(quoted(body)).isdisjoint(ids) or (not _is_json(body) and any(_is_word(id, body) for id in ids))


def _naming(connection: Connection, rejected: Sequence[int], ids: Collection[str]) -> Iterator[int]:
    bodies = select(rejected_calls.c.id, rejected_calls.c.body).where(rejected_calls.c.id.in_(rejected))
    return (row.id for row in connection.execute(bodies) if names(row.body, ids))


def _may_name(ids: Collection[str]) -> ColumnElement[bool]:
    """Return what is true of every body that names one of the ids, and of few others: it has one as it is, or something escaped."""
    if len(ids) > IDS_IN_ONE_STATEMENT:
        return true()
    return or_(*(rejected_calls.c.body.contains(text, autoescape=True) for text in (*sorted(ids), "\\")))


def _is_json(text: str) -> bool:
    try:
        decode(text)
    except ValueError:
        return False
    return True


def _is_word(id: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(id)}(?!\w)", text) is not None


def _answered_for(connection: Connection, profile_id: int) -> dict[int, int]:
    """Count by run what is still to be told about a user."""
    m = memberships.c
    open_still = and_(about(memberships, profile_id), m.state.in_(_OPEN), m.value.is_not(None))
    counted = select(m.run_id, func.count()).where(open_still).group_by(m.run_id)
    return {row[0]: row[1] for row in connection.execute(counted)}


def _lower_members(connection: Connection, profile_id: int) -> None:
    m, is_audience = memberships.c, audiences.c.kind == Kind.AUDIENCE.value
    has_value = or_(and_(is_audience, m.value == IN), and_(~is_audience, m.value.is_not(None)))
    theirs = select(m.audience_id).where(m.profile_id == profile_id, m.audience_id == audiences.c.id, has_value).exists()
    # Of an audience that this release has not computed yet nobody has been counted.
    fewer = case((audiences.c.members > 0, audiences.c.members - 1), else_=0)
    connection.execute(update(audiences).where(theirs).values(members=fewer))


def _all_of(profile_id: int) -> Iterator[tuple[str, Delete]]:
    """Yield what erases a user from each table, by its name; those first that refer to others."""
    yield deliveries.name, delete(deliveries).where(deliveries.c.call_id.in_(_calls(profile_id)))
    for table in (memberships, changes):
        yield table.name, delete(table).where(about(table, profile_id))
    for table in (calls, dates, identifiers):
        yield table.name, delete(table).where(table.c.profile_id == profile_id)
    yield profiles.name, delete(profiles).where(profiles.c.id == profile_id)


def _calls(profile_id: int) -> Select[tuple[int]]:
    return select(calls.c.id).where(calls.c.profile_id == profile_id)


@contextmanager
def _zeroed(connection: Connection) -> Iterator[None]:
    """Let SQLite overwrite what is deleted, which otherwise stays readable in the file until its place is needed."""
    if connection.dialect.name != "sqlite":
        yield
        return
    before = connection.exec_driver_sql("PRAGMA secure_delete").scalar_one()
    connection.exec_driver_sql("PRAGMA secure_delete=ON").all()
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA secure_delete={before}").all()
