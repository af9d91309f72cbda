"""The debts of the ledger: who is due, what is taken to be sent, and what became of it.

What is sent is always the value of the moment; a claim (`sync.store.ledger_claims`) remembers it while its fate is open, so that a
value that changes meanwhile is noticed when the answer comes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
import sqlalchemy
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)

from sync.delivery import State
from sync.store import ledger_claims, runs
from sync.store.dialect import DEALS, in_shares
from sync.store.leases import Lease
from sync.store.ledger_claims import CLAIMS, Claim, Same
from sync.store.listed import IDS, among, one_of, values
from sync.store.prepared import Prepared, told
from sync.store.schema import UNSETTLED, audiences, memberships, profiles
from sync.store.wanted import Wanted

_DUE = (State.UNKNOWN.value, State.OWED.value)


class Update(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One value that is to be told about one user. A struct, since there is one for every user of a first push."""

    claim: int
    """The id of the claim that it is in."""
    audience_id: int
    profile_id: int
    user_id: str
    key: str
    kind: str
    value: str
    """JSON."""


def due_profiles(connection: Connection, wanted: Wanted) -> list[int]:
    """Return the next profiles about whom something is owed and nothing is on the way: unknown ones first."""
    places = wanted.places
    first, rest = _due(connection, wanted, after=places.ledger)
    if places.ledger and len(first) + len(rest) < wanted.limit:
        first, rest = _due(connection, wanted, after=0)
    # Whoever is unknown is among the owed, too, where two audiences owe something.
    due = list(dict.fromkeys([*first, *rest]))[: wanted.limit]
    if len(due) < wanted.limit:
        places.ledger = 0
    elif rest and due[-1] in rest:
        places.ledger = due[-1]
    return due


def _due(connection: Connection, wanted: Wanted, *, after: int) -> tuple[list[int], list[int]]:
    """Return profiles about whom something is unknown, and those about whom something is owed, each in order."""
    found: dict[str, set[int]] = {state: set() for state in _DUE}
    told = {"after": after, "most": wanted.limit}
    for audience_id, state in _owing(connection, after):
        statement = _next(State(state), wanted.shares, connection.dialect.name)
        found[state].update([profile_id for (profile_id,) in statement.rows(connection, audience=audience_id, **told)])
    return sorted(found[State.UNKNOWN.value]), sorted(found[State.OWED.value])


@lru_cache(DEALS)
def _next(state: State, shares: frozenset[int] | None, database: str) -> Prepared:
    """Return the statement for the next profiles about whom an audience owes something, but for whom something is on the way."""
    m = memberships.c
    after = told("after", BigInteger()) if state is State.OWED else None
    on_the_way = ledger_claims.profiles_of(after=after)
    one = select(m.profile_id).where(m.audience_id == _AUDIENCE, _is(state.value), m.profile_id.not_in(on_the_way))
    if after is not None:
        one = one.where(m.profile_id > after)
    if shares is not None:
        one = one.join(profiles, profiles.c.id == m.profile_id).where(in_shares(database, profiles.c.user_id, shares))
    return Prepared(one.order_by(m.profile_id).limit(told("most", Integer())))


def _owing(connection: Connection, after: int) -> list[tuple[int, str]]:
    """Return (audience, state) for which something is due: most have nothing, and are not worth a statement each.

    What is owed is looked for after a profile: before it PostgreSQL would pass over all that has just been sent, once more for each
    claim, which stays in the index until a vacuum.
    """
    return [(row.id, row.state) for row in _OWING.execute(connection, after=after)]


def waiting(connection: Connection, *, on_the_way: bool = False) -> bool:
    """Whether anything is due, or, if that is asked too, on the way."""
    return (_ANY_LEFT if on_the_way else _ANY_DUE).execute(connection).first() is not None


def without_users(connection: Connection, profile_ids: Sequence[int], user_ids: Collection[str]) -> list[int]:
    """Return the profiles that are not one of the given users'."""
    theirs = select(profiles.c.id).where(among(profiles.c.user_id, user_ids))
    left_out = set(connection.scalars(theirs))
    return [id for id in profile_ids if id not in left_out]


def claim(connection: Connection, profile_ids: Sequence[int], lease: Lease | None = None, portion: int = 100) -> list[Update]:
    """Take all that is owed about the given profiles, with the values of this moment, portion by portion in the order given.

    It is taken by a right of which this lease is one. A claim is of a portion of the profiles: of those that will likely be in one
    request, since what is settled together is cheapest.
    """
    alike = sorted(_owed(connection, profile_ids, portion).items())
    told = [Same(audience_id, value, [id for id, _ in theirs]) for (_, audience_id, value), theirs in alike]
    made = ledger_claims.make(connection, told, lease)
    keys = {row.id: (row.key, row.kind) for row in _KEYS.execute(connection)}
    return [
        Update(claim=id, audience_id=of, profile_id=profile_id, user_id=user_id, key=key, kind=kind, value=value)
        for id, ((_, of, value), theirs) in zip(made, alike, strict=True)
        for key, kind in [keys[of]]
        for profile_id, user_id in theirs
    ]


def _owed(connection: Connection, profile_ids: Sequence[int], portion: int) -> Mapping[tuple[int, int, str], list[tuple[int, str]]]:
    """Return (profile, user id) of those of the profiles that are owed the same, by (number of the portion, audience, value)."""
    portions, listed = {id: number // portion for number, id in enumerate(profile_ids)}, values(profile_ids)
    users = dict(_USERS.rows(connection, **{IDS: listed}))
    alike: dict[tuple[int, int, str], list[tuple[int, str]]] = defaultdict(list)
    for audience_id in {id for id, _ in _owing(connection, min(profile_ids, default=0) - 1)}:
        # All at once: row by row, SQLite's driver waits its turn among the threads for each.
        for profile_id, value in sorted(_OWED_TO.rows(connection, audience=audience_id, **{IDS: listed})):
            # No foreign key holds the ledger to the profiles, and nobody can be told of without an id.
            if profile_id in users:
                alike[portions[profile_id], audience_id, value].append((profile_id, users[profile_id]))
    return alike


def settle_accepted(connection: Connection, updates: Sequence[Update], now: datetime) -> None:
    """Record that Moesif took these."""
    runs.count_settled(connection, _settled(connection, _settling(_ACCEPTED, connection.dialect.name), updates, now=now), {}, now)


def settle_rejected(connection: Connection, updates: Sequence[Update], reason: str, now: datetime) -> None:
    """Record that Moesif will never take these; `retry` makes them owed again, and so does a new value."""
    settling = _settling(_REJECTED, connection.dialect.name)
    runs.count_settled(connection, {}, _settled(connection, settling, updates, reason=reason), now)


def settle_back(connection: Connection, updates: Sequence[Update], state: State, reason: str) -> None:
    """Put back what was on the way: owed, or unknown where it may have arrived."""
    several = _claims_of(connection, updates)
    _change(connection, _DOUBTED if state is State.UNKNOWN else _OWED, several, reason=reason)


def put_back(connection: Connection, updates: Sequence[Update]) -> None:
    """Owe again what was claimed and never sent: that was no attempt."""
    ledger_claims.end(connection, _claims_of(connection, updates))


def abandon(connection: Connection, reason: str, now: datetime) -> None:
    """Make unknown whatever a sender that is no more had on the way: one that has lost its right, which it does as a whole."""
    _change(connection, _DOUBTED, ledger_claims.dead(connection, now), reason=reason)


def _settled(connection: Connection, settling: Sequence[Prepared], updates: Sequence[Update], **told: Any) -> Mapping[int, int]:
    """Update rows, and count those that are settled by it, by the run that answers for them."""
    several = _claims_of(connection, updates)
    found: Counter[int] = Counter()
    for same in _told_alike(several):
        for statement in settling:
            counted = statement.execute(connection, **same, **told)
            found.update(dict(map(tuple, counted.all())) if counted.returns_rows else {})
    ledger_claims.end(connection, several)
    return found


@lru_cache
def _settling(changed: sqlalchemy.Update, database: str) -> tuple[Prepared, ...]:
    """Return the statements that settle rows and count them by run, which only PostgreSQL does in one.

    SQLite counts before: afterwards nobody can tell which they were.
    """
    m = memberships.c
    # A value that has changed meanwhile is owed again, and nobody answers for a row without one.
    if database == "sqlite":
        theirs = (m.audience_id == _AUDIENCE, ledger_claims.in_those(), m.value == _SENT)
        return Prepared(select(m.run_id, func.count()).where(*theirs).group_by(m.run_id)), Prepared(changed)
    settled = changed.returning(m.run_id, (m.value == _SENT).label("is_so")).cte("settled")
    return (Prepared(select(settled.c.run_id, func.count()).where(settled.c.is_so).group_by(settled.c.run_id)),)


def _change(connection: Connection, statement: Prepared, several: Sequence[Claim], **told: Any) -> None:
    """Update the rows of claims, which end with it."""
    if not several:
        return
    for same in _told_alike(several):
        statement.execute(connection, **same, **told)
    ledger_claims.end(connection, several)


def _claims_of(connection: Connection, updates: Iterable[Update]) -> list[Claim]:
    return ledger_claims.whole(connection, [(one.claim, one.profile_id) for one in updates])


def _told_alike(several: Iterable[Claim]) -> Iterator[dict[str, Any]]:
    """Yield the parameters for the rows of claims, of one audience and value at a time."""
    alike: dict[tuple[int, str], list[int]] = {}
    for one in several:
        alike.setdefault((one.audience_id, one.sent), []).append(one.id)
    for (audience_id, sent), ids in sorted(alike.items()):
        yield {"audience": audience_id, "sent": sent, CLAIMS: values(ids)}


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
    return _answered(case((memberships.c.value != _SENT, State.OWED.value), else_=state.value))


def owing(*conditions: ColumnElement[bool]) -> Select[tuple[int]]:
    """Select the audiences of which anything is owed, be it on the way or not, to which more may apply."""
    return select(audiences.c.id).where(or_(*(_has_one(State(state), *conditions) for state in _DUE)))


def _any_of(state: State, *conditions: ColumnElement[bool]) -> Select[Any]:
    """Select (audience, state) of the audiences of which a row is in a state."""
    return select(audiences.c.id, literal(state.value).label("state")).where(_has_one(state, *conditions))


def _has_one(state: State, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return whether an audience, of the statement around, has a row in a state.

    Asked for the first by the index of what is owed. Of EXISTS PostgreSQL makes a join: where most was owed when it last looked
    at the whole, it would go through all that has been settled since, of every audience.
    """
    m = memberships.c
    rows = select(m.profile_id).where(m.audience_id == audiences.c.id, _is(state.value), *conditions)
    return rows.order_by(m.profile_id).limit(1).scalar_subquery().is_not(None)


_OWING: Final = Prepared(
    union_all(_any_of(State.UNKNOWN), _any_of(State.OWED, memberships.c.profile_id > told("after", BigInteger())))
)
_ANY_DUE: Final = Prepared(owing(memberships.c.profile_id.not_in(ledger_claims.profiles_of())).limit(1))
_ANY_LEFT: Final = Prepared(owing().limit(1))

_AUDIENCE: Final = told("audience", BigInteger())
_REASON: Final = told("reason", Text())
_SENT: Final = told("sent", Text())

_KEYS: Final = Prepared(select(audiences.c.id, audiences.c.key, audiences.c.kind))

# Not joined: PostgreSQL would look each user up by a search of its own, which takes five times as long as all of them in order.
_USERS: Final = Prepared(select(profiles.c.id, profiles.c.user_id).where(one_of(profiles.c.id, IDS)))
_OWED_TO: Final = Prepared(
    select(memberships.c.profile_id, memberships.c.value).where(
        memberships.c.audience_id == _AUDIENCE,
        one_of(memberships.c.profile_id, IDS),
        _is(*_DUE),
        memberships.c.value.is_not(None),
    )
)

_ON_THE_WAY: Final = update(memberships).where(memberships.c.audience_id == _AUDIENCE, ledger_claims.in_those())
"""The rows of some claims, which must be of one audience and value. None of them is rejected: what is on the way stays owed."""

_ACCEPTED: Final = _ON_THE_WAY.values(
    accepted=_SENT,
    accepted_at=told("now", memberships.c.accepted_at.type),
    attempts=0,
    reason=None,
    state=_unless_changed(State.SETTLED),
)
_ATTEMPTED: Final[dict[str, Any]] = {"attempts": memberships.c.attempts + 1, "reason": _REASON}

_REJECTED: Final = _ON_THE_WAY.values(state=_unless_changed(State.REJECTED), **_ATTEMPTED)

# What was unknown before it was claimed still is, since this time it was not taken: it goes first again.
_AS_BEFORE: Final = case((memberships.c.state == State.UNKNOWN.value, State.UNKNOWN.value), else_=State.OWED.value)
_OWED: Final = Prepared(_ON_THE_WAY.values(state=_answered(_AS_BEFORE), **_ATTEMPTED))
# What Moesif holds is not known, so that no value is one that it need not be told.
_DOUBTED: Final = Prepared(
    _ON_THE_WAY.values(state=_answered(literal(State.UNKNOWN.value)), accepted=None, accepted_at=None, **_ATTEMPTED)
)
