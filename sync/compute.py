"""Compute: work out who is in an audience, or what a computed trait's values are, and record what differs from the ledger.

The large query runs in a transaction that reads; the difference is recorded in a second one that writes only what changed. If
somebody else computed the same audience in between, it is begun anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select

from sync.audience import Kind
from sync.errors import InputError, StoreBusy
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reads import reads
from sync.membership import Outcome, Run
from sync.order import in_order
from sync.store import Store, audiences, ledger, runs
from sync.store.audiences import Stored
from sync.store.compiler import Reference, compile_audience, compile_trait

TRIES: Final = 5

Clock = Callable[[], datetime]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What a query would give, were it saved."""

    size: int
    sample: tuple[str, ...]
    """The first user ids."""


def compute(
    store: Store, audience: Stored, at: datetime | None, clock: Clock, *, resync: bool = False, slot: datetime | None = None
) -> Run:
    """Compute one audience or computed trait as of an instant, and record what changed; nothing is sent yet.

    Without an instant it is as of now, or as of the last run where that was given a later one: somebody else may compute the same
    audience between asking and doing, which is no fault of who asked.

    With `resync` everything that was ever told is owed again. With `slot` that slot of its schedule is taken, in the transaction
    that records. A guard that trips leaves everything as it was; the run says so (`Outcome.GUARDED`). Raises InputError where
    `at` is earlier than the last run's instant, or the slot has been taken.
    """
    for attempt in range(1, TRIES + 1):
        try:
            run = _attempt(store, audience, at, clock, resync, slot)
        except StoreBusy:
            if attempt == TRIES:
                raise
            continue
        if run is not None:
            return run
    raise StoreBusy(f"{audience.key} is being computed by other processes all the time; nothing was done, try again")


def ordered(stored: Sequence[Stored]) -> tuple[Stored, ...]:
    """Return definitions so that each comes after those among them that it refers to."""
    by_key = {one.key: one for one in stored}
    return tuple(
        by_key[key] for key in in_order({one.key: traits_read(one.definition.kind, one.definition.query) for one in stored})
    )


def traits_read(kind: Kind, query: str) -> frozenset[str]:
    """Return the top-level traits that a query reads. Raises InvalidQuery."""
    return reads(parse_audience(query) if kind is Kind.AUDIENCE else parse_computed_trait(query)).traits


def preview(store: Store, query: str, at: datetime, sample: int) -> Preview:
    """Work out a query that is not saved. Raises InvalidQuery."""
    condition = parse_audience(query)
    with store.reading() as connection:
        found = compile_audience(condition, at, references=references(audiences.standing(connection)))
        size, users = ledger.preview(connection, found, sample)
    return Preview(size=size, sample=users)


def references(stored: Sequence[Stored]) -> Mapping[str, Reference]:
    """Return what `trait('key')` means where the key is an audience's or a computed trait's."""
    return {one.key: Reference(audience_id=one.id, kind=one.definition.kind) for one in stored}


def _attempt(
    store: Store, audience: Stored, asked: datetime | None, clock: Clock, resync: bool, slot: datetime | None
) -> Run | None:
    """Compute and record once; None where somebody else recorded something in between."""
    started = clock()
    with store.connected() as session:
        with session.reading() as connection:
            before, last = audiences.by_key(connection, audience.key), runs.last(connection, audience.id)
            at = asked or max(started, before.computed_at or started)
            _require_forward(before, at)
            _require_free(before, slot)
            found = ledger.difference(connection, before, _computed(connection, before, at))
        with session.writing() as connection:
            if audiences.locked(connection, before.id) != before or runs.last(connection, before.id) != last:
                return None
            if slot is not None:
                audiences.take_slot(connection, before.id, slot)
            run_id = runs.open_run(connection, before.id, at, started)
            objection = _objection(before, found)
            if objection is not None:
                runs.write_counts(connection, run_id, members=found.before)
                runs.end(connection, run_id, Outcome.GUARDED, clock(), objection)
                return runs.by_id(connection, run_id)
            ledger.apply(connection, before, found, at, run_id, clock(), resync=resync)
            audiences.computed(connection, before.id, at, before.version)
            return runs.by_id(connection, run_id)


def _computed(connection: Connection, audience: Stored, at: datetime) -> Select[Any]:
    known = references(audiences.standing(connection))
    if audience.is_audience:
        return ledger.as_members(compile_audience(parse_audience(audience.definition.query), at, references=known))
    return compile_trait(parse_computed_trait(audience.definition.query), at, references=known)


def _require_forward(audience: Stored, at: datetime) -> None:
    if audience.retired:
        raise InputError(f"{audience.key} is retired: it is no longer in the definitions")
    if audience.computed_at is not None and at < audience.computed_at:
        raise InputError(
            f"{audience.key} was computed as of {audience.computed_at.isoformat()} already; "
            f"an audience's instants only move forward, and {at.isoformat()} is earlier"
        )


def _require_free(audience: Stored, slot: datetime | None) -> None:
    if slot is not None and audience.slot_at is not None and slot <= audience.slot_at:
        raise InputError(f"{audience.key} was computed for its slot of {slot.isoformat()} already")


def _objection(audience: Stored, found: ledger.Difference) -> str | None:
    """Ask the guard; a first run has none, since everybody enters."""
    guard = audience.definition.guard
    if guard is None or audience.computed_version is None:
        return None
    return guard.objection(before=found.before, exited=found.exited, entered=found.entered)
