"""The debts of the ledger: who is due, what is taken to be sent, and what became of it.

What is sent is always the value of the moment; `sent` remembers it while its fate is open, so that a value that changes meanwhile
is noticed when the answer comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Connection, Integer, Text, and_, case, func, literal, select, union_all, update

from sync.delivery import State
from sync.store import runs
from sync.store.claims import Wanted
from sync.store.dialect import among, in_shares
from sync.store.listed import IDS, LISTED_IDS, one_of, values
from sync.store.prepared import Prepared, told
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


def due_profiles(connection: Connection, wanted: Wanted, busy: Collection[int]) -> list[int]:
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


def _due(connection: Connection, wanted: Wanted, busy: Collection[int], *, after: int) -> tuple[list[int], list[int]]:
    """Return profiles about whom something is unknown, and those about whom something is owed, each in order."""
    found: dict[str, set[int]] = {state: set() for state in _DUE}
    told = {"after": after, "most": wanted.limit, IDS: values(busy)}
    for audience_id, state in _owing(connection):
        statement = _next(State(state), wanted.shares, connection.dialect.name)
        found[state].update(row[0] for row in statement.execute(connection, audience=audience_id, **told).all())
    return sorted(found[State.UNKNOWN.value]), sorted(found[State.OWED.value])


@lru_cache
def _next(state: State, shares: frozenset[int] | None, database: str) -> Prepared:
    """Return the statement for the next profiles about whom an audience owes something, but for those who are busy."""
    m = memberships.c
    one = select(m.profile_id).where(m.audience_id == _AUDIENCE, _is(state.value), m.profile_id.not_in(LISTED_IDS))
    if state is State.OWED:
        one = one.where(m.profile_id > told("after", BigInteger()))
    if shares is not None:
        one = one.join(profiles, profiles.c.id == m.profile_id).where(in_shares(database, profiles.c.user_id, shares))
    return Prepared(one.order_by(m.profile_id).limit(told("most", Integer())))


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
    return _any(on_the_way=on_the_way).execute(connection).first() is not None


@cache
def _any(*, on_the_way: bool) -> Prepared:
    states = (*_DUE, State.SENDING.value) if on_the_way else _DUE
    probe = select(literal(1)).where(memberships.c.audience_id == audiences.c.id, _is(*states)).exists()
    return Prepared(select(audiences.c.id).where(probe).limit(1))


def without_users(connection: Connection, profile_ids: Sequence[int], user_ids: Collection[str]) -> list[int]:
    """Return the profiles that are not one of the given users'."""
    theirs = select(profiles.c.id).where(among(connection, profiles.c.user_id, user_ids))
    left_out = set(connection.scalars(theirs))
    return [id for id in profile_ids if id not in left_out]


def claim(connection: Connection, profile_ids: Sequence[int]) -> list[Update]:
    """Take all that is owed about the given profiles, with the values of this moment, in the order of the profiles given."""
    keys = {id: (key, kind) for id, key, kind in connection.execute(select(audiences.c.id, audiences.c.key, audiences.c.kind))}
    rows: dict[int, list[Update]] = {id: [] for id in profile_ids}
    for audience_id in sorted({id for id, _ in _owing(connection)}):
        key, kind = keys[audience_id]
        # All at once: row by row, SQLite's driver waits its turn among the threads for each.
        claimed: Iterable[Any] = _CLAIMED.execute(connection, audience=audience_id, **{IDS: values(profile_ids)}).all()
        for profile_id, value, user_id in claimed:
            update = Update(audience_id=audience_id, profile_id=profile_id, user_id=user_id, key=key, kind=kind, value=value)
            rows[profile_id].append(update)
    return [one for several in rows.values() for one in several]


def settle_accepted(connection: Connection, updates: Sequence[Update], now: datetime) -> None:
    """Record that Moesif took these."""
    runs.count_settled(connection, _settled(connection, _ACCEPTED, updates, now=now), {}, now)


def settle_rejected(connection: Connection, updates: Sequence[Update], reason: str, now: datetime) -> None:
    """Record that Moesif will never take these; `retry` makes them owed again, and so does a new value."""
    runs.count_settled(connection, {}, _settled(connection, _REJECTED, updates, reason=reason), now)


def settle_back(connection: Connection, updates: Sequence[Update], state: State, reason: str) -> None:
    """Put back what was on the way: owed, or unknown where it may have arrived."""
    for audience_id, listed in _listed(updates):
        statement = _DOUBTED if state is State.UNKNOWN else _OWED
        statement.execute(connection, audience=audience_id, reason=reason, **{IDS: listed})


def put_back(connection: Connection, updates: Sequence[Update]) -> None:
    """Owe again what was claimed and never sent: that was no attempt."""
    for audience_id, listed in _listed(updates):
        _UNSENT.execute(connection, audience=audience_id, **{IDS: listed})


def abandon(connection: Connection, reason: str, shares: frozenset[int] | None = None) -> None:
    """Make unknown whatever a sender that is no more had on the way, of some shares or of all."""
    left = update(memberships).where(memberships.c.audience_id.in_(select(audiences.c.id)), _is(State.SENDING.value))
    if shares is not None:
        theirs = in_shares(connection, profiles.c.user_id, shares)
        left = left.where(profiles.c.id == memberships.c.profile_id, theirs)
    changed = {"state": _answered(literal(State.UNKNOWN.value)), "reason": reason, "sent": None}
    connection.execute(left.values(**changed, **_IN_DOUBT))


def _settled(connection: Connection, statement: Prepared, updates: Sequence[Update], **told: Any) -> Mapping[int, int]:
    """Update rows, and count those that are settled by it, by the run that answers for them."""
    found: Counter[int] = Counter()
    for audience_id, listed in _listed(updates):
        told |= {"audience": audience_id, IDS: listed}
        # Before, since nobody can tell afterwards which they were; counted by the database, to which rows are cheap.
        found.update(dict(map(tuple, _TO_SETTLE.execute(connection, **told).all())))
        statement.execute(connection, **told)
    return found


def _listed(updates: Sequence[Update]) -> Iterator[tuple[int, str]]:
    """Yield each audience of some updates with the parameter for their profiles."""
    by_audience: dict[int, list[int]] = {}
    for one in updates:
        by_audience.setdefault(one.audience_id, []).append(one.profile_id)
    for audience_id, profile_ids in sorted(by_audience.items()):
        yield audience_id, values(sorted(profile_ids))


def _is(*states: str) -> ColumnElement[bool]:
    """Return whether a row is in one of the states, none of them `settled`; in words by which SQLite sees that its index helps."""
    return and_(memberships.c.state.in_(states), UNSETTLED)


def _of(audience_id: int) -> ColumnElement[bool]:
    return memberships.c.audience_id == audience_id


def _answered(state: ColumnElement[str]) -> ColumnElement[str]:
    """Return the state of a row after an answer: where there is no value any more there is nothing to tell."""
    return case((memberships.c.value.is_(None), State.SETTLED.value), else_=state)


def _unless_changed(state: State) -> ColumnElement[str]:
    """Return the state of a row after an answer that settles it; where the value changed meanwhile it is owed again."""
    return _answered(case((memberships.c.value.is_distinct_from(memberships.c.sent), State.OWED.value), else_=state.value))


_AUDIENCE: Final = told("audience", BigInteger())
_REASON: Final = told("reason", Text())
_USER: Final = select(profiles.c.user_id).where(profiles.c.id == memberships.c.profile_id).correlate(memberships).scalar_subquery()

_CLAIMED: Final = Prepared(
    update(memberships)
    .where(
        memberships.c.audience_id == _AUDIENCE,
        one_of(memberships.c.profile_id, IDS),
        _is(*_DUE),
        memberships.c.value.is_not(None),
    )
    .values(state=State.SENDING.value, sent=memberships.c.value, attempts=memberships.c.attempts + 1)
    .returning(memberships.c.profile_id, memberships.c.value, _USER)
)

_ON_THE_WAY: Final = update(memberships).where(
    memberships.c.audience_id == _AUDIENCE, one_of(memberships.c.profile_id, IDS), _is(State.SENDING.value)
)
"""The rows of some updates, which must be of one audience; and no others about the same users."""

_SAME: Final = (
    select(memberships.c.run_id)
    .where(memberships.c.audience_id == _AUDIENCE, one_of(memberships.c.profile_id, IDS), _is(State.SENDING.value))
    # A value that has changed meanwhile is owed again, and nobody answers for a row without one.
    .where(memberships.c.value.is_not(None), memberships.c.value.is_not_distinct_from(memberships.c.sent))
    .with_for_update()
    .subquery()
)
_TO_SETTLE: Final = Prepared(select(_SAME.c.run_id, func.count()).group_by(_SAME.c.run_id))
"""Of the rows of some updates, how many are settled by an answer that decides."""

_ACCEPTED: Final = Prepared(
    _ON_THE_WAY.values(
        accepted=memberships.c.sent,
        accepted_at=told("now", memberships.c.accepted_at.type),
        sent=None,
        attempts=0,
        reason=None,
        state=_unless_changed(State.SETTLED),
    )
)
_REJECTED: Final = Prepared(_ON_THE_WAY.values(state=_unless_changed(State.REJECTED), sent=None, reason=_REASON))

_IN_DOUBT: Final[dict[str, Any]] = {"accepted": None, "accepted_at": None}
"""What Moesif holds is not known, so that no value is one that it need not be told."""

_OWED: Final = Prepared(_ON_THE_WAY.values(state=_answered(literal(State.OWED.value)), reason=_REASON, sent=None))
_DOUBTED: Final = Prepared(
    _ON_THE_WAY.values(state=_answered(literal(State.UNKNOWN.value)), reason=_REASON, sent=None, **_IN_DOUBT)
)
# What was unknown before it was claimed has no accepted value, and so is told whatever happens.
_UNSENT: Final = Prepared(
    _ON_THE_WAY.values(state=_answered(literal(State.OWED.value)), sent=None, attempts=memberships.c.attempts - 1)
)
