"""Retry: owe again what Moesif refused, forwarded calls and memberships alike.

A run's counts stay balanced: a membership that is retried is answered for by the latest run of its audience, which delivers again;
an earlier run to which it belonged holds it from then on, as it does whatever it left to a later one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true, update

from sync.delivery import State
from sync.membership import Outcome
from sync.store import audiences, queue
from sync.store.schema import deliveries, memberships, runs

LedgerId: TypeAlias = tuple[int, int]
"""Audience and profile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which of the rejected; every condition that is given must hold, and without any it is all of them."""

    calls: tuple[int, ...] | None = None
    """Ids of queued calls; None does not choose by id."""
    call_ranges: tuple[tuple[int, int], ...] = ()
    """Of ids as well, both ends included, in either order."""
    memberships: tuple[LedgerId, ...] | None = None
    reason: str | None = None
    """A part of the reason, in capitals or not."""
    since: datetime | None = None
    """By when they were queued, or their run started; this instant included."""
    until: datetime | None = None
    """This instant not included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried:
    """How many are owed again."""

    calls: int
    memberships: int


def retry(connection: Connection, selection: Selection) -> Retried:
    """Owe rejected rows again. What is in another state stays as it is."""
    return Retried(
        calls=queue.retry(connection, and_(true(), *_of_calls(selection))),
        memberships=sum(_retry_of_run(connection, *pair, selection) for pair in _runs_concerned(connection, selection)),
    )


def _runs_concerned(connection: Connection, selection: Selection) -> list[tuple[int, int]]:
    """Return (audience, run) of the memberships that are chosen, each once."""
    pairs = select(memberships.c.audience_id, memberships.c.run_id).where(*_of_memberships(selection)).distinct()
    return sorted((row.audience_id, row.run_id) for row in connection.execute(pairs))


def _retry_of_run(connection: Connection, audience_id: int, run_id: int, selection: Selection) -> int:
    # So that no compute opens a new run in between.
    audiences.locked(connection, audience_id)
    answering = _answering(connection, audience_id)
    chosen = (memberships.c.audience_id == audience_id, memberships.c.run_id == run_id, *_of_memberships(selection))
    again = {"state": State.OWED.value, "attempts": 0, "reason": None, "run_id": answering}
    count = connection.execute(update(memberships).where(*chosen).values(again)).rowcount
    _add(connection, run_id, rejected=-count)
    if answering != run_id:
        _add(connection, run_id, held=count)
        _add(connection, answering, owed=count)
    reopened = {"outcome": Outcome.DELIVERING.value, "ended_at": None}
    connection.execute(update(runs).where(runs.c.id == answering).values(reopened))
    return count


def _answering(connection: Connection, audience_id: int) -> int:
    """Return the latest run that changed anything: it answers for what is owed."""
    stopped = runs.c.outcome.in_([Outcome.GUARDED.value, Outcome.FAILED.value])
    latest = select(func.max(runs.c.id)).where(runs.c.audience_id == audience_id, ~stopped)
    return int(connection.scalars(latest).one())


def _add(connection: Connection, run_id: int, **counts: int) -> None:
    more: dict[str, Any] = {name: runs.c[name] + count for name, count in counts.items()}
    connection.execute(update(runs).where(runs.c.id == run_id).values(more))


def _of_calls(selection: Selection) -> list[ColumnElement[bool]]:
    conditions = [*_for_a_reason(deliveries.c.reason, selection), *_between(deliveries.c.created_at, selection)]
    if selection.calls is not None:
        within = (deliveries.c.id.between(min(ends), max(ends)) for ends in selection.call_ranges)
        conditions.append(or_(deliveries.c.id.in_(selection.calls), *within))
    return conditions


def _of_memberships(selection: Selection) -> list[ColumnElement[bool]]:
    conditions = [memberships.c.state == State.REJECTED.value, *_for_a_reason(memberships.c.reason, selection)]
    if started := _between(runs.c.started_at, selection):
        conditions.append(memberships.c.run_id.in_(select(runs.c.id).where(*started)))
    if selection.memberships is not None:
        m = memberships.c
        named = [and_(m.audience_id == audience, m.profile_id == profile) for audience, profile in selection.memberships]
        conditions.append(or_(~true(), *named))
    return conditions


def _for_a_reason(column: Any, selection: Selection) -> list[ColumnElement[bool]]:
    return [] if selection.reason is None else [func.lower(column).contains(selection.reason.lower(), autoescape=True)]


def _between(column: Any, selection: Selection) -> list[ColumnElement[bool]]:
    after = [] if selection.since is None else [column >= selection.since]
    return after + ([] if selection.until is None else [column < selection.until])
