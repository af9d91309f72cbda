"""Audiences and computed traits, as programs are told: definition, size, schedule, last run, and what is owed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sync.audience import Schedule
from sync.instant import iso, optional_iso
from sync.json_value import Json
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.tree import Query
from sync.membership import Run
from sync.reports import depends
from sync.reports.runs import past_run_report
from sync.store import audiences, ledger, runs
from sync.store.audiences import Stored
from sync.store.lookup import Connection

NextSlot: TypeAlias = Callable[[Schedule, datetime], datetime | None]
"""The first slot of a schedule after an instant: the scheduler's knowledge."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One of a list."""

    stored: Stored
    members: int | None
    """None before the first run."""
    next_run_at: datetime | None
    owed: int

    def report(self) -> dict[str, Json]:
        """Write it as JSON."""
        return {
            **definition_report(self.stored),
            "members": self.members,
            "next_run_at": optional_iso(self.next_run_at),
            "owed": self.owed,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One, with all that there is to say about it."""

    listed: Listed
    query: Query
    kinds: Mapping[str, str]
    """The kind of every key that its query may refer to."""
    last_run: Run | None
    history: Sequence[tuple[datetime, int]]
    """Instants and sizes of the latest runs, oldest first."""

    def report(self) -> dict[str, Json]:
        """Write it as JSON."""
        last = None if self.last_run is None else past_run_report(self.last_run)
        reads = depends.report(self.query, self.kinds)
        ran = {"slots_skipped": self.listed.stored.slots_skipped, "last_run": last}
        return {**self.listed.report(), **ran, "reads": reads, "history": history_report(self.history)}


def listed(connection: Connection, now: datetime, next_slot: NextSlot, *, retired: bool = False) -> list[Listed]:
    """Return every definition that stands, or every one there ever was."""
    found = audiences.all_stored(connection) if retired else audiences.standing(connection)
    owed = _owed(connection)
    return [_listed(connection, one, now, next_slot, owed.get(one.key, 0)) for one in found]


def shown(connection: Connection, key: str, now: datetime, next_slot: NextSlot, sizes: int) -> Shown:
    """Return one with up to so many of its latest sizes. Raises NotFound."""
    stored = audiences.by_key(connection, key)
    latest = runs.recent(connection, key, 1)
    return Shown(
        listed=_listed(connection, stored, now, next_slot, _owed(connection).get(key, 0)),
        query=parse_audience(stored.definition.query) if stored.is_audience else parse_computed_trait(stored.definition.query),
        kinds={one.key: one.definition.kind.value for one in audiences.standing(connection)},
        last_run=latest[0] if latest else None,
        history=runs.size_history(connection, stored.id, sizes),
    )


def definition_report(stored: Stored) -> dict[str, Json]:
    """Write a definition as the store has it."""
    definition = stored.definition
    return {
        "key": stored.key,
        "kind": definition.kind.value,
        "name": definition.name,
        "description": definition.description,
        "query": definition.query,
        "schedule": str(definition.schedule),
        "guard": None if definition.guard is None else str(definition.guard),
        "enabled": definition.enabled,
        "version": stored.version,
        "retired_at": optional_iso(stored.retired_at),
        "computed_at": optional_iso(stored.computed_at),
    }


def history_report(history: Sequence[tuple[datetime, int]]) -> list[Json]:
    """Write sizes over time."""
    return [{"at": iso(at), "members": members} for at, members in history]


def _listed(connection: Connection, stored: Stored, now: datetime, next_slot: NextSlot, owed: int) -> Listed:
    sizes = runs.size_history(connection, stored.id, 1)
    runs_on_schedule = stored.definition.enabled and not stored.retired
    return Listed(
        stored=stored,
        members=sizes[-1][1] if sizes else None,
        next_run_at=next_slot(stored.definition.schedule, now) if runs_on_schedule else None,
        owed=owed,
    )


def _owed(connection: Connection) -> dict[str, int]:
    owed: dict[str, int] = {}
    for (key, state), number in ledger.states(connection).items():
        owed[key] = owed.get(key, 0) + (number if state != "rejected" else 0)
    return owed
