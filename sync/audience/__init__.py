"""What a person defines: an audience or a computed trait, with its key, its schedule and its guard.

Knows the words of a definition and what each may be. Does not know YAML (`sync.definitions`), the language of the query
(`sync.language`), or where definitions are kept (`sync.store`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sync.audience.guard import DEFAULT_GUARD, Guard, Limit, Share, guard_from_json, guard_to_json, parse_limit
from sync.audience.keys import RESERVED, check_key, key_of
from sync.audience.schedule import (
    Cron,
    Every,
    Manual,
    Schedule,
    cron_fields,
    parse_cron,
    parse_every,
    schedule_from_json,
    schedule_to_json,
)

__all__ = [
    "DEFAULT_GUARD",
    "RESERVED",
    "Cron",
    "Definition",
    "Every",
    "Guard",
    "Kind",
    "Limit",
    "Manual",
    "Place",
    "Schedule",
    "Share",
    "check_key",
    "cron_fields",
    "guard_from_json",
    "guard_to_json",
    "key_of",
    "parse_cron",
    "parse_every",
    "parse_limit",
    "schedule_from_json",
    "schedule_to_json",
]


class Kind(StrEnum):
    """An audience says yes or no about a user; a computed trait says a value."""

    AUDIENCE = "audience"
    COMPUTED_TRAIT = "computed_trait"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where in a file something is written; the first line and the first column are 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """One audience or computed trait, as its author wrote it."""

    kind: Kind
    key: str
    """The name of the trait that Moesif sees; never changes and is never given to anything else."""
    name: str
    description: str = ""
    query: str
    """The text of the query without the white space around it."""
    schedule: Schedule
    guard: Guard | None = None
    """None lets any change through. Always None for a computed trait, which nobody enters or leaves."""
    enabled: bool = True
    place: Place | None = field(default=None, compare=False)
    """Where it is written; None where it does not come from a file. Two definitions that differ only here are equal."""

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"
