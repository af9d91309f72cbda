"""Runs: what each compute found, and what became of what it owed.

Accepted and rejected are counted as they happen: settling a row adds to the run that answers for it, in the same transaction. What
is still unknown or held is counted in the ledger itself, so that the sum is a real check; `close` says so if it does not come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, Integer, Row, ScalarSelect, Select, func, insert, select, update

from sync.delivery import State
from sync.membership import Outcome, Run
from sync.store.bulk import Question
from sync.store.listed import one_of, values
from sync.store.prepared import Prepared, told
from sync.store.schema import UNSETTLED, audiences, memberships, runs
from sync.store.types import Instant

_LEFT_OVER = (State.OWED.value, State.UNKNOWN.value)

_GOT_THROUGH: Final = runs.c.outcome.not_in([Outcome.GUARDED.value, Outcome.FAILED.value])

_COUNTS = ("members", "entered", "exited", "changed", "owed", "accepted", "rejected", "unknown", "held")


# Executed in every run, so they are written once.
_LAST: Final = Prepared(select(func.max(runs.c.id)).where(runs.c.audience_id == told("audience", BigInteger())))
BEGUN_LAST: Final = func.currval(func.pg_get_serial_sequence(runs.name, runs.c.id.name), type_=BigInteger())
"""The id of the run that was begun last over the same connection to PostgreSQL, for what is told together with that."""
_FOUND: Final = ("members", "entered", "exited", "changed", "owed")
_OPENED: Final = Prepared(
    insert(runs)
    .values(
        **dict.fromkeys(_COUNTS, 0) | {name: told(f"its_{name}", Integer()) for name in _FOUND},
        audience_id=told("audience", BigInteger()),
        at=told("instant", Instant()),
        started_at=told("began", Instant()),
        outcome=Outcome.DELIVERING.value,
    )
    .returning(runs.c.id)
)
# And for every few requests.
_SETTLED: Final = Prepared(
    update(runs)
    .where(runs.c.id == told("run", BigInteger()))
    .values(
        accepted=runs.c.accepted + told("more_accepted", Integer()),
        rejected=runs.c.rejected + told("more_rejected", Integer()),
        outcome=Outcome.DELIVERING.value,
        ended_at=None,
        unknown=0,
        held=0,
    )
)
# The columns decide, and the ledger is counted only then: doing so for every batch would cost as much as is owed.
_FINISHED: Final = Prepared(
    select(runs.c.id).where(
        one_of(runs.c.id, "runs"), runs.c.outcome == Outcome.DELIVERING.value, runs.c.owed == runs.c.accepted + runs.c.rejected
    )
)


def open_run(connection: Connection, audience_id: int, at: datetime, now: datetime, **found: int) -> int:
    """Begin a run that has found so much, as `opening` has it, and return its id."""
    return opened_in(opening(audience_id, at, now, **found).rows(connection))


def opening(
    audience_id: int,
    at: datetime,
    now: datetime,
    *,
    members: int,
    entered: int = 0,
    exited: int = 0,
    changed: int = 0,
    owed: int = 0,
) -> Question:
    """Return what to say to begin a run; its id is what the answer has for `opened_in`."""
    counts = {"members": members, "entered": entered, "exited": exited, "changed": changed, "owed": owed}
    told = {f"its_{name}": count for name, count in counts.items()}
    return Question(_OPENED, {"audience": audience_id, "instant": at, "began": now, **told})


def opened_in(answer: Sequence[Any]) -> int:
    """Return the id that a run was given."""
    ((run_id,),) = answer
    return int(run_id)


def write_counts(connection: Connection, run_id: int, **counts: int) -> None:
    """Set counts of a run."""
    connection.execute(update(runs).where(runs.c.id == run_id).values(**counts))


def end(
    connection: Connection, run_id: int, outcome: Outcome, now: datetime, error: str | None = None, *, at: datetime | None = None
) -> None:
    """End a run; with `at`, as one of that instant."""
    instant = {} if at is None else {"at": at}
    connection.execute(update(runs).where(runs.c.id == run_id).values(outcome=outcome.value, ended_at=now, error=error, **instant))


def note(connection: Connection, run_id: int, error: str) -> None:
    """Write down what there is to say about a run that has ended."""
    connection.execute(update(runs).where(runs.c.id == run_id).values(error=error))


def count_settled(connection: Connection, accepted: Mapping[int, int], rejected: Mapping[int, int], now: datetime) -> None:
    """Add what was settled to the runs that answer for it, by run id; those that have nothing left end.

    A run that ended while something was held goes on: what it held is being delivered after all.
    """
    for run_id in sorted({*accepted, *rejected}):
        _SETTLED.execute(connection, run=run_id, more_accepted=accepted.get(run_id, 0), more_rejected=rejected.get(run_id, 0))
    close_if_settled(connection, sorted({*accepted, *rejected}), now)


def close_if_settled(connection: Connection, run_ids: Sequence[int], now: datetime) -> None:
    """End those of the runs that have nothing left to tell."""
    for (run_id,) in _FINISHED.rows(connection, runs=values(run_ids)):
        close(connection, run_id, now)


def close(connection: Connection, run_id: int, now: datetime) -> Run:
    """End a run: count in the ledger what it still answers for, and hold its counts to that."""
    # Nothing may be settled between counting what is left and writing it down.
    connection.execute(select(audiences.c.id).where(audiences.c.id == _audience_of(run_id)).with_for_update(key_share=True))
    as_written, left = _run(connection.execute(_runs().where(runs.c.id == run_id)).one()), _left(connection, run_id)
    counted = replace(as_written, unknown=left.get(State.UNKNOWN, 0), held=left.get(State.OWED, 0))
    whole = counted.accepted == counted.owed and counted.rejected == 0
    outcome = (Outcome.DONE if whole else Outcome.INCOMPLETE) if counted.balanced else Outcome.UNBALANCED
    ended = replace(counted, outcome=outcome, ended_at=now, error=None)
    counts = {"unknown": ended.unknown, "held": ended.held}
    connection.execute(update(runs).where(runs.c.id == run_id).values(**counts, outcome=outcome.value, ended_at=now, error=None))
    return ended


def last(connection: Connection, audience_id: int) -> int | None:
    """Return the id of an audience's latest run, None before the first."""
    ((latest,),) = last_wanted(audience_id).rows(connection)
    found: int | None = latest
    return found


def last_wanted(audience_id: int) -> Question:
    """Return what to ask for the id of an audience's latest run; the one row has None before the first."""
    return Question(_LAST, {"audience": audience_id})


def supersede(connection: Connection, audience_id: int, run_id: int, now: datetime) -> None:
    """End every earlier run of an audience, and let a new one answer for what they leave over."""
    earlier = select(runs.c.id).where(
        runs.c.audience_id == audience_id, runs.c.id < run_id, runs.c.outcome == Outcome.DELIVERING.value
    )
    for id in connection.scalars(earlier).all():
        close(connection, id, now)
    m = memberships.c
    theirs = update(memberships).where(m.audience_id == audience_id, m.state.in_(_LEFT_OVER), UNSETTLED)
    connection.execute(theirs.values(run_id=run_id))


def answering(audience_id: ColumnElement[int], profile_ids: Select[Any]) -> Select[Any]:
    """Select what is still to be told about some profiles: the run that answers for it, the state, and how many."""
    m = memberships.c
    # As a list and not as a join, of which SQLite would take everyone in the audience first.
    theirs = (m.audience_id == audience_id, m.profile_id.in_(profile_ids))
    left = (m.state.in_(_LEFT_OVER), UNSETTLED, m.value.is_not(None))
    return select(m.run_id, m.state, func.count()).where(*theirs, *left).group_by(m.run_id, m.state)


def relieve(connection: Connection, counts: Mapping[int, int], now: datetime) -> None:
    """Take from runs, by id, what a newer one answers for now."""
    for run_id, count in sorted(counts.items()):
        connection.execute(update(runs).where(runs.c.id == run_id).values(owed=runs.c.owed - count))
        run = by_id(connection, run_id)
        if run.outcome is not Outcome.DELIVERING:
            # It had ended with these held; its counts are to be true again.
            close(connection, run_id, now)
    if counts:
        close_if_settled(connection, sorted(counts), now)


def by_id(connection: Connection, run_id: int) -> Run:
    """Return one run, with what it still answers for counted in the ledger at this moment."""
    return _counted(connection, _run(connection.execute(_runs().where(runs.c.id == run_id)).one()))


def find(connection: Connection, run_id: int) -> Run | None:
    """Return one run, or None where there is none."""
    row = connection.execute(_runs().where(runs.c.id == run_id)).one_or_none()
    return None if row is None else _counted(connection, _run(row))


def passed_since(connection: Connection, run: Run) -> int | None:
    """Return the id of the first later run of the same audience that got through; None where there is none."""
    later = select(func.min(runs.c.id)).join(audiences, audiences.c.id == runs.c.audience_id)
    found: int | None = connection.scalars(later.where(audiences.c.key == run.audience, runs.c.id > run.id, _GOT_THROUGH)).one()
    return found


def recent(
    connection: Connection, key: str | None, limit: int, *, after: int | None = None, before: int | None = None
) -> tuple[Run, ...]:
    """Return the latest runs, of one audience or of all, newest first; `after` and `before` are ids to keep between."""
    statement = _runs().order_by(runs.c.id.desc()).limit(limit)
    if key is not None:
        statement = statement.where(audiences.c.key == key)
    if after is not None:
        statement = statement.where(runs.c.id > after)
    if before is not None:
        statement = statement.where(runs.c.id < before)
    return tuple(_counted(connection, _run(row)) for row in connection.execute(statement).all())


def size_history(connection: Connection, audience_id: int, limit: int) -> tuple[tuple[datetime, int], ...]:
    """Return (instant, members) of the latest runs, oldest first."""
    statement = select(runs.c.at, runs.c.members).where(runs.c.audience_id == audience_id, _GOT_THROUGH)
    rows = connection.execute(statement.order_by(runs.c.id.desc()).limit(limit)).all()
    return tuple((row.at, row.members) for row in reversed(rows))


def _counted(connection: Connection, run: Run) -> Run:
    """Return a run as it stands: of one that is still delivering, what is neither settled nor unknown is held."""
    if run.outcome is not Outcome.DELIVERING:
        return run
    open_still = run.owed - run.accepted - run.rejected
    unknown = min(_left(connection, run.id).get(State.UNKNOWN, 0), open_still)
    return replace(run, unknown=unknown, held=open_still - unknown)


def _left(connection: Connection, run_id: int) -> dict[str, int]:
    m = memberships.c
    statement = (
        select(m.state, func.count())
        .where(m.audience_id == _audience_of(run_id), m.state.in_(_LEFT_OVER), UNSETTLED, m.run_id == run_id, m.value.is_not(None))
        .group_by(m.state)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}


def _audience_of(run_id: int) -> ScalarSelect[int]:
    return select(runs.c.audience_id).where(runs.c.id == run_id).scalar_subquery()


def _runs() -> Select[Any]:
    return select(runs, audiences.c.key, audiences.c.kind).join(audiences, audiences.c.id == runs.c.audience_id)


def _run(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        audience=row.key,
        kind=row.kind,
        at=row.at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=Outcome(row.outcome),
        members=row.members,
        entered=row.entered,
        exited=row.exited,
        changed=row.changed,
        owed=row.owed,
        accepted=row.accepted,
        rejected=row.rejected,
        unknown=row.unknown,
        held=row.held,
        error=row.error,
    )
