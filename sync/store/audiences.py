"""Definitions as the store has them: audiences and computed traits, those of the past included.

A key, once given, stays with what it was given to; what has gone from the file is retired, never deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Table,
    Text,
    and_,
    insert,
    select,
    update,
)

from sync.audience import Definition, Kind, guard_from_json, guard_to_json, schedule_from_json, schedule_to_json
from sync.errors import NotFound
from sync.store.bulk import Question
from sync.store.listed import any_of
from sync.store.prepared import Prepared, told
from sync.store.schema import audiences
from sync.store.types import Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A definition with what the store knows about it."""

    id: int
    definition: Definition
    version: int
    """Counts the queries the key has had; the first is 1."""
    updated_at: datetime
    retired_at: datetime | None
    computed_at: datetime | None
    """The instant of the last run; None before the first."""
    computed_version: int | None
    slot_at: datetime | None
    """The last slot of the schedule that a scheduler took."""
    slots_skipped: int
    """How many slots ever passed without anybody's looking."""
    members: int
    """How many are in, or have a value."""
    basis: str | None
    """What the last run had seen (`sync.store.basis`)."""
    generation: int
    """Rises with what a run must not overlook that takes place beside it: another run that is recorded, a user who is forgotten."""

    @property
    def key(self) -> str:
        return self.definition.key

    @property
    def is_audience(self) -> bool:
        return self.definition.kind is Kind.AUDIENCE

    @property
    def retired(self) -> bool:
        return self.retired_at is not None


def about(table: Table, profile_id: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether a row of the ledger or of its history is about one user.

    By the key, audience by audience, since another index would be written for every row.
    """
    return and_(any_of(table.c.audience_id, select(audiences.c.id)), table.c.profile_id == profile_id)


def all_stored(connection: Connection) -> tuple[Stored, ...]:
    """Return every definition there ever was, in the order of their keys."""
    return tuple(_stored(row) for row in _ALL.records(connection))


def standing(connection: Connection) -> tuple[Stored, ...]:
    """Return the definitions that are not retired, in the order of their keys."""
    return tuple(stored for stored in all_stored(connection) if not stored.retired)


def by_key(connection: Connection, key: str) -> Stored:
    """Return one definition, retired or not. Raises NotFound."""
    found = _BY_KEY.records(connection, wanted=key)
    if not found:
        raise NotFound(f"there is no audience or computed trait {key!r}; `personas-sync audiences` lists them")
    return _stored(found[0])


def locked(connection: Connection, id: int) -> Stored:
    """Return one definition, and keep every other writer away from it until the transaction ends."""
    (row,) = _LOCKED.records(connection, which=id)
    return _stored(row)


_EACH: Final = select(audiences.c.id).order_by(audiences.c.id)
_HELD: Final = Prepared(_EACH.with_for_update(key_share=True))
_RUNS_HELD_OFF: Final = Prepared(_EACH.with_for_update(key_share=True, read=True))


def hold(connection: Connection) -> None:
    """Let no run record anything until the transaction ends; for whoever writes down answers.

    A run writes its counts and then the rows that it answers for; an answer, the rows and then the counts. At once, the two would
    wait for each other, or one would count what the other has just settled.
    """
    _HELD.rows(connection)


def hold_off_runs(connection: Connection) -> None:
    """Let no run record anything until the transaction ends, while answers may be written down: for whoever claims."""
    _RUNS_HELD_OFF.rows(connection)


def add(connection: Connection, definition: Definition, now: datetime) -> None:
    """Keep a new definition; it has not been computed yet."""
    values = {**_values(definition), "key": definition.key, "kind": definition.kind.value, "version": 1}
    connection.execute(insert(audiences).values(**values, created_at=now, updated_at=now))


def change(connection: Connection, stored: Stored, definition: Definition, now: datetime) -> None:
    """Replace a definition (a retired one stands again); a new query is a new version."""
    version = stored.version + (definition.query != stored.definition.query)
    values = {**_values(definition), "version": version, "updated_at": now, "retired_at": None}
    connection.execute(update(audiences).where(audiences.c.id == stored.id).values(**values))


def retire(connection: Connection, id: int, at: datetime | None, now: datetime) -> None:
    """Mark a definition as gone from the file. Should it return, its first run is a first one, though not before `at`."""
    values = {"retired_at": now, "updated_at": now, "computed_at": at, "computed_version": None, "basis": None}
    connection.execute(update(audiences).where(audiences.c.id == id).values(values))


def computing(seen: Stored, at: datetime, basis: str, members: int, slot: datetime | None, skipped: int = 0) -> Question:
    """Return what to say to remember a run: its instant, its version, what it had seen, how many are in or have a value, its slot.

    Without a slot of the schedule, or with an earlier one, the last that was taken stays; `skipped` are counted that passed before
    it. Keeps every other writer away from the audience until the transaction ends; has no row for an answer, and does nothing,
    where one has changed what the store knows of it meanwhile.
    """
    return Question(_COMPUTED, _remembered(seen, at, basis, members, slot, skipped))


def computed_in_vain(connection: Connection, seen: Stored, at: datetime, basis: str, slot: datetime, skipped: int = 0) -> bool:
    """Remember a run for a slot that found nothing new; False where somebody else has changed what the store knows meanwhile."""
    return _COMPUTED_IN_VAIN.execute(connection, **_remembered(seen, at, basis, seen.members, slot, skipped)).rowcount == 1


def _remembered(seen: Stored, at: datetime, basis: str, members: int, slot: datetime | None, skipped: int) -> dict[str, Any]:
    now = {"which": seen.id, "instant": at, "version": seen.version, "seen": basis, "count": members}
    taken = {"slot": _later(seen.slot_at, slot), "skipped": skipped}
    return now | taken | {f"then_{name}": getattr(seen, name) for name in _CHANGING}


def _later(taken: datetime | None, slot: datetime | None) -> datetime | None:
    return max((one for one in (taken, slot) if one is not None), default=None)


def count_members(connection: Connection, id: int, members: int) -> None:
    """Remember how many are in, or have a value."""
    connection.execute(update(audiences).where(audiences.c.id == id).values(members=members))


def take_slot(connection: Connection, seen: Stored, slot: datetime, skipped: int) -> None:
    """Take a slot of the schedule for a run that changes nothing else, of an audience that is locked and as it was seen."""
    taken = {"slot_at": _later(seen.slot_at, slot), "slots_skipped": seen.slots_skipped + skipped}
    connection.execute(update(audiences).where(audiences.c.id == seen.id).values(taken))


def require(connection: Connection, keys: Sequence[str]) -> tuple[Stored, ...]:
    """Return the definitions of the given keys, or all that stand where none is given. Raises NotFound."""
    return tuple(by_key(connection, key) for key in dict.fromkeys(keys)) if keys else standing(connection)


# Executed in every run, so they are written once.
_ALL: Final = Prepared(select(audiences).order_by(audiences.c.key))
_BY_KEY: Final = Prepared(select(audiences).where(audiences.c.key == told("wanted", Text())))
_LOCKED: Final = Prepared(select(audiences).where(audiences.c.id == told("which", BigInteger())).with_for_update())
_REMEMBERED: Final = update(audiences).values(
    computed_at=told("instant", Instant()),
    computed_version=told("version", Integer()),
    basis=told("seen", Text()),
    members=told("count", Integer()),
    slot_at=told("slot", Instant()),
    slots_skipped=audiences.c.slots_skipped + told("skipped", BigInteger()),
)
# Whatever changes a definition, or what a run must know of it, changes one of these.
_CHANGING: Final = ("version", "updated_at", "computed_at", "computed_version", "slot_at", "members", "basis", "generation")
_AS_SEEN: Final = and_(
    audiences.c.id == told("which", BigInteger()),
    *(audiences.c[name].is_not_distinct_from(told(f"then_{name}", audiences.c[name].type)) for name in _CHANGING),
)
_COMPUTED_IN_VAIN: Final = Prepared(_REMEMBERED.where(_AS_SEEN))
# A claim lets the row be changed, and waits for nobody but who locks it.
_COMPUTED: Final = Prepared(
    _REMEMBERED.values(generation=audiences.c.generation + 1)
    .where(audiences.c.id.in_(select(audiences.c.id).where(_AS_SEEN).with_for_update()))
    .returning(audiences.c.id)
)


def _values(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "description": definition.description,
        "query": definition.query,
        "schedule": schedule_to_json(definition.schedule),
        "guard": guard_to_json(definition.guard),
        "enabled": definition.enabled,
    }


def _stored(row: Any) -> Stored:
    definition = Definition(
        kind=Kind(row.kind),
        key=row.key,
        name=row.name,
        description=row.description,
        query=row.query,
        schedule=schedule_from_json(row.schedule),
        guard=guard_from_json(row.guard),
        enabled=row.enabled,
    )
    return Stored(
        id=row.id,
        definition=definition,
        version=row.version,
        updated_at=row.updated_at,
        retired_at=row.retired_at,
        computed_at=row.computed_at,
        computed_version=row.computed_version,
        slot_at=row.slot_at,
        slots_skipped=row.slots_skipped,
        members=row.members,
        basis=row.basis,
        generation=row.generation,
    )
