"""The ledger: per audience and user the value that is true now, and the value that Moesif last accepted.

A row is owed while the two differ. What is sent is always the value of the moment; `sent` remembers it while its fate is open, so
that a value that changes meanwhile is noticed when the answer comes. `false` stays as a tombstone.

What a run found, in comparison with the ledger, is a `Difference` (`sync.store.difference`); `apply` records it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, case, func, insert, literal, or_, select, true, update

from sync.delivery import State
from sync.membership import IN
from sync.store import audiences as audiences_of_store
from sync.store import dates, runs
from sync.store.audiences import Stored
from sync.store.dialect import upsert
from sync.store.difference import Difference, present
from sync.store.schema import UNSETTLED, audiences, changes, memberships, profiles

_DUE = (State.UNKNOWN.value, State.OWED.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """One value that is to be told about one user."""

    audience_id: int
    profile_id: int
    user_id: str
    key: str
    kind: str
    value: str
    """JSON."""
    since: datetime


def apply(
    connection: Connection,
    audience: Stored,
    found: Difference,
    at: datetime,
    run_id: int,
    now: datetime,
    *,
    take_over: bool = True,
    resync: bool = False,
) -> None:
    """Record a difference: changes, ledger and the run's counts.

    With `take_over` earlier runs end, and this one answers for whatever they left; without it they go on, and give up only the
    users about whom this run has something newer to tell, so that its cost follows what changed. With `resync`, which takes over,
    all that is true is owed again, and `false` to everybody who was ever in: that heals a destination that lost or kept too much.
    """
    if take_over:
        runs.supersede(connection, audience.id, run_id, now)
    told = 0 if found.table is None else _record(connection, audience, found.table, at, run_id, now)
    if resync:
        _owe_everybody(connection, audience.id, run_id)
    runs.write_counts(
        connection,
        run_id,
        members=found.after,
        entered=found.entered if audience.is_audience else 0,
        exited=found.exited if audience.is_audience else 0,
        changed=found.changed,
        owed=owed(connection, audience.id) if take_over else told,
    )
    audiences_of_store.count_members(connection, audience.id, found.after)
    runs.close_if_settled(connection, [run_id], now)


def _record(connection: Connection, audience: Stored, found: Table, at: datetime, run_id: int, now: datetime) -> int:
    """Record who changed, and return about how many of them Moesif is to be told."""
    earlier = runs.answering(connection, audience.id, found)
    connection.execute(insert(changes).from_select(list(_CHANGE), _changes(audience.id, found, at, run_id)))
    connection.execute(_recorded(connection, audience.id, found, at, run_id))
    if not audience.is_audience:
        dates.replace_values(connection, audience.key, found)
    runs.relieve(connection, {id: count for id, count in earlier.items() if id != run_id}, now)
    return sum(runs.answering(connection, audience.id, found).values())


def preview(connection: Connection, found: Select[Any], sample: int) -> tuple[int, tuple[str, ...]]:
    """Return how many profiles a query gives, and the first user ids."""
    members_found = found.subquery()
    size = connection.scalars(select(func.count()).select_from(members_found)).one()
    users = select(profiles.c.user_id).join(members_found, members_found.c.profile_id == profiles.c.id)
    return size, tuple(connection.scalars(users.order_by(profiles.c.id).limit(sample)))


def owed(connection: Connection, audience_id: int) -> int:
    """Return how many rows of an audience are still to be told, what is on the way included."""
    waiting = and_(_is(*_DUE, State.SENDING.value), memberships.c.value.is_not(None))
    statement = select(func.count()).select_from(memberships).where(memberships.c.audience_id == audience_id, waiting)
    return connection.scalars(statement).one()


def owed_after(connection: Connection, audience: Stored, found: Difference) -> tuple[int, int]:
    """Count what would have to be told if a difference were recorded: in all, and what is owed already and has not changed."""
    m = memberships.c
    waiting = and_(_of(audience.id), _is(*_DUE, State.SENDING.value), m.value.is_not(None))
    if found.table is None:
        left = connection.scalars(select(func.count()).select_from(memberships).where(waiting)).one()
        return left, left
    same_user = and_(_of(audience.id), m.profile_id == found.table.c.profile_id)
    on_its_way = and_(m.state.in_([State.SENDING.value, State.UNKNOWN.value]), found.table.c.value.is_not(None))
    is_news = and_(found.table.c.value.is_not(None), m.accepted.is_distinct_from(found.table.c.value))
    joined = found.table.outerjoin(memberships, same_user)
    changed = connection.scalars(select(func.count()).select_from(joined).where(or_(on_its_way, is_news))).one()
    beside = memberships.outerjoin(found.table, m.profile_id == found.table.c.profile_id)
    unchanged = select(func.count()).select_from(beside).where(waiting, found.table.c.profile_id.is_(None))
    resent = connection.scalars(unchanged).one()
    return changed + resent, resent


def states(connection: Connection) -> dict[tuple[str, str], int]:
    """Count what is not settled, by audience key and state."""
    statement = (
        select(audiences.c.key, memberships.c.state, func.count())
        .join(audiences, audiences.c.id == memberships.c.audience_id)
        .where(UNSETTLED)
        .group_by(audiences.c.key, memberships.c.state)
    )
    return {(key, state): count for key, state, count in connection.execute(statement)}


def members(connection: Connection, audience: Stored, after: int, limit: int) -> list[tuple[int, str, datetime, str]]:
    """Return the next (profile id, user id, since, value) after a profile id, in the order of those ids."""
    statement = (
        select(memberships.c.profile_id, profiles.c.user_id, memberships.c.since, memberships.c.value)
        .join(profiles, profiles.c.id == memberships.c.profile_id)
        .where(memberships.c.audience_id == audience.id, memberships.c.profile_id > after, present(audience))
        .order_by(memberships.c.profile_id)
        .limit(limit)
    )
    return [tuple(row) for row in connection.execute(statement)]


def members_at(connection: Connection, audience: Stored, at: datetime) -> Iterator[tuple[str, datetime, str]]:
    """Yield (user id, since, value) of those who were in at an instant, in the order of profile ids; from the changes alone."""
    latest = (
        select(changes.c.profile_id, func.max(changes.c.id).label("id"))
        .where(changes.c.audience_id == audience.id, changes.c.at <= at)
        .group_by(changes.c.profile_id)
        .subquery()
    )
    statement = (
        select(profiles.c.user_id, changes.c.at, changes.c.value)
        .join(latest, latest.c.id == changes.c.id)
        .join(profiles, profiles.c.id == changes.c.profile_id)
        .where(changes.c.value == IN if audience.is_audience else changes.c.value.is_not(None))
        .order_by(changes.c.profile_id)
    )
    return (tuple(row) for row in connection.execute(statement).yield_per(1000))


def of_user(connection: Connection, profile_id: int) -> list[Any]:
    """Return what every audience and computed trait says of one user: key, kind, value, since, accepted, state, reason."""
    m = memberships.c
    statement = (
        select(audiences.c.key, audiences.c.kind, m.value, m.since, m.accepted, m.accepted_at, m.state, m.reason)
        .join(audiences, audiences.c.id == m.audience_id)
        .where(m.profile_id == profile_id)
        .order_by(audiences.c.key)
    )
    return list(connection.execute(statement))


def _is(*states: str) -> ColumnElement[bool]:
    """Return whether a row is in one of the states, none of them `settled`; in words by which SQLite sees that its index helps."""
    return and_(memberships.c.state.in_(states), UNSETTLED)


def _owe_everybody(connection: Connection, audience_id: int, run_id: int) -> None:
    m = memberships.c
    owed_already = m.state.in_([*_DUE, State.SENDING.value])
    told = update(memberships).where(_of(audience_id), m.value.is_not(None), ~owed_already)
    connection.execute(told.values(state=State.OWED.value, attempts=0, reason=None, run_id=run_id))


def _of(audience_id: int) -> Any:
    return memberships.c.audience_id == audience_id


_CHANGE = ("audience_id", "profile_id", "value", "at", "run_id")
_ROW = ("audience_id", "profile_id", "value", "since", "state", "attempts", "run_id")


def _changes(audience_id: int, found: Table, at: datetime, run_id: int) -> Select[Any]:
    instant = literal(at, changes.c.at.type)
    columns = (literal(audience_id), found.c.profile_id, found.c.value, instant, literal(run_id))
    return select(*columns).order_by(found.c.profile_id)


def _recorded(connection: Connection, audience_id: int, found: Table, at: datetime, run_id: int) -> Any:
    since = literal(at, memberships.c.since.type)
    columns = (literal(audience_id), found.c.profile_id, found.c.value, since)
    # A condition that always holds: SQLite cannot parse INSERT … SELECT … ON CONFLICT without one.
    rows = select(*columns, literal(State.OWED.value), literal(0), literal(run_id)).where(true()).order_by(found.c.profile_id)
    statement = upsert(connection, memberships).from_select(list(_ROW), rows)
    return statement.on_conflict_do_update(
        index_elements=[memberships.c.audience_id, memberships.c.profile_id],
        set_={
            "value": statement.excluded.value,
            "since": statement.excluded.since,
            "run_id": statement.excluded.run_id,
            "attempts": 0,
            "reason": None,
            "state": _state_after(statement.excluded.value),
        },
    )


def _state_after(value: Any) -> Any:
    """Return the state of a row whose value has just changed, as an expression."""
    m = memberships.c
    nothing_to_tell = or_(m.accepted.is_not_distinct_from(value), value.is_(None))
    return case(
        # On the way: its answer decides.
        (m.state == State.SENDING.value, m.state),
        # It may have arrived; only the value of now can heal that, and it goes first.
        (and_(m.state == State.UNKNOWN.value, value.is_not(None)), m.state),
        (nothing_to_tell, State.SETTLED.value),
        else_=State.OWED.value,
    )


def due_profiles(connection: Connection, audience_ids: Sequence[int], limit: int, busy: set[int]) -> list[int]:
    """Return up to so many profiles about whom something is owed and nobody is sending: unknown ones first."""
    found: dict[str, set[int]] = {state: set() for state in _DUE}
    for state in _DUE:
        for audience_id in audience_ids:
            statement = (
                select(memberships.c.profile_id)
                .where(_of(audience_id), _is(state))
                .order_by(memberships.c.profile_id)
                .limit(limit + len(busy))
            )
            found[state].update(connection.scalars(statement))
    first, rest = (sorted(found[state] - busy) for state in _DUE)
    return list(dict.fromkeys([*first, *rest]))[:limit]


def waiting(connection: Connection, *, on_the_way: bool = False) -> bool:
    """Whether anything is due, or, if that is asked too, on the way."""
    states = (*_DUE, State.SENDING.value) if on_the_way else _DUE
    probe = select(literal(1)).where(memberships.c.audience_id == audiences.c.id, _is(*states)).exists()
    return connection.execute(select(audiences.c.id).where(probe).limit(1)).first() is not None


def without_users(connection: Connection, profile_ids: Sequence[int], user_ids: frozenset[str]) -> list[int]:
    """Return the profiles that are not one of the given users'."""
    theirs = select(profiles.c.id).where(profiles.c.id.in_(profile_ids), profiles.c.user_id.in_(user_ids))
    left_out = set(connection.scalars(theirs))
    return [id for id in profile_ids if id not in left_out]


def claim(connection: Connection, profile_ids: Sequence[int]) -> list[Update]:
    """Take all that is owed about the given profiles, with the values of this moment."""
    m = memberships.c
    taken = (
        update(memberships)
        .where(m.profile_id.in_(profile_ids), _is(*_DUE), m.value.is_not(None))
        .values(state=State.SENDING.value, sent=m.value, attempts=m.attempts + 1)
        .returning(m.audience_id, m.profile_id, m.value, m.since)
    )
    rows = connection.execute(taken).all()
    users = dict(connection.execute(select(profiles.c.id, profiles.c.user_id).where(profiles.c.id.in_(profile_ids))).all())
    keys = {id: (key, kind) for id, key, kind in connection.execute(select(audiences.c.id, audiences.c.key, audiences.c.kind))}
    return [
        Update(
            audience_id=row.audience_id,
            profile_id=row.profile_id,
            user_id=users[row.profile_id],
            key=keys[row.audience_id][0],
            kind=keys[row.audience_id][1],
            value=row.value,
            since=row.since,
        )
        for row in sorted(rows, key=lambda row: (row.profile_id, row.audience_id))
    ]


def settle_accepted(connection: Connection, updates: Sequence[Update], now: datetime) -> None:
    """Record that Moesif took these."""
    m = memberships.c
    taken = update(memberships).values(
        accepted=m.sent,
        accepted_at=now,
        sent=None,
        attempts=0,
        reason=None,
        # The value changed while the old one was on the way: owed again.
        state=_answered(case((m.value.is_distinct_from(m.sent), State.OWED.value), else_=State.SETTLED.value)),
    )
    runs.count_settled(connection, _settled_as(connection, State.SETTLED, taken, updates), {}, now)


def settle_rejected(connection: Connection, updates: Sequence[Update], reason: str, now: datetime) -> None:
    """Record that Moesif will never take these; `retry` makes them owed again, and so does a new value."""
    m = memberships.c
    state = case((m.value.is_distinct_from(m.sent), State.OWED.value), else_=State.REJECTED.value)
    refused = update(memberships).values(state=_answered(state), sent=None, reason=reason)
    runs.count_settled(connection, {}, _settled_as(connection, State.REJECTED, refused, updates), now)


def settle_back(connection: Connection, updates: Sequence[Update], state: State, reason: str) -> None:
    """Put back what was on the way: owed, or unknown where it may have arrived."""
    values = {"state": _answered(literal(state.value)), "reason": reason, "sent": None}
    doubt = _IN_DOUBT if state is State.UNKNOWN else {}
    for rows in _on_the_way(updates):
        connection.execute(update(memberships).where(rows).values(**values, **doubt))


def put_back(connection: Connection, updates: Sequence[Update]) -> None:
    """Owe again what was claimed and never sent: that was no attempt."""
    m = memberships.c
    # What was unknown before it was claimed has no accepted value, and so is told whatever happens.
    values = {"state": _answered(literal(State.OWED.value)), "sent": None, "attempts": m.attempts - 1}
    for rows in _on_the_way(updates):
        connection.execute(update(memberships).where(rows).values(**values))


def abandon(connection: Connection, reason: str) -> None:
    """Make unknown whatever a sender that is no more had on the way."""
    left = update(memberships).where(memberships.c.audience_id.in_(select(audiences.c.id)), _is(State.SENDING.value))
    values = {"state": _answered(literal(State.UNKNOWN.value)), "reason": reason, "sent": None}
    connection.execute(left.values(**values, **_IN_DOUBT))


_IN_DOUBT: Final[dict[str, Any]] = {"accepted": None, "accepted_at": None}
"""What Moesif holds is not known, so that no value is one that it need not be told."""


def _answered(state: ColumnElement[str]) -> ColumnElement[str]:
    """Return the state of a row after an answer: where there is no value any more there is nothing to tell."""
    return case((memberships.c.value.is_(None), State.SETTLED.value), else_=state)


def _settled_as(connection: Connection, state: State, statement: Any, updates: Sequence[Update]) -> Mapping[int, int]:
    """Update rows, and count those that got into a state by the run that answers for them."""
    m = memberships.c
    found: Counter[int] = Counter()
    for rows in _on_the_way(updates):
        settled = connection.execute(statement.where(rows).returning(m.run_id, m.state, m.value))
        # Nobody answers for a row without a value.
        found.update(row.run_id for row in settled if row.state == state.value and row.value is not None)
    return found


def _on_the_way(updates: Sequence[Update]) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that together are true of the rows of the given updates, and of no others about the same users."""
    by_audience: dict[int, list[int]] = {}
    for one in updates:
        by_audience.setdefault(one.audience_id, []).append(one.profile_id)
    for audience_id, profile_ids in sorted(by_audience.items()):
        yield and_(_of(audience_id), memberships.c.profile_id.in_(sorted(profile_ids)), _is(State.SENDING.value))
