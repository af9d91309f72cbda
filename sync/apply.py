"""Apply definitions: make the store agree with the file, after showing what would change.

What is in the file and not in the store is added; what differs is changed; what has gone from the file is retired, which tells
its members `false`. A key belongs for good to what it was first given to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from sync.audience import Definition
from sync.errors import InputError
from sync.store import Store, audiences, difference, ledger
from sync.store.audiences import Stored


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """A definition that differs from what the store has."""

    stored: Stored
    definition: Definition
    fields: tuple[str, ...]
    """What differs: name, description, query, schedule, guard, enabled; `retired` where it stands again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What applying would do."""

    added: tuple[Definition, ...]
    changed: tuple[Changed, ...]
    retired: tuple[Stored, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.retired)


def compare(store: Store, wanted: Sequence[Definition]) -> Changes:
    """Work out what applying would do; changes nothing. Raises InputError for a key that belonged to something else."""
    with store.reading() as connection:
        return _compare(audiences.all_stored(connection), wanted)


def apply(store: Store, wanted: Sequence[Definition], now: datetime) -> Changes:
    """Make the store agree with the definitions, all or nothing, and return what was done.

    Nothing is computed yet, but for the retired: their members are owed `false` from now on.
    """
    return store.write(lambda connection: apply_within(connection, wanted, now))


def apply_within(connection: Connection, wanted: Sequence[Definition], now: datetime) -> Changes:
    """Do the same as a part of a transaction that writes; until its end no run records anything, and no answer is written down."""
    audiences.hold(connection)
    changes = _compare(audiences.all_stored(connection), wanted)
    for definition in changes.added:
        audiences.add(connection, definition, now)
    for change in changes.changed:
        audiences.change(connection, change.stored, change.definition, now)
    for stored in changes.retired:
        _retire(connection, stored, now)
    return changes


def _compare(stored: Sequence[Stored], wanted: Sequence[Definition]) -> Changes:
    known = {one.key: one for one in stored}
    _require_own_keys(known, wanted)
    pairs = [(known[definition.key], definition) for definition in wanted if definition.key in known]
    changed = [Changed(stored=one, definition=definition, fields=_differing(one, definition)) for one, definition in pairs]
    named = {definition.key for definition in wanted}
    return Changes(
        added=tuple(definition for definition in wanted if definition.key not in known),
        changed=tuple(change for change in changed if change.fields),
        retired=tuple(one for one in stored if one.key not in named and not one.retired),
    )


def _require_own_keys(known: dict[str, Stored], wanted: Sequence[Definition]) -> None:
    taken = [
        f"{definition.place or definition.key}: the key {definition.key!r} belonged to the {known[definition.key].definition.kind} "
        f"{known[definition.key].definition.name!r}; keys are never given to anything else, so write another `key:`"
        for definition in wanted
        if definition.key in known and _is_something_else(known[definition.key], definition)
    ]
    if taken:
        raise InputError("\n".join(taken))


def _is_something_else(stored: Stored, definition: Definition) -> bool:
    # A standing definition may be renamed; one that comes back under another name is another one.
    renamed_while_away = stored.retired and stored.definition.name != definition.name
    return stored.definition.kind is not definition.kind or renamed_while_away


def _differing(stored: Stored, definition: Definition) -> tuple[str, ...]:
    names = ("name", "description", "query", "schedule", "guard", "enabled")
    differing = [name for name in names if getattr(stored.definition, name) != getattr(definition, name)]
    return tuple(differing + (["retired"] if stored.retired else []))


def _retire(connection: Connection, stored: Stored, now: datetime) -> None:
    # An instant of a run never lies before the last one's, which `--at` may have put into the future.
    at = max(now, stored.computed_at or now)
    audiences.retire(connection, stored.id, at if stored.computed_at else None, now)
    found = difference.of_retired(connection, stored)
    ledger.apply(connection, stored, found, at, now, now)
    audiences.count_members(connection, stored.id, found.after)
