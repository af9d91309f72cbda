"""People, as programs are told: one user with everything known, and who is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync.instant import iso, optional_iso
from sync.json_value import Json, decode
from sync.store import audiences, ledger, lookup
from sync.store.audiences import Stored
from sync.store.lookup import Change, Connection, Person


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """One user with everything known."""

    person: Person
    audiences: Mapping[str, dict[str, Json]]
    """How they stand to each, by key."""
    computed_traits: Mapping[str, dict[str, Json]]
    changes: Sequence[Change]
    """The latest first."""
    more_changes: bool

    def report(self) -> dict[str, Json]:
        """Write it as JSON."""
        turns: list[Json] = [change_report(change) for change in self.changes]
        return {
            **_person_report(self.person),
            "audiences": {**self.audiences},
            "computed_traits": {**self.computed_traits},
            "changes": turns,
            "more_changes": self.more_changes,
        }


def user(connection: Connection, id: str, limit: int) -> User:
    """Look a user up, with up to so many of their latest entries, exits and new values. Raises NotFound."""
    person = lookup.person(connection, id)
    rows = {row.key: row for row in ledger.of_user(connection, person.profile_id)}
    known = [one for one in audiences.all_stored(connection) if not one.retired or one.key in rows]
    history = lookup.changes_of(connection, person.profile_id, limit + 1)
    parts = {one.key: _standing(one, rows.get(one.key)) for one in known}
    return User(
        person=person,
        audiences={one.key: parts[one.key] for one in known if one.is_audience},
        computed_traits={one.key: parts[one.key] for one in known if not one.is_audience},
        changes=history[:limit],
        more_changes=len(history) > limit,
    )


def member_report(stored: Stored, user_id: str, since: datetime, value: str) -> dict[str, Json]:
    """Write one who is in, or has a value."""
    told: dict[str, Json] = {"user_id": user_id, "since": iso(since)}
    return told if stored.is_audience else told | {"value": decode(value)}


def turn(change: Change) -> str:
    """Name what a change was: of an audience one of two, of a computed trait always the same."""
    if change.kind != "audience":
        return "changed"
    return "entered" if change.value == "true" else "exited"


def change_report(change: Change) -> dict[str, Json]:
    """Write an entry, an exit, or a new value."""
    return {
        "key": change.key,
        "kind": change.kind,
        "change": turn(change),
        "value": None if change.value is None else decode(change.value),
        "at": iso(change.at),
        "run": change.run_id,
    }


def _standing(stored: Stored, row: Any) -> dict[str, Json]:
    """Say how a user stands to an audience or computed trait; `row` is the ledger's, None where it has none."""
    value, since, accepted, accepted_at, state, reason = (
        (getattr(row, name, None)) for name in ("value", "since", "accepted", "accepted_at", "state", "reason")
    )
    now: Json = None if value is None else decode(value)
    told: dict[str, Json] = {"member": now is True} if stored.is_audience else {"value": now}
    return {
        **told,
        "since": optional_iso(since),
        "accepted": None if accepted is None else decode(accepted),
        "accepted_at": optional_iso(accepted_at),
        "state": state,
        "reason": reason,
    }


def _person_report(person: Person) -> dict[str, Json]:
    return {
        "user_id": person.user_id,
        "traits": person.traits,
        "anonymous_ids": list(person.anonymous_ids),
        "calls": person.calls,
        "first_seen_at": optional_iso(person.first_seen_at),
        "last_seen_at": optional_iso(person.last_seen_at),
    }
