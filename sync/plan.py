"""Plan: what a sync would do, worked out exactly and changing nothing; and a sync that does exactly that or refuses.

A plan is made by doing everything in a transaction that is taken back: the definitions in the file are put in force, each audience
is computed and recorded, so that those that refer to it see what they would see. Where the definitions are in force already and
none of them refers to another, reading is enough, and nobody who writes has to wait.

A sealed plan holds what was found: definitions, instant, arrival mark, counts and a digest of who would change. It names nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from math import ceil
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from sync.apply import Changes, apply_within, compare
from sync.audience import Definition
from sync.compute import Clock, Look, Wanted, look, objection_to, ordered, record, traits_read
from sync.errors import InputError
from sync.instant import iso
from sync.membership import Run
from sync.store import Session, Store, audiences, difference, ledger
from sync.store.audiences import Stored

FORMAT: Final = "personas-sync plan 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How Moesif is told."""

    batch: int
    """Users in a request."""
    per_second: float | None
    """Requests; None where there is no limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What would be done about one audience or computed trait; this much is sealed."""

    audience: str
    kind: str
    version: int
    query: str
    """A SHA-256 of the query."""
    at: datetime
    mark: int
    """Which arrivals had been seen."""
    members: int
    """Who is in, or has a value, before."""
    entered: int
    exited: int
    changed: int
    """Entered and exited together; of a computed trait, the users whose value would change."""
    resent: int
    """Those about whom something is owed already and nothing has changed."""
    owed: int
    """Users about whom Moesif would have to be told."""
    digest: str
    """Of who would change, and to what."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A step, with what is said of it to people."""

    step: Step
    requests: int
    """At least so many go out for this audience alone; users about whom several audiences have news are told once."""
    seconds: float
    """How long the configured rate makes those take; 0 where it sets no limit."""
    entering: tuple[str, ...]
    """The first user ids; of a computed trait, those with another value."""
    leaving: tuple[str, ...]
    objection: str | None
    """Why the guard would hold it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What a sync would do."""

    changes: Changes
    """What putting the definitions in force would change, retiring included."""
    plans: tuple[Plan, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """What a plan file holds."""

    format: str
    made_at: datetime
    added: tuple[str, ...]
    changed: tuple[str, ...]
    retired: tuple[str, ...]
    steps: tuple[Step, ...]
    digest: str = ""
    """Of all the rest, so that a file that was edited is noticed."""


def plan(
    store: Store,
    wanted: Sequence[Definition] | None,
    keys: Sequence[str],
    at: datetime | None,
    clock: Clock,
    *,
    pace: Pace,
    sample: int,
) -> Planned:
    """Work out what a sync of these keys (or of all that are enabled) would do, with the given definitions or those in force.

    Raises NotFound, InputError where `at` is earlier than a last run's instant, and TookTooLong.
    """
    now = clock()
    with store.connected() as session:
        with session.reading() as connection:
            is_alone = _is_alone(connection, keys) and (wanted is None or not compare(store, wanted))
        with _transaction(session, writing=not is_alone) as connection:
            changes = apply_within(connection, wanted, now) if wanted is not None and not is_alone else _NOTHING
            plans = []
            for one in _chosen(connection, keys):
                with store.in_a_runs_time(connection):
                    seen = look(connection, one, Wanted(at=at), now)
                    plans.append(_described(connection, seen, pace, sample))
                    if not is_alone:
                        record(connection, seen, Wanted(at=at), now, now)
    return Planned(changes=changes, plans=tuple(plans))


def seal(planned: Planned, made_at: datetime) -> str:
    """Return the text of a plan file."""
    sealed = Sealed(
        format=FORMAT,
        made_at=made_at,
        added=tuple(one.key for one in planned.changes.added),
        changed=tuple(one.definition.key for one in planned.changes.changed),
        retired=tuple(one.key for one in planned.changes.retired),
        steps=tuple(one.step for one in planned.plans),
    )
    return msgspec.json.format(msgspec.json.encode(replace(sealed, digest=_seal_of(sealed))), indent=1).decode() + "\n"


def unseal(text: str) -> Sealed:
    """Read a plan file. Raises InputError for anything else, and for one that was edited."""
    try:
        sealed = msgspec.json.decode(text, type=Sealed)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InputError(f"this is no plan that `personas-sync plan --out` wrote: {error}") from None
    if sealed.format != FORMAT:
        raise InputError(f"this is a plan of another release ({sealed.format!r}); make a new one with `personas-sync plan --out`")
    if sealed.digest != _seal_of(sealed):
        raise InputError("this plan was changed after it was sealed; make a new one with `personas-sync plan --out`")
    return sealed


def apply_plan(store: Store, wanted: Sequence[Definition] | None, sealed: Sealed, clock: Clock) -> tuple[Run, ...]:
    """Do what a plan says, all of it in one transaction, and return the runs; nothing is sent yet.

    Raises InputError, saying what has moved, where the outcome would be another one, and TookTooLong; nothing has changed then.
    """

    def applied(connection: Connection) -> tuple[Run, ...]:
        now = clock()
        audiences.hold(connection)
        changes = apply_within(connection, wanted, now) if wanted is not None else _NOTHING
        moved = _moved_definitions(sealed, changes)
        runs = []
        for step in sealed.steps:
            stored = audiences.by_key(connection, step.audience)
            difference_of = _refused(stored, step)
            if difference_of:
                moved += difference_of
                continue
            with store.in_a_runs_time(connection):
                seen = look(connection, stored, Wanted(at=step.at), now)
                moved += _moved(connection, seen, step)
                run = record(connection, seen, Wanted(at=step.at), now, clock())
            runs.append(run)
        if moved:
            raise InputError(
                "this is not what the plan says any more, so nothing was done:\n" + "\n".join(f"  {one}" for one in moved)
            )
        return tuple(runs)

    return store.write(applied)


_NOTHING: Final = Changes(added=(), changed=(), retired=())


@contextmanager
def _transaction(session: Session, *, writing: bool) -> Any:
    with session.trying() if writing else session.reading() as connection:
        yield connection


def _chosen(connection: Connection, keys: Sequence[str]) -> tuple[Stored, ...]:
    return ordered([one for one in audiences.require(connection, keys) if keys or one.definition.enabled])


def _is_alone(connection: Connection, keys: Sequence[str]) -> bool:
    """Whether none of the chosen refers to another of them; those that are not in the store yet cannot tell."""
    known = {one.key: one for one in audiences.standing(connection)}
    chosen = [known[key] for key in keys or known if key in known]
    return len(chosen) == len(keys or known) and not any(
        traits_read(one.definition.kind, one.definition.query) & {other.key for other in chosen} for one in chosen
    )


def _described(connection: Connection, seen: Look, pace: Pace, sample: int) -> Plan:
    step = _step(connection, seen)
    requests = ceil(step.owed / pace.batch)
    entering, leaving = difference.sample(connection, seen.audience, seen.found, sample)
    return Plan(
        step=step,
        requests=requests,
        seconds=0.0 if pace.per_second is None else round(requests / pace.per_second, 3),
        entering=entering,
        leaving=leaving,
        objection=objection_to(seen),
    )


def _step(connection: Connection, seen: Look) -> Step:
    audience, found = seen.audience, seen.found
    owed, resent = ledger.owed_after(connection, audience, found)
    return Step(
        audience=audience.key,
        kind=audience.definition.kind.value,
        version=audience.version,
        query=_digest_of(audience.definition.query),
        at=seen.at,
        mark=seen.basis.mark.number,
        members=found.before,
        entered=found.entered if audience.is_audience else 0,
        exited=found.exited if audience.is_audience else 0,
        changed=found.changed,
        resent=resent,
        owed=owed,
        digest=difference.digest(connection, found),
    )


def _moved_definitions(sealed: Sealed, changes: Changes) -> list[str]:
    now = {
        "added": {one.key for one in changes.added},
        "changed": {one.definition.key for one in changes.changed},
        "retired": {one.key for one in changes.retired},
    }
    then = {"added": set(sealed.added), "changed": set(sealed.changed), "retired": set(sealed.retired)}
    # What the plan would have put in force may have been put in force since; that it is the same is looked at step by step.
    return [
        f"{key}: its definition is {what} now, and was not when the plan was made"
        for what in now
        for key in sorted(now[what] - then[what])
    ] + [f"{key}: it was to be retired, and is not" for key in sorted(then["retired"] - now["retired"])]


def _refused(stored: Stored, step: Step) -> list[str]:
    if stored.retired:
        return [f"{step.audience}: it is retired"]
    if stored.version != step.version or _digest_of(stored.definition.query) != step.query:
        return [f"{step.audience}: its query is another one (version {stored.version}, the plan has {step.version})"]
    if stored.computed_at is not None and stored.computed_at > step.at:
        return [f"{step.audience}: it was computed as of {iso(stored.computed_at)} since"]
    return []


def _moved(connection: Connection, seen: Look, step: Step) -> list[str]:
    now = _step(connection, seen)
    counted = [("members", "members before"), ("entered", "would enter"), ("exited", "would leave"), ("changed", "would change")]
    counted += [("resent", "would be sent again"), ("owed", "would be told about")]
    moved = [
        f"{step.audience}: {getattr(now, name)} {words}, the plan has {getattr(step, name)}"
        for name, words in counted
        if getattr(now, name) != getattr(step, name)
    ]
    if not moved and now.digest != step.digest:
        return [f"{step.audience}: as many would change, but they are not the same users or values"]
    return moved


def _digest_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _seal_of(sealed: Sealed) -> str:
    return sha256(msgspec.json.encode(replace(sealed, digest=""))).hexdigest()
