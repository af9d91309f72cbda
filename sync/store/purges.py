"""Purging: throw history away up to an instant, the horizon, in steps so small that nobody waits.

The horizon is written down before the first row goes, and never moves back: what lies before it can no longer be asked for. A step
finds its rows in a transaction that reads, and deletes them in one that writes, looking again at what may have changed in between.
What is found is known by its place in an index, so that purging goes on where it was, whatever has to stay.

A call stays while anything of it is still to be told to Moesif, or was rejected. Of changes, the last one at or before the horizon
stays for each user and audience: it says who was in at the horizon and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from sync.errors import InputError
from sync.instant import iso
from sync.language import tree
from sync.language.reach import reach, reaches
from sync.store.dates import CONTEXT, PROPERTY
from sync.store.dialect import upsert
from sync.store.profiles import portions
from sync.store.schema import audiences, calls, changes, dates, deliveries, profiles, purges, rejected_calls

CALLS: Final = "calls"
CHANGES: Final = "changes"
REJECTED_CALLS: Final = "rejected_calls"

_OF_CALLS: Final = (PROPERTY, CONTEXT)

CallsAfter: TypeAlias = tuple[datetime, int]
"""Timestamp and id."""

ChangeKey: TypeAlias = tuple[int, int, int]
"""Audience, profile and run."""
_KEY: Final = (changes.c.audience_id, changes.c.profile_id, changes.c.run_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class OldCall:
    """A call that may go."""

    id: int
    timestamp: datetime
    profile_id: int
    event: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OldChanges:
    """A stretch of the changes, user by user."""

    superseded: Sequence[ChangeKey]
    """Those after which there was another before the horizon."""
    last: ChangeKey


def horizon(connection: Connection, name: str) -> datetime | None:
    """Return up to when the rows of a table have been thrown away; None where none ever were."""
    return connection.scalars(select(purges.c.until).where(purges.c.name == name)).one_or_none()


def advance(connection: Connection, name: str, until: datetime) -> None:
    """Move a horizon forward; one that is farther already stays."""
    statement = upsert(connection, purges).values(name=name, until=until)
    farther = purges.c.until < statement.excluded.until
    moved = {"until": statement.excluded.until}
    connection.execute(statement.on_conflict_do_update(index_elements=[purges.c.name], set_=moved, where=farther))


def require_changes(connection: Connection, at: datetime) -> None:
    """Raise InputError where who was in at an instant can no longer be told."""
    until = horizon(connection, CHANGES)
    if until is not None and at < until:
        raise InputError(
            f"entries and exits before {iso(until, 'seconds')} have been thrown away "
            "(SYNC_RETAIN_CHANGES): who was in before that can no longer be told"
        )


def require_calls(connection: Connection, query: tree.Query, at: datetime) -> None:
    """Raise InputError where what a query looks at, as of an instant, has been thrown away."""
    until, span = horizon(connection, CALLS), reach(query)
    if until is not None and reaches(query) and (span is None or at - span < until):
        raise InputError(
            f"calls before {iso(until, 'seconds')} have been thrown away (SYNC_RETAIN_EVENTS), and the query looks at earlier ones "
            f"as of {iso(at, 'seconds')}"
        )


def begin_anew(connection: Connection, audience_ids: Sequence[int]) -> None:
    """Let the next run of these audiences look at everyone: what would tell whom to look at is about to go."""
    connection.execute(update(audiences).where(audiences.c.id.in_(audience_ids)).values(basis=None))


def old_calls(connection: Connection, until: datetime, after: CallsAfter | None, limit: int) -> list[OldCall]:
    """Return the next calls before an instant of which nothing is owed, in the order of their timestamps."""
    statement = select(calls.c.id, calls.c.timestamp, calls.c.profile_id, calls.c.event).where(_is_old(until))
    if after is not None:
        place = tuple_(literal(after[0], calls.c.timestamp.type), literal(after[1], calls.c.id.type))
        statement = statement.where(tuple_(calls.c.timestamp, calls.c.id) > place)
    rows = connection.execute(statement.order_by(calls.c.timestamp, calls.c.id).limit(limit))
    return [OldCall(id=row.id, timestamp=row.timestamp, profile_id=row.profile_id, event=row.event) for row in rows]


def drop_calls(connection: Connection, old: Sequence[OldCall], until: datetime) -> int:
    """Delete calls that were found, and the dates that only they held; return how many calls.

    Waits for nobody, so that nobody can wait for it in turn: what somebody else holds is left for the next time, as are the calls
    of anybody whose dates would have to go and about whom a call is being taken in.
    """
    _let_commit_soon(connection)
    ours = _held(connection, _with_dates(connection, {one.profile_id for one in old}))
    ready = [one for one in old if ours.get(one.profile_id, True)]
    gone = 0
    for some in portions([one.id for one in ready]):
        free = select(calls.c.id).where(calls.c.id.in_(some), _is_old(until)).with_for_update(skip_locked=True)
        gone += connection.execute(delete(calls).where(calls.c.id.in_(connection.scalars(free).all()))).rowcount
    for event in sorted({one.event for one in ready if one.event is not None and one.profile_id in ours}):
        _drop_dates(connection, event, sorted({one.profile_id for one in ready if one.event == event and one.profile_id in ours}))
    return gone


def old_changes(connection: Connection, until: datetime, after: ChangeKey | None, limit: int) -> OldChanges | None:
    """Look at the next changes, user by user in each audience; None at the end. `until` is the horizon, itself included."""
    statement = select(*_KEY, and_(changes.c.at <= until, _is_superseded(until)).label("superseded"))
    if after is not None:
        statement = statement.where(tuple_(*_KEY) > tuple_(*(literal(value, BigInteger()) for value in after)))
    rows = connection.execute(statement.order_by(*_KEY).limit(limit)).all()
    if not rows:
        return None
    found = [(row.audience_id, row.profile_id, row.run_id) for row in rows]
    superseded = [key for key, row in zip(found, rows, strict=True) if row.superseded]
    return OldChanges(superseded=superseded, last=found[-1])


def drop_changes(connection: Connection, superseded: Sequence[ChangeKey]) -> int:
    """Delete changes that were found. What is superseded stays so: nothing is ever recorded before it."""
    _let_commit_soon(connection)
    # One by one: SQLite goes through the whole table for a list of keys that have several columns.
    its = (column == bindparam(f"its_{column.name}") for column in _KEY)
    named = [{f"its_{column.name}": value for column, value in zip(_KEY, key, strict=True)} for key in superseded]
    return connection.execute(delete(changes).where(*its), named).rowcount if named else 0


def drop_rejected_calls(connection: Connection, until: datetime, limit: int) -> int:
    """Delete up to so many rejected calls that came in before an instant; return how many."""
    _let_commit_soon(connection)
    r = rejected_calls.c
    oldest = connection.scalars(select(r.id).where(r.received_at < until).order_by(r.received_at, r.id).limit(limit)).all()
    return sum(connection.execute(delete(rejected_calls).where(r.id.in_(some))).rowcount for some in portions(oldest))


def count_old(connection: Connection, name: str, until: datetime) -> int:
    """Count the rows of a table that would go."""
    condition = {
        CALLS: lambda: _is_old(until),
        CHANGES: lambda: and_(changes.c.at <= until, _is_superseded(until)),
        REJECTED_CALLS: lambda: rejected_calls.c.received_at < until,
    }[name]()
    table = {CALLS: calls, CHANGES: changes, REJECTED_CALLS: rejected_calls}[name]
    return connection.scalars(select(func.count()).select_from(table).where(condition)).one()


def count_held(connection: Connection, until: datetime) -> int:
    """Count the calls before an instant that stay because something of them is owed or was rejected."""
    statement = select(func.count()).select_from(calls).where(calls.c.timestamp < until, _is_delivered_for())
    return connection.scalars(statement).one()


def _let_commit_soon(connection: Connection) -> None:
    """Let PostgreSQL answer before a step is on its disk, so that its locks last no longer: one that is lost is done again."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def _is_old(until: datetime) -> ColumnElement[bool]:
    return and_(calls.c.timestamp < until, ~_is_delivered_for())


def _is_delivered_for() -> ColumnElement[bool]:
    return select(deliveries.c.id).where(deliveries.c.call_id == calls.c.id).exists()


def _is_superseded(until: datetime) -> ColumnElement[bool]:
    later = changes.alias("later")
    same = and_(later.c.audience_id == changes.c.audience_id, later.c.profile_id == changes.c.profile_id)
    return select(later.c.run_id).where(same, later.c.at <= until, later.c.run_id > changes.c.run_id).exists()


def _with_dates(connection: Connection, profile_ids: set[int]) -> set[int]:
    """Return those of the profiles that have dates in properties or contexts."""
    found: set[int] = set()
    for some in portions(sorted(profile_ids)):
        theirs = select(dates.c.profile_id).where(dates.c.profile_id.in_(some), dates.c.place.in_(_OF_CALLS))
        found.update(connection.scalars(theirs.distinct()))
    return found


def _held(connection: Connection, profile_ids: set[int]) -> dict[int, bool]:
    """Lock the profiles that nobody else holds, and say of each whether it is locked.

    Nobody can take in a call about somebody whose profile is locked, since the call would refer to it.
    """
    held = dict.fromkeys(profile_ids, False)
    for some in portions(sorted(profile_ids)):
        free: Select[Any] = select(profiles.c.id).where(profiles.c.id.in_(some)).order_by(profiles.c.id)
        held |= dict.fromkeys(connection.scalars(free.with_for_update(skip_locked=True)), True)
    return held


def _drop_dates(connection: Connection, event: str, profile_ids: Sequence[int]) -> None:
    """Delete the dates in an event of users of whom no call of it is left."""
    left = select(calls.c.id).where(calls.c.profile_id == dates.c.profile_id, calls.c.event == event).exists()
    for some in portions(profile_ids):
        of_event = and_(dates.c.event == event, or_(*(dates.c.place == place for place in _OF_CALLS)))
        connection.execute(delete(dates).where(dates.c.profile_id.in_(some), of_event, ~left))
