"""The ledger: per audience and user the value that is true now, and the value that Moesif last accepted.

A row is owed while the two differ. `false` stays as a tombstone. What a run found, in comparison with the ledger, is a `Difference`
(`sync.store.difference`); `apply` records it. What becomes of a row that is owed is in `sync.store.debts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Connection,
    FromClause,
    Insert,
    Select,
    and_,
    case,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)

from sync.delivery import State
from sync.membership import IN
from sync.store import dates, ledger_claims, prepared, runs
from sync.store.audiences import Stored, about
from sync.store.bulk import Question
from sync.store.dialect import in_no_hurry, upsert
from sync.store.difference import Difference, present
from sync.store.listed import LISTED_PAIRS
from sync.store.prepared import Prepared
from sync.store.runs import opened_in
from sync.store.schema import UNSETTLED, audiences, changes, memberships, profiles

_DUE = (State.UNKNOWN.value, State.OWED.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Debt:
    """What a run has to tell."""

    owed: int
    unknown: int
    """How much of it is on the way already, with an answer that is not known."""

    def plus(self, other: Debt) -> Debt:
        return Debt(owed=self.owed + other.owed, unknown=self.unknown + other.unknown)


NOTHING: Final = Debt(owed=0, unknown=0)


def apply(
    connection: Connection,
    audience: Stored,
    found: Difference,
    at: datetime,
    started: datetime,
    now: datetime,
    *,
    take_over: bool = True,
    resync: bool = False,
) -> tuple[int, Debt]:
    """Record a difference: the run, changes and ledger; return the run's id, and what it has to tell.

    How many are in now is written down with the audience, by who calls this. What `record` says of `take_over` and `resync`
    holds here, too.
    """
    run_id = opened_in(opening(audience, found, at, started).rows(connection))
    return run_id, record(connection, audience, found, at, now, run_id, take_over=take_over, resync=resync)


def opening(audience: Stored, found: Difference, at: datetime, started: datetime) -> Question:
    """Return what to say to begin the run that records a difference; the answer goes to `opened_in`, and that to `record`."""
    # As a rule all that has changed is to be told; where that is not so, it is said when it is recorded.
    return runs.opening(audience.id, at, started, **found.counts(audience), owed=found.changed)


def record(
    connection: Connection,
    audience: Stored,
    found: Difference,
    at: datetime,
    now: datetime,
    run_id: int,
    *,
    take_over: bool,
    resync: bool,
    answers: Sequence[Any] = (),
) -> Debt:
    """Record changes and ledger for a run that has been begun; return what it has to tell.

    `answers` are those to what `recording` gave, where that was asked already: who has changed is recorded then.

    With `take_over` earlier runs end, and this one answers for whatever they left; without it they go on, and give up only the
    users about whom this run has something newer to tell, so that its cost follows what changed. With `resync`, which takes over,
    all that is true is owed again, and `false` to everybody who was ever in: that heals a destination that lost or kept too much.
    """
    if take_over:
        runs.supersede(connection, audience.id, run_id, now)
    if found.rows is None:
        told = NOTHING
    elif answers:
        told = _taken_over(connection, audience, found, found.rows, run_id, now, *_before_and_after(*answers))
    elif found.before == 0 and _ANY.execute(connection, audience=audience.id).first() is None:
        told = _record_first(connection, audience, found, found.rows, at, run_id)
    else:
        told = _record(connection, audience, found, found.rows, at, run_id, now)
    if resync:
        _owe_everybody(connection, audience.id, run_id)
    left = debt(connection, audience.id) if take_over else told
    if left.owed != found.changed:
        runs.write_counts(connection, run_id, owed=left.owed)
    if not left.owed:
        runs.close_if_settled(connection, [run_id], now)
    return left


def _record_first(connection: Connection, audience: Stored, found: Difference, rows: FromClause, at: datetime, run_id: int) -> Debt:
    """Record who is in an audience of which the ledger has nobody yet."""
    statements = _recording(rows, connection.dialect.name)
    told = {**found.told, "audience": audience.id, "instant": at, "run": run_id}
    statements.changes.execute(connection, **told)
    statements.first_rows.execute(connection, **told)
    if not audience.is_audience:
        dates.replace_values(connection, audience.key, rows, found.told)
    return Debt(owed=found.changed, unknown=0)


def _record(
    connection: Connection, audience: Stored, found: Difference, rows: FromClause, at: datetime, run_id: int, now: datetime
) -> Debt:
    """Record who changed, and return what is to be told about them."""
    statements = _recording(rows, connection.dialect.name)
    told = {**found.told, "audience": audience.id, "instant": at, "run": run_id}
    return _taken_over(connection, audience, found, rows, run_id, now, *statements.record(connection, told))


def recording(connection: Connection, audience: Stored, found: Difference, at: datetime) -> list[Question]:
    """Return what can be told with `opening`, and right after it, to record who changed; the answers go to `record`.

    That is nothing where rows stand in a table, or where it takes several statements.
    """
    at_once = None if found.rows is not LISTED_PAIRS else _recording(LISTED_PAIRS, connection.dialect.name).at_once
    return [] if at_once is None else [Question(at_once, {**found.told, "audience": audience.id, "instant": at})]


def _taken_over(
    connection: Connection,
    audience: Stored,
    found: Difference,
    rows: FromClause,
    run_id: int,
    now: datetime,
    before: Iterable[Any],
    after: Iterable[Any],
) -> Debt:
    """Let a run answer for those whose rows have been recorded; return what it is to tell about them."""
    if not audience.is_audience:
        dates.replace_values(connection, audience.key, rows, found.told)
    runs.relieve(connection, {id: debt.owed for id, debt in _by_run(before).items() if id != run_id}, now)
    # All of them are this run's now.
    return _by_run(after).get(run_id, NOTHING)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Recording:
    """The statements that record the rows of a difference."""

    answering: Prepared
    """What is still to be told about their users, as (run that answers for it, state, count)."""
    changes: Prepared
    first_rows: Prepared
    """Of an audience that has none yet: to look for each beforehand takes as long as to write it."""
    rows: Prepared
    at_once: Prepared | None
    """All of that, where a database can, with what is still to be told before, as `answering` has it and marked so, and after. The
    run is the one that was begun last over the connection."""

    def record(self, connection: Connection, told: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
        """Record the rows, and return what was and what is still to be told about their users."""
        if self.at_once is not None:
            return _before_and_after(self.at_once.rows(connection, **told))
        earlier = self.answering.rows(connection, **told)
        self.changes.execute(connection, **told)
        self.rows.execute(connection, **told)
        return earlier, self.answering.rows(connection, **told)


@lru_cache
def _recording(rows: FromClause, database: str) -> _Recording:
    """Return the statements for a table of rows; there are few such tables, and each is always the same."""
    return _Recording(
        answering=Prepared(_answering(rows)),
        changes=Prepared(_changes(rows, _RUN)),
        first_rows=Prepared(insert(memberships).from_select(list(_ROW), _owed(rows, _RUN))),
        rows=Prepared(_recorded(rows, _RUN, database)),
        at_once=None if database == "sqlite" else Prepared(_at_once(rows, database)),
    )


def _answering(rows: FromClause) -> Select[Any]:
    return runs.answering(_AUDIENCE, select(rows.c.profile_id))


def _at_once(rows: FromClause, database: str) -> CompoundSelect[Any]:
    """Write changes and rows in one statement, all of which sees what was there before it, but for what it gives back itself."""
    m, answering, changed = memberships.c, _answering(rows), _changes(rows, runs.BEGUN_LAST)
    written = _recorded(rows, runs.BEGUN_LAST, database).returning(m.run_id, m.state, m.value).cte("written").c
    after = select(false(), written.run_id, written.state, func.count()).group_by(written.run_id, written.state)
    due = (written.state.in_(_DUE), written.value.is_not(None))
    return union_all(select(true(), *answering.subquery().c), after.where(*due)).add_cte(changed.cte("changed"))


def _before_and_after(rows: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    before, after = list[Any](), list[Any]()
    for is_before, *row in rows:
        (before if is_before else after).append(row)
    return before, after


def _by_run(rows: Iterable[Any]) -> dict[int, Debt]:
    found: dict[int, Debt] = {}
    for run_id, state, count in rows:
        unknown = count if state == State.UNKNOWN.value else 0
        found[run_id] = found.get(run_id, NOTHING).plus(Debt(owed=count, unknown=unknown))
    return found


def preview(connection: Connection, found: Select[Any], sample: int) -> tuple[int, tuple[str, ...]]:
    """Return how many profiles a query gives, and the first user ids."""
    members_found = found.subquery()
    size = connection.scalars(select(func.count()).select_from(members_found)).one()
    users = select(profiles.c.user_id).join(members_found, members_found.c.profile_id == profiles.c.id)
    return size, tuple(connection.scalars(users.order_by(profiles.c.id).limit(sample)))


def debt(connection: Connection, audience_id: int) -> Debt:
    """Count the rows of an audience that are still to be told, what is on the way included."""
    waiting = and_(_is(*_DUE), memberships.c.value.is_not(None))
    unknown = func.count(case((memberships.c.state == State.UNKNOWN.value, 1)))
    statement = select(func.count(), unknown).select_from(memberships).where(memberships.c.audience_id == audience_id, waiting)
    row = connection.execute(statement).one()
    return Debt(owed=row[0], unknown=row[1])


def owed_after(connection: Connection, audience: Stored, found: Difference) -> tuple[int, int]:
    """Count what would have to be told if a difference were recorded: in all, and what is owed already and has not changed."""
    m = memberships.c
    waiting = and_(_of(audience.id), _is(*_DUE), m.value.is_not(None))
    if found.rows is None:
        left = connection.scalars(select(func.count()).select_from(memberships).where(waiting)).one()
        return left, left
    same_user = and_(_of(audience.id), m.profile_id == found.rows.c.profile_id)
    on_its_way = and_(or_(m.state == State.UNKNOWN.value, ledger_claims.is_on_the_way()), found.rows.c.value.is_not(None))
    is_news = and_(found.rows.c.value.is_not(None), m.accepted.is_distinct_from(found.rows.c.value))
    joined = found.rows.outerjoin(memberships, same_user)
    changed = connection.scalars(select(func.count()).select_from(joined).where(or_(on_its_way, is_news)), found.told).one()
    beside = memberships.outerjoin(found.rows, m.profile_id == found.rows.c.profile_id)
    unchanged = select(func.count()).select_from(beside).where(waiting, found.rows.c.profile_id.is_(None))
    resent = connection.scalars(unchanged, found.told).one()
    return changed + resent, resent


def states(connection: Connection) -> dict[tuple[str, str], int]:
    """Count what is not settled, by audience key and state."""
    state = ledger_claims.state().label("shown")
    statement = (
        select(audiences.c.key, state, func.count())
        .select_from(memberships)
        .join(audiences, audiences.c.id == memberships.c.audience_id)
        .where(UNSETTLED)
        .group_by(audiences.c.key, state)
    )
    return {(key, state): count for key, state, count in connection.execute(statement)}


def members(connection: Connection, audience: Stored, after: int, limit: int) -> list[tuple[int, str, datetime, str]]:
    """Return the next (profile id, user id, since, value) after a profile id, in the order of those ids."""
    # Said of profiles, too: PostgreSQL, which merges the two, would otherwise go through all profiles before the page.
    here = (memberships.c.profile_id > after, profiles.c.id > after)
    statement = (
        select(memberships.c.profile_id, profiles.c.user_id, memberships.c.since, memberships.c.value)
        .join(profiles, profiles.c.id == memberships.c.profile_id)
        .where(memberships.c.audience_id == audience.id, *here, present(audience))
        .order_by(memberships.c.profile_id)
        .limit(limit)
    )
    return [tuple(row) for row in connection.execute(statement)]


def members_at(connection: Connection, audience: Stored, at: datetime) -> Iterator[tuple[str, datetime, str]]:
    """Yield (user id, since, value) of those who were in at an instant, in the order of profile ids; from the changes alone."""
    in_no_hurry(connection)
    latest = (
        select(changes.c.profile_id, func.max(changes.c.run_id).label("run_id"))
        .where(changes.c.audience_id == audience.id, changes.c.at <= at)
        .group_by(changes.c.profile_id)
        .subquery()
    )
    statement = (
        select(profiles.c.user_id, changes.c.at, changes.c.value)
        .join(latest, and_(latest.c.profile_id == changes.c.profile_id, latest.c.run_id == changes.c.run_id))
        .join(profiles, profiles.c.id == changes.c.profile_id)
        .where(changes.c.audience_id == audience.id)
        .where(changes.c.value == IN if audience.is_audience else changes.c.value.is_not(None))
        .order_by(changes.c.profile_id)
    )
    return (tuple(row) for row in connection.execute(statement).yield_per(1000))


def of_user(connection: Connection, profile_id: int) -> list[Any]:
    """Return what every audience and computed trait says of one user: key, kind, value, since, accepted, state, reason."""
    return _OF_USER.records(connection, profile=profile_id)


def _is(*states: str) -> ColumnElement[bool]:
    """Return whether a row is in one of the states, none of them `settled`; in words by which SQLite sees that its index helps."""
    return and_(memberships.c.state.in_(states), UNSETTLED)


def _owe_everybody(connection: Connection, audience_id: int, run_id: int) -> None:
    m = memberships.c
    owed_already = m.state.in_(_DUE)
    told = update(memberships).where(_of(audience_id), m.value.is_not(None), ~owed_already)
    connection.execute(told.values(state=State.OWED.value, attempts=0, reason=None, run_id=run_id))


def _of(audience_id: int) -> Any:
    return memberships.c.audience_id == audience_id


_CHANGE = ("audience_id", "profile_id", "run_id", "value", "at")
_ROW = ("audience_id", "profile_id", "value", "since", "state", "attempts", "run_id")


_AUDIENCE: Final = prepared.told("audience", BigInteger())
_INSTANT: Final = prepared.told("instant", changes.c.at.type)
_RUN: Final = prepared.told("run", BigInteger())

_M: Final = memberships.c
_OF_USER: Final = Prepared(
    select(audiences.c.key, audiences.c.kind, _M.value, _M.since, _M.accepted, _M.accepted_at, ledger_claims.state().label("state"))
    .add_columns(_M.reason)
    .select_from(memberships)
    .join(audiences, audiences.c.id == _M.audience_id)
    .where(about(memberships, prepared.told("profile", BigInteger())))
    .order_by(audiences.c.key)
)
_ANY: Final = Prepared(select(memberships.c.profile_id).where(memberships.c.audience_id == _AUDIENCE).limit(1))


def _changes(rows: FromClause, run: ColumnElement[int]) -> Insert:
    changed = select(_AUDIENCE, rows.c.profile_id, run, rows.c.value, _INSTANT).order_by(rows.c.profile_id)
    return insert(changes).from_select(list(_CHANGE), changed)


def _owed(found: FromClause, run: ColumnElement[int]) -> Select[Any]:
    columns = (_AUDIENCE, found.c.profile_id, found.c.value, _INSTANT)
    return select(*columns, literal(State.OWED.value), literal(0), run).order_by(found.c.profile_id)


def _recorded(found: FromClause, run: ColumnElement[int], database: str) -> Any:
    # A condition that always holds: SQLite cannot parse INSERT … SELECT … ON CONFLICT without one.
    statement = upsert(database, memberships).from_select(list(_ROW), _owed(found, run).where(true()))
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
    return case(
        (value.is_(None), State.SETTLED.value),
        # It may have arrived; only the value of now can heal that, and it goes first.
        (m.state == State.UNKNOWN.value, m.state),
        # On the way: its answer decides, whatever was accepted before.
        (m.profile_id.in_(ledger_claims.profiles_of(_AUDIENCE)), State.OWED.value),
        (m.accepted.is_not_distinct_from(value), State.SETTLED.value),
        else_=State.OWED.value,
    )
