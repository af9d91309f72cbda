"""Which deliveries of the queue are sent next, and in what order: what is unknown, what just came in, a part of what is replayed.

Calls about one subject leave in the order in which they were queued, whatever they are. Live ones, of all subjects, go before
replayed ones, of which a part is taken each time, so that neither waits for the end of the other (docs/decisions/0010).

What is taken is marked row by row, `sending`; a row of the ledger is not, but stands in a claim (`sync.store.ledger_claims`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any, Final, TypeAlias

from sqlalchemy import BigInteger, Connection, Integer, Select, Text, func, literal, select, union_all, update

from sync.call import Call
from sync.delivery import Lane, State
from sync.store.calls import from_row
from sync.store.dialect import DEALS, in_shares
from sync.store.listed import among
from sync.store.prepared import Prepared, told
from sync.store.queue import with_calls
from sync.store.schema import REPLAYED, deliveries
from sync.store.wanted import Wanted

_DUE = (State.UNKNOWN.value, State.OWED.value)

REPLAYED_PART: Final = 4
"""Where there is both, at least one of so many calls that are taken is a replayed one."""

Due: TypeAlias = tuple[int, str]
"""The id of a row, and its subject."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One body of one call on its way."""

    id: int
    lane: Lane
    subject: str
    """The user or company it is about; empty for what somebody unknown did."""
    call: Call
    in_doubt: bool
    """Whether Moesif may have taken it already."""
    replayed: bool
    """Whether it was sent before, and can wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Passed:
    """What must not be taken now."""

    busy: AbstractSet[str]
    """Subjects about whom something is on the way, or waits by itself."""
    on_the_way: AbstractSet[int]
    """The ids of what is in a request: SQLite gives the id of a row that was erased meanwhile to another, whose turn is when that
    request has been answered."""
    held: AbstractSet[int]
    """The ids of what waits by itself."""

    def free(self, due: Iterable[Due]) -> list[Due]:
        others = (row for row in due if row[1] not in self.busy and row[0] not in self.held)
        return list(takewhile(lambda row: row[0] not in self.on_the_way, others))


def take(
    connection: Connection, wanted: Wanted, busy: AbstractSet[str] = frozenset(), on_the_way: AbstractSet[int] = frozenset()
) -> list[Delivery]:
    """Take the next due rows of a lane, unknown ones first, leaving out subjects about whom something is on the way.

    Of one subject nothing is taken past a row that stays behind, so that order is kept; and what is unknown about one goes at once,
    whatever the limit: Moesif may hold the newest of it, which an older one alone would overwrite.
    """
    wanted.places.forget_if_old()
    held = wanted.held
    passed = _Passed(busy=busy | held.subjects if held.subjects else busy, on_the_way=on_the_way, held=held.deliveries)
    live = _due(connection, wanted, passed, replayed=False)
    replayed = _due(connection, wanted, passed, replayed=True)
    unknown = sorted([*live.unknown, *replayed.unknown])
    first = passed.free(unknown)[: wanted.limit]
    owed = [] if len(unknown) >= wanted.limit else _fair(connection, wanted, passed, live.owed, replayed.owed, len(first))
    doubtful = {id for id, _ in first} | _as_doubtful(connection, wanted, {subject for _, subject in first})
    return _taken(connection, wanted, sorted({*owed, *doubtful}), doubtful)


def _taken(connection: Connection, wanted: Wanted, ids: Sequence[int], doubtful: AbstractSet[int]) -> list[Delivery]:
    if not ids:
        return []
    d = deliveries.c
    taken = update(deliveries).where(among(d.id, ids), d.state.in_(_DUE))
    taken_ids = list(connection.scalars(taken.values(state=State.SENDING.value, attempts=d.attempts + 1).returning(d.id)))
    found = connection.execute(with_calls().where(among(d.id, taken_ids)).order_by(d.id)).all()
    return [
        Delivery(
            id=row.delivery_id,
            lane=wanted.lane,
            subject=row.subject,
            call=from_row(row),
            in_doubt=row.delivery_id in doubtful,
            replayed=row.replayed,
        )
        for row in found
    ]


# ── what is due ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What is due next, of live or of replayed calls, oldest first; as many more as there are busy subjects, to be left out."""

    unknown: list[Due]
    owed: list[Due]


def _due(connection: Connection, wanted: Wanted, passed: _Passed, *, replayed: bool) -> _Found:
    place = wanted.places.replayed if replayed else wanted.places.live
    found = _due_after(connection, wanted, passed, place, replayed=replayed)
    if place and len(found.owed) < wanted.limit:
        return _due_after(connection, wanted, passed, 0, replayed=replayed)
    return found


def _due_after(connection: Connection, wanted: Wanted, passed: _Passed, place: int, *, replayed: bool) -> _Found:
    statement = _next(replayed, wanted.shares, connection.dialect.name)
    most = wanted.limit + len(passed.busy) + len(passed.held)
    rows = statement.execute(connection, lane=wanted.lane.value, after=place, most=most).all()
    unknown = [(row.id, row.subject) for row in rows if row.state == State.UNKNOWN.value]
    return _Found(unknown=unknown, owed=[(row.id, row.subject) for row in rows if row.state == State.OWED.value])


@lru_cache(DEALS)
def _next(replayed: bool, shares: frozenset[int] | None, database: str) -> Prepared:
    """Return the statement for the next rows, as (id, subject, state)."""
    d = deliveries.c

    def of(state: State, *conditions: Any) -> Select[Any]:
        theirs = (d.lane == told("lane", Text()), d.state == state.value, d.replayed == literal(replayed), *conditions)
        rows = select(d.id, d.subject, d.state).where(*theirs, in_shares(database, d.subject, shares))
        # Below, since SQLite does not sort and cut a part of a union.
        return select(rows.order_by(d.id).limit(told("most", Integer())).subquery())

    return Prepared(union_all(of(State.UNKNOWN), of(State.OWED, d.id > told("after", BigInteger()))))


def _as_doubtful(connection: Connection, wanted: Wanted, subjects: set[str]) -> set[int]:
    """Return the ids of all that is unknown about some subjects; nothing about actions, which have none."""
    named = sorted(subjects - {""})
    if not named:
        return set()
    d = deliveries.c
    theirs = (d.lane == wanted.lane.value, d.state == State.UNKNOWN.value, among(d.subject, named))
    return set(connection.scalars(select(d.id).where(*theirs)))


# ── live and replayed ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _fair(
    connection: Connection, wanted: Wanted, passed: _Passed, live: Sequence[Due], replayed: Sequence[Due], used: int
) -> set[int]:
    """Return the ids of what is owed that goes now: live calls first, and at least a part for replayed ones.

    A live call takes along what was queued before it of its subject; where that is much, a part of it goes and the call waits.
    """
    room = wanted.limit - used
    first, end = _first(wanted, passed, live, replayed, room)
    last = {subject: id for id, subject in first}
    most = max(1, (room - len(first)) // max(1, len(last)))
    ahead = _ahead(connection, wanted.lane, sorted(last), most + 1) if replayed and wanted.in_order else {}
    held = {subject: ids[most] for subject, ids in ahead.items() if len(ids) > most}
    taken = {id for id, subject in first if id < held.get(subject, end)}
    taken |= {id for subject, ids in ahead.items() for id in ids[:most] if id < last[subject]}
    left = {subject: id for id, subject in reversed(first) if id not in taken}
    rest = passed.free(row for row in replayed if row[0] not in taken and row[0] < left.get(row[1], end))
    taken |= {id for id, _ in rest[: max(0, room - len(taken))]}
    wanted.places.live = _reached(live, taken, wanted, wanted.places.live)
    wanted.places.replayed = _reached(replayed, taken, wanted, wanted.places.replayed)
    return taken


def _first(wanted: Wanted, passed: _Passed, live: Sequence[Due], replayed: Sequence[Due], room: int) -> tuple[Sequence[Due], float]:
    """Return the live calls that may go now, and before which id replayed ones may: no live one before it stays behind.

    Room is left for replayed calls where there are any that may.
    """
    waiting = passed.free(live)
    first = waiting[: room - min(room - 1, -(-room // REPLAYED_PART))]
    end = _first_left(wanted, passed, live, first)
    if any(id < end for id, _ in replayed):
        return first, end
    return waiting[:room], _first_left(wanted, passed, live, waiting[:room])


def _first_left(wanted: Wanted, passed: _Passed, live: Sequence[Due], first: Sequence[Due]) -> float:
    """Return the id of the first live call that stays behind for want of room, or whether there is one is not known."""
    if not wanted.in_order:
        return math.inf
    if len(live) >= wanted.limit + len(passed.busy):
        live = [*live, (live[-1][0] + 1, "")]
    taken = {id for id, _ in first}
    return min((id for id, subject in live if id not in taken and subject not in passed.busy), default=math.inf)


def _ahead(connection: Connection, lane: Lane, subjects: Sequence[str], most: int) -> dict[str, list[int]]:
    """Return the first few of what is replayed of each of some subjects."""
    d = deliveries.c
    place = func.row_number().over(partition_by=d.subject, order_by=d.id).label("place")
    theirs = (d.lane == lane.value, d.state == State.OWED.value, among(d.subject, subjects), REPLAYED)
    numbered = select(d.subject, d.id, place).where(*theirs).subquery()
    found: dict[str, list[int]] = {}
    for subject, id in connection.execute(
        select(numbered.c.subject, numbered.c.id).where(numbered.c.place <= most).order_by(numbered.c.id)
    ):
        found.setdefault(subject, []).append(id)
    return found


def _reached(owed: Sequence[Due], taken: AbstractSet[int], wanted: Wanted, place: int) -> int:
    """Return up to where nothing is left that is due: the last row before the first that was not taken."""
    if len(owed) < wanted.limit:
        return 0
    return max((id for id, _ in takewhile(lambda row: row[0] in taken, owed)), default=place)
