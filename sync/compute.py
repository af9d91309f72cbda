"""Compute: work out who is in an audience, or what a computed trait's values are, and record what differs from the ledger.

Looks only at those about whom something arrived since the last run or over whom time passed; at everyone on the first run, when the
query or what it refers to has changed, and when asked. It is the same statement, of more or fewer users.

The large query locks nothing; what it found is recorded in a transaction that writes only what changed. If somebody else computed
the same audience in between, it is begun anew. Both together end in time, or are ended (`Store.longest`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection

from sync.audience import Kind
from sync.errors import InputError, NotFound, StoreBusy, SyncError, TookTooLong
from sync.instant import iso
from sync.language import tree
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reads import reads
from sync.membership import Outcome, Run
from sync.order import in_order
from sync.store import Session, Store, audiences, basis, bulk, difference, ledger, purges, runs
from sync.store.audiences import Stored
from sync.store.basis import Basis
from sync.store.bulk import Question
from sync.store.compiler import Reference
from sync.store.computation import Computation
from sync.store.difference import Difference
from sync.store.ledger import Debt
from sync.store.runs import opened_in
from sync.store.types import to_micros

TRIES: Final = 5

NOTING: Final = 3.0
"""Seconds that writing down may take that a run has been ended."""

REMEMBERED: Final = timedelta(seconds=10)
"""Of slots that are less apart than this, and at which nothing happened, one in so long is written down."""

FEW: Final = 20
"""What fewer transactions brought is looked at again by the next slot rather than writing down that it concerns nobody."""

Clock = Callable[[], datetime]
Fence = Callable[[Connection], None]
"""What the transaction that records begins with: it raises where whoever computes has lost the right to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is asked of a run, beside the audience."""

    at: datetime | None = None
    """As of when. None is now, or the last run's instant where that was given a later one: somebody else may compute the same
    audience between asking and doing, which is no fault of who asked. So it is with a slot's, since clocks are set back, too."""
    slot: datetime | None = None
    """Take this slot of the schedule, in the transaction that records. A run that finds nothing new is not recorded then."""
    skipped: int = 0
    """How many slots passed before that one and nobody looked; they are counted where it is taken."""
    anew: bool = False
    """The slot comes a second time, since a clock was ahead that has taken it, or a later one: it is not taken again."""
    resync: bool = False
    """Owe again everything that was ever told."""
    rebuild: bool = False
    """Look at everyone."""
    accepted: Run | None = None
    """A run that a guard held and a person has let through: as many may move now as would have then, and a tenth more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a run found, and from where it looked."""

    audience: Stored
    at: datetime
    basis: Basis
    found: Difference
    is_whole: bool
    """Whether everyone was looked at."""


def compute(
    store: Store,
    audience: Stored,
    at: datetime | None,
    clock: Clock,
    *,
    resync: bool = False,
    rebuild: bool = False,
    accepted: Run | None = None,
    fence: Fence | None = None,
) -> Run:
    """Compute one audience or computed trait, and record what changed; nothing is sent yet.

    A guard that trips leaves everything as it was; the run says so (`Outcome.GUARDED`), unless it is one that was `accepted`. So
    does a run that has had all its time (`Outcome.FAILED`); where not even that can be written down, raises TookTooLong.
    Raises InputError where `at` is earlier than the last run's instant.
    """
    run = _compute(store, audience, Wanted(at=at, resync=resync, rebuild=rebuild, accepted=accepted), clock, fence)
    assert run is not None, "only a slot's run goes unrecorded"
    return run


def compute_slot(
    store: Store,
    audience: Stored,
    slot: datetime,
    at: datetime,
    clock: Clock,
    fence: Fence | None = None,
    *,
    skipped: int = 0,
    anew: bool = False,
) -> Run | None:
    """Compute for a slot of the schedule. Returns None where there was nothing new: such a run is not recorded.

    As of `at`, or of the last run's instant where that is later. A run that has had all its time does not take the slot. Raises
    InputError where the audience is retired, and where the slot has been taken, unless it comes `anew`.
    """
    return _compute(store, audience, Wanted(at=at, slot=slot, skipped=skipped, anew=anew), clock, fence)


def _compute(store: Store, audience: Stored, wanted: Wanted, clock: Clock, fence: Fence | None) -> Run | None:
    started = clock()
    try:
        return _computed(store, audience, wanted, clock, fence)
    except TookTooLong as error:
        return note_ended(store, audience, wanted.at, started, clock, fence, error)


def _computed(store: Store, audience: Stored, wanted: Wanted, clock: Clock, fence: Fence | None) -> Run | None:
    until = store.run_ends()
    for attempt in range(1, TRIES + 1):
        try:
            with store.connected(until) as session:
                started = clock()
                with session.looking() as connection:
                    # A scheduler has just read it; if it has changed since, nothing is recorded.
                    is_read = wanted.slot is not None and attempt == 1
                    stored = audience if is_read else audiences.by_key(connection, audience.key)
                    if stored.slot_at != audience.slot_at:
                        # Whoever took that one has counted what was skipped.
                        wanted = replace(wanted, skipped=0)
                    seen = look(connection, stored, wanted, started)
                with session.writing() as connection:
                    if fence is not None:
                        fence(connection)
                    if wanted.slot is not None and _has_nothing_new(seen):
                        seen_then = basis.to_json(seen.basis)
                        if audiences.computed_in_vain(connection, seen.audience, seen.at, seen_then, wanted.slot, wanted.skipped):
                            return None
                    else:
                        return record(connection, seen, wanted, started, clock())
        except StoreBusy:
            if attempt == TRIES:
                raise
    raise _overtaken(audience)


def _overtaken(audience: Stored) -> StoreBusy:
    return StoreBusy(f"{audience.key} is being computed by other processes all the time; nothing was done, try again")


def passed_in_vain(
    session: Session,
    audience: Stored,
    slot: datetime,
    at: datetime,
    fence: Fence | None = None,
    *,
    skipped: int = 0,
    anew: bool = False,
) -> bool:
    """Pass a slot at which there is nobody to look at, as at most; False where `compute_slot` is to see to it.

    Of slots that follow one another within seconds the store is told now and then, since to tell it of each would be a commit in
    every idle second: whoever passes one must remember it. Of all others it is told, so that no restart repeats them, and of one
    before which some were skipped. Of what comes `anew` it knows.
    The audience must have been read a moment ago: if it has changed since, nothing is done.
    """
    if audience.computed_at is None or (_is_taken(audience, slot) and not anew):
        return False
    at = max(at, audience.computed_at)
    with session.glancing() as connection:
        known = _known(connection, _parsed(audience.definition.kind, audience.definition.query))
        then = _basis_of(audience, known)
        if then is None:
            return False
        computation = _computation(connection, audience, known)
        told = computation.candidates.between(then, audience.computed_at, at)
        seen, found = _seen_beside(connection, known, computation.searching(told, most=1))
        if any(found) or not seen.mark.holds_after(then.mark):
            return False
    looked = Look(audience=audience, at=at, basis=seen, found=difference.of_nobody(audience), is_whole=False)
    if objection_to(looked) is not None:
        return False
    is_soon = audience.slot_at is not None and slot - audience.slot_at < REMEMBERED
    if is_soon and not skipped and seen.mark.number - then.mark.number < FEW:
        return True
    with session.writing() as connection:
        if fence is not None:
            fence(connection)
        return audiences.computed_in_vain(connection, audience, at, basis.to_json(seen), slot, skipped)


def look(connection: Connection, audience: Stored, wanted: Wanted, now: datetime) -> Look:
    """Find out what a run would change; records nothing. The difference stands in a temporary table of the connection's."""
    at = wanted.at if wanted.at is not None and wanted.slot is None else _not_before(audience, wanted.at or now)
    _require_forward(audience, at)
    _require_free(audience, wanted)
    query = _parsed(audience.definition.kind, audience.definition.query)
    if wanted.at is not None and wanted.slot is None:
        purges.require_calls(connection, query, at)
    known = _known(connection, query)
    computation = _computation(connection, audience, known)
    then = None if wanted.rebuild else _basis_of(audience, known)
    if then is not None and audience.computed_at is not None:
        told = computation.candidates.between(then, audience.computed_at, at)
        asking = computation.asking(told, difference.FEW + 1, audience.id, to_micros(at))
        seen, answers = _seen_beside(connection, known, asking)
        if seen.mark.holds_after(then.mark):
            found = difference.of_concerned(connection, audience, computation, to_micros(at), told, answers)
            return Look(audience=audience, at=at, basis=seen, found=found, is_whole=False)
    seen = basis.seen_now(connection, known)
    found = difference.of_everyone(connection, audience, computation.of_everyone, to_micros(at))
    return Look(audience=audience, at=at, basis=seen, found=found, is_whole=True)


def held(store: Store, run_id: int) -> Run:
    """Return a run that a guard holds, for somebody who wants to let it through.

    Raises NotFound, and InputError where it is not held, or where a later run has gone through.
    """
    with store.reading() as connection:
        run = runs.find(connection, run_id)
        if run is None:
            raise NotFound(f"there is no run {run_id}; `personas-sync runs` lists them")
        if run.outcome is not Outcome.GUARDED:
            raise InputError(f"run {run_id} of {run.audience} is not held by a guard: it is {run.outcome}")
        later = runs.passed_since(connection, run)
    if later is not None:
        raise InputError(f"run {run_id} of {run.audience} is over: run {later} has gone through since")
    return run


def ordered(stored: Sequence[Stored]) -> tuple[Stored, ...]:
    """Return definitions so that each comes after those among them that it refers to."""
    by_key = {one.key: one for one in stored}
    return tuple(
        by_key[key] for key in in_order({one.key: traits_read(one.definition.kind, one.definition.query) for one in stored})
    )


def with_what_it_reads(stored: Sequence[Stored], key: str) -> tuple[Stored, ...]:
    """Return a definition after all those that it refers to, however indirectly; nothing where it is not among the given ones."""
    by_key = {one.key: one for one in stored}
    wanted, found = [key] if key in by_key else [], dict[str, Stored]()
    while wanted:
        one = by_key[wanted.pop()]
        found[one.key] = one
        wanted += [name for name in traits_read(one.definition.kind, one.definition.query) if name in by_key and name not in found]
    return ordered(list(found.values()))


@lru_cache(maxsize=1000)
def traits_read(kind: Kind, query: str) -> frozenset[str]:
    """Return the top-level traits that a query reads. Raises InvalidQuery."""
    return reads(_parsed(kind, query)).traits


def references(stored: Sequence[Stored]) -> Mapping[str, Reference]:
    """Return what `trait('key')` means where the key is an audience's or a computed trait's."""
    return {one.key: Reference(audience_id=one.id, kind=one.definition.kind) for one in stored}


def _seen_beside(connection: Connection, known: Sequence[Stored], questions: Sequence[Question]) -> tuple[Basis, list[list[Any]]]:
    """Ask what a run that begins now sees, and then some questions, in one go."""
    asked = basis.wanted(connection, known)
    answers = bulk.answers(connection, *asked, *questions)
    return basis.seen_in(connection, known, answers[: len(asked)]), answers[len(asked) :]


def _basis_of(audience: Stored, known: Sequence[Stored]) -> Basis | None:
    """Return what the last run had seen; None where this one must look at everyone, since the query means something else now."""
    then = basis.from_json(audience.basis)
    is_same_query = audience.computed_version == audience.version
    return then if then is not None and is_same_query and then.refers_to(known) else None


def _known(connection: Connection, query: tree.Query) -> tuple[Stored, ...]:
    """Return the definitions that a query refers to, in the order of their keys."""
    read = reads(query).traits
    # PostgreSQL may sort them by the rules of a language, in which `_` is before digits.
    known = sorted(audiences.standing(connection), key=lambda one: one.key) if read else ()
    return tuple(one for one in known if one.key in read)


def _computation(connection: Connection, audience: Stored, known: Sequence[Stored]) -> Computation:
    one = audience.definition
    return _written(one.kind, one.query, tuple(references(known).items()), connection.dialect.name)


@lru_cache(maxsize=200)
def _written(kind: Kind, query: str, known: tuple[tuple[str, Reference], ...], database: str) -> Computation:
    """Return the statements of a definition; they are kept, since to write them takes longer than to ask them of a few users."""
    return Computation.of(_parsed(kind, query), dict(known), database)


@lru_cache(maxsize=1000)
def _parsed(kind: Kind, query: str) -> tree.Query:
    return parse_audience(query) if kind is Kind.AUDIENCE else parse_computed_trait(query)


def note_ended(
    store: Store,
    audience: Stored,
    at: datetime | None,
    started: datetime,
    clock: Clock,
    fence: Fence | None,
    error: TookTooLong,
) -> Run:
    """Record a run that was ended since it had had all its time: it has changed nothing, and its slot is still to be taken.

    Raises the error itself where that cannot be recorded, as where somebody keeps the audience locked.
    """
    now = clock()
    instant = _not_before(audience, at or now)
    try:
        with store.connected(time.monotonic() + NOTING) as session, session.writing() as connection:
            if fence is not None:
                fence(connection)
            run_id = runs.open_run(connection, audience.id, instant, started, members=audience.members)
            runs.end(connection, run_id, Outcome.FAILED, now, str(error))
            return runs.by_id(connection, run_id)
    except SyncError:
        raise error from None


def _has_nothing_new(seen: Look) -> bool:
    return not (seen.found.changed or seen.is_whole) and objection_to(seen) is None


def record(connection: Connection, seen: Look, wanted: Wanted, started: datetime, ended: datetime) -> Run:
    """Record what was found, and keep everybody else away from the audience until the transaction ends.

    Raises StoreBusy where somebody has come in between; the transaction must not be committed then.
    """
    audience, found = seen.audience, seen.found
    objection = objection_to(seen, wanted.accepted)
    if objection is not None:
        if audiences.locked(connection, audience.id) != audience:
            raise _overtaken(audience)
        return _hold(connection, seen, wanted, started, ended, objection)
    take_over = wanted.slot is None
    taken, opened, *recorded = bulk.answers(
        connection,
        audiences.computing(audience, seen.at, basis.to_json(seen.basis), found.after, wanted.slot, wanted.skipped),
        ledger.opening(audience, found, seen.at, started),
        # Whoever takes over ends earlier runs before.
        *(() if take_over else ledger.recording(connection, audience, found, seen.at)),
    )
    if not taken:
        raise _overtaken(audience)
    run_id = opened_in(opened)
    debt = ledger.record(
        connection, audience, found, seen.at, ended, run_id, take_over=take_over, resync=wanted.resync, answers=recorded
    )
    if wanted.accepted is not None:
        runs.note(connection, wanted.accepted.id, f"{wanted.accepted.error}; let through by run {run_id}")
    return _delivering(seen, run_id, started, debt) if debt.owed else runs.by_id(connection, run_id)


def _delivering(seen: Look, run_id: int, started: datetime, debt: Debt) -> Run:
    """Return a run that has something to tell, as it has just been recorded."""
    audience, found = seen.audience, seen.found
    return Run(
        id=run_id,
        audience=audience.key,
        kind=audience.definition.kind.value,
        at=seen.at,
        started_at=started,
        ended_at=None,
        outcome=Outcome.DELIVERING,
        **found.counts(audience),
        owed=debt.owed,
        accepted=0,
        rejected=0,
        unknown=debt.unknown,
        held=debt.owed - debt.unknown,
        error=None,
    )


def _hold(connection: Connection, seen: Look, wanted: Wanted, started: datetime, ended: datetime, objection: str) -> Run:
    """Record that a guard stopped a run, and what it would have changed; nothing else is.

    A slot after another does not add a row each: the one that is held already says how things stand now.
    """
    if wanted.slot is not None:
        audiences.take_slot(connection, seen.audience, wanted.slot, wanted.skipped)
    found, run_id = seen.found, None if wanted.slot is None else _held_already(connection, seen.audience)
    counts = {"members": found.before, "entered": found.entered, "exited": found.exited, "changed": found.changed}
    if run_id is None:
        run_id = runs.open_run(connection, seen.audience.id, seen.at, started, **counts)
    else:
        runs.write_counts(connection, run_id, **counts)
    runs.end(connection, run_id, Outcome.GUARDED, ended, objection, at=seen.at)
    return runs.by_id(connection, run_id)


def _held_already(connection: Connection, audience: Stored) -> int | None:
    """Return an audience's latest run, where a guard holds that one."""
    last = runs.last(connection, audience.id)
    return last if last is not None and runs.by_id(connection, last).outcome is Outcome.GUARDED else None


def objection_to(seen: Look, accepted: Run | None = None) -> str | None:
    """Ask the guard; a first run has none, since everybody enters."""
    guard, found = seen.audience.definition.guard, seen.found
    if guard is None or seen.audience.computed_version is None:
        return None
    elapsed = seen.at - (seen.audience.computed_at or seen.at)
    objection = guard.objection(before=found.before, exited=found.exited, entered=found.entered, elapsed=elapsed)
    if objection is None or (accepted is not None and _is_as_accepted(found, accepted)):
        return None
    return objection


def _is_as_accepted(found: Difference, accepted: Run) -> bool:
    return found.exited * 10 <= accepted.exited * 11 and found.entered * 10 <= accepted.entered * 11


def _not_before(audience: Stored, at: datetime) -> datetime:
    """Return an instant, or that of the last run where that is later."""
    return at if audience.computed_at is None else max(at, audience.computed_at)


def _require_forward(audience: Stored, at: datetime) -> None:
    if audience.retired:
        raise InputError(f"{audience.key} is retired: it is no longer in the definitions")
    if audience.computed_at is not None and at < audience.computed_at:
        raise InputError(
            f"{audience.key} was computed as of {iso(audience.computed_at)} already; "
            f"an audience's instants only move forward, and {iso(at)} is earlier"
        )


def _require_free(audience: Stored, wanted: Wanted) -> None:
    if wanted.slot is not None and _is_taken(audience, wanted.slot) and not wanted.anew:
        raise InputError(f"{audience.key} was computed for its slot of {iso(wanted.slot)} already")


def _is_taken(audience: Stored, slot: datetime) -> bool:
    return audience.slot_at is not None and slot <= audience.slot_at
