"""The debts of the ledger: who is due, what is taken to be sent, and what became of it.

What is sent is always the value of the moment; `sent` remembers it while its fate is open, so that a value that changes meanwhile
is noticed when the answer comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, literal, select, union_all, update

from sync.delivery import State
from sync.store import runs
from sync.store.dialect import among, in_shares
from sync.store.queue import Wanted
from sync.store.schema import UNSETTLED, audiences, memberships, profiles

_DUE = (State.UNKNOWN.value, State.OWED.value)


class Update(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One value that is to be told about one user. A struct, since there is one for every user of a first push."""

    audience_id: int
    profile_id: int
    user_id: str
    key: str
    kind: str
    value: str
    """JSON."""


def due_profiles(connection: Connection, wanted: Wanted, busy: set[int]) -> list[int]:
    """Return the next profiles about whom something is owed and nobody is sending: unknown ones first."""
    places = wanted.places
    first, rest = _due(connection, wanted, busy, after=places.ledger)
    if places.ledger and len(first) + len(rest) < wanted.limit:
        first, rest = _due(connection, wanted, busy, after=0)
    # Whoever is unknown is among the owed, too, where two audiences owe something.
    due = list(dict.fromkeys([*first, *rest]))[: wanted.limit]
    if len(due) < wanted.limit:
        places.ledger = 0
    elif rest and due[-1] in rest:
        places.ledger = due[-1]
    return due


def _due(connection: Connection, wanted: Wanted, busy: set[int], *, after: int) -> tuple[list[int], list[int]]:
    """Return profiles about whom something is unknown, and those about whom something is owed, each in order."""
    found: dict[str, set[int]] = {state: set() for state in _DUE}
    for audience_id, state in _owing(connection):
        one = select(memberships.c.profile_id).where(_of(audience_id), _is(state)).order_by(memberships.c.profile_id)
        if state == State.OWED.value:
            one = one.where(memberships.c.profile_id > after)
        if wanted.shares is not None:
            one = one.join(profiles, profiles.c.id == memberships.c.profile_id)
            one = one.where(in_shares(connection, profiles.c.user_id, wanted.shares))
        found[state].update(connection.scalars(one.limit(wanted.limit + len(busy))).all())
    return sorted(found[State.UNKNOWN.value] - busy), sorted(found[State.OWED.value] - busy)


def _owing(connection: Connection) -> list[tuple[int, str]]:
    """Return (audience, state) for which something is due: most have nothing, and are not worth a statement each."""
    probes = (
        select(audiences.c.id, literal(state)).where(
            select(literal(1)).where(memberships.c.audience_id == audiences.c.id, _is(state)).exists()
        )
        for state in _DUE
    )
    return [(id, state) for id, state in connection.execute(union_all(*probes))]


def waiting(connection: Connection, *, on_the_way: bool = False) -> bool:
    """Whether anything is due, or, if that is asked too, on the way."""
    states = (*_DUE, State.SENDING.value) if on_the_way else _DUE
    probe = select(literal(1)).where(memberships.c.audience_id == audiences.c.id, _is(*states)).exists()
    return connection.execute(select(audiences.c.id).where(probe).limit(1)).first() is not None


def without_users(connection: Connection, profile_ids: Sequence[int], user_ids: frozenset[str]) -> list[int]:
    """Return the profiles that are not one of the given users'."""
    theirs = select(profiles.c.id).where(among(connection, profiles.c.user_id, user_ids))
    left_out = set(connection.scalars(theirs))
    return [id for id in profile_ids if id not in left_out]


def claim(connection: Connection, profile_ids: Sequence[int]) -> list[Update]:
    """Take all that is owed about the given profiles, with the values of this moment, in the order of the profiles given."""
    m = memberships.c
    taken = (
        update(memberships)
        .where(among(connection, m.profile_id, profile_ids), _is(*_DUE), m.value.is_not(None))
        .values(state=State.SENDING.value, sent=m.value, attempts=m.attempts + 1)
        .returning(m.profile_id, m.audience_id, m.value)
    )
    rows: dict[int, list[tuple[int, str]]] = {}
    for profile_id, audience_id, value in connection.execute(taken).all():
        rows.setdefault(profile_id, []).append((audience_id, value))
    named = select(profiles.c.id, profiles.c.user_id).where(among(connection, profiles.c.id, profile_ids))
    users = dict(connection.execute(named).all())
    keys = {id: (key, kind) for id, key, kind in connection.execute(select(audiences.c.id, audiences.c.key, audiences.c.kind))}
    return [
        Update(
            audience_id=audience_id,
            profile_id=profile_id,
            user_id=users[profile_id],
            key=keys[audience_id][0],
            kind=keys[audience_id][1],
            value=value,
        )
        for profile_id in profile_ids
        for audience_id, value in sorted(rows.get(profile_id, ()))
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
    for rows in _on_the_way(connection, updates):
        connection.execute(update(memberships).where(rows).values(**values, **doubt))


def put_back(connection: Connection, updates: Sequence[Update]) -> None:
    """Owe again what was claimed and never sent: that was no attempt."""
    m = memberships.c
    # What was unknown before it was claimed has no accepted value, and so is told whatever happens.
    values = {"state": _answered(literal(State.OWED.value)), "sent": None, "attempts": m.attempts - 1}
    for rows in _on_the_way(connection, updates):
        connection.execute(update(memberships).where(rows).values(**values))


def abandon(connection: Connection, reason: str, shares: frozenset[int] | None = None) -> None:
    """Make unknown whatever a sender that is no more had on the way, of some shares or of all."""
    left = update(memberships).where(memberships.c.audience_id.in_(select(audiences.c.id)), _is(State.SENDING.value))
    if shares is not None:
        theirs = in_shares(connection, profiles.c.user_id, shares)
        left = left.where(profiles.c.id == memberships.c.profile_id, theirs)
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
    for rows in _on_the_way(connection, updates):
        settled = connection.execute(statement.where(rows).returning(m.run_id, m.state, m.value)).all()
        # Nobody answers for a row without a value.
        found.update(run_id for run_id, settled_as, value in settled if settled_as == state.value and value is not None)
    return found


def _on_the_way(connection: Connection, updates: Sequence[Update]) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that together are true of the rows of the given updates, and of no others about the same users."""
    by_audience: dict[int, list[int]] = {}
    for one in updates:
        by_audience.setdefault(one.audience_id, []).append(one.profile_id)
    for audience_id, profile_ids in sorted(by_audience.items()):
        yield and_(_of(audience_id), among(connection, memberships.c.profile_id, sorted(profile_ids)), _is(State.SENDING.value))


def _is(*states: str) -> ColumnElement[bool]:
    """Return whether a row is in one of the states, none of them `settled`; in words by which SQLite sees that its index helps."""
    return and_(memberships.c.state.in_(states), UNSETTLED)


def _of(audience_id: int) -> ColumnElement[bool]:
    return memberships.c.audience_id == audience_id
