"""The fields of a definitions file: one table, which the reader and the JSON Schema share.

Knows which fields stand where, and their shape as an editor checks it. What a value means is the reader's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

from sync.audience.keys import LONGEST
from sync.json_value import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field: what an editor shows and checks, and whether it must be there."""

    description: str
    shape: Mapping[str, Json] = field(default_factory=lambda: {"type": "string", "minLength": 1})
    required: bool = False


DEFAULT_EVERY: Final = "15 minutes"
"""The schedule of a definition when neither it nor `defaults` names one."""

_LIMIT: Final[Mapping[str, Json]] = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^[0-9]{1,12}((\.[0-9]{1,6})? ?%)?$"},
    ],
    "examples": ["20%", 500],
}

GUARD: Final[Mapping[str, Field]] = {
    "max_exits": Field(
        description="The most users that may leave in one run: a share of the members before (20%) or a number (500).",
        shape=_LIMIT,
    ),
    "max_entries": Field(
        description="The most users that may enter in one run: a share of the members before (50%) or a number (500).",
        shape=_LIMIT,
    ),
}

SCHEDULE: Final[Mapping[str, Field]] = {
    "every": Field(
        description=(
            f"Compute at this interval: a whole number of seconds, minutes, hours or days. {DEFAULT_EVERY} where nothing is said."
        ),
        shape={
            "type": "string",
            "pattern": (
                r"^\s*[0-9]{1,9} *"
                r"([Ss][Ee][Cc][Oo][Nn][Dd]|[Mm][Ii][Nn][Uu][Tt][Ee]|[Hh][Oo][Uu][Rr]|[Dd][Aa][Yy])[Ss]?\s*$"
            ),
            "examples": ["1 minute", "15 minutes", "6 hours"],
        },
    ),
    "cron": Field(
        description="Compute at the times of this crontab expression: minute, hour, day of the month, month, day of the week.",
        shape={"type": "string", "pattern": r"^\s*\S+(\s+\S+){4}\s*$", "examples": ["0 */6 * * *"]},
    ),
    "timezone": Field(
        description="The time zone of `cron`, as the IANA calls it; UTC where nothing is said.",
        shape={"type": "string", "minLength": 1, "examples": ["Europe/Berlin"]},
    ),
    "schedule": Field(
        description="`manual`: compute only when somebody asks for it.",
        shape={"const": "manual"},
    ),
}

_GUARD_FIELD: Final = Field(
    description=(
        "Stop a run before anything is sent when more than this would change; `off` for no guard. A first run has none. "
        "Where nothing is said, over 100 members: when nobody would stay, or, within a day of the last run, "
        "more than 50% would leave or 500% enter."
    ),
    shape={
        "anyOf": [
            {"enum": ["off", "no", "false", False]},
            {"$ref": "#/definitions/guard"},
        ]
    },
)
_ENABLED: Final = Field(
    description="`false` pauses it: it is not computed, and nothing about it is sent.",
    shape={"type": "boolean"},
)
_NAMED: Final[Mapping[str, Field]] = {
    "name": Field(
        description="What people call it. May change; the key stays.",
        shape={"type": "string", "minLength": 1, "maxLength": 255},
        required=True,
    ),
    "key": Field(
        description="The trait's name in Moesif; the name in snake_case where nothing is said. Never changes.",
        shape={"type": "string", "pattern": rf"^[a-z][a-z0-9_]{{0,{LONGEST - 1}}}$"},
    ),
    "description": Field(description="What it is for.", shape={"type": "string"}),
    "query": Field(description="The condition, or the value, in Segment's query language.", required=True),
}

DEFAULTS: Final[Mapping[str, Field]] = {**SCHEDULE, "guard": _GUARD_FIELD, "enabled": _ENABLED}
AUDIENCE: Final[Mapping[str, Field]] = {**_NAMED, **DEFAULTS}
COMPUTED_TRAIT: Final[Mapping[str, Field]] = {**_NAMED, **SCHEDULE, "enabled": _ENABLED}

FILE: Final[Mapping[str, Field]] = {
    "defaults": Field(
        description="What holds for every definition of this file that says nothing else.",
        shape={"anyOf": [{"$ref": "#/definitions/defaults"}, {"type": "null"}]},
    ),
    "audiences": Field(
        description="Conditions about a user: Moesif is told `true` when a user enters and `false` when a user exits.",
        shape={"type": ["array", "null"], "items": {"$ref": "#/definitions/audience"}},
    ),
    "computed_traits": Field(
        description="Values about a user: Moesif is told when the value changes.",
        shape={"type": ["array", "null"], "items": {"$ref": "#/definitions/computed_trait"}},
    ),
}


def schema() -> dict[str, Json]:
    """Return the JSON Schema (draft 7, which editors know best) of a definitions file."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "personas-sync definitions",
        "description": "Audiences and computed traits that personas-sync keeps up to date in Moesif.",
        **_object(FILE),
        "minProperties": 1,
        "definitions": {
            "defaults": _scheduled(DEFAULTS),
            "audience": _scheduled(AUDIENCE),
            "computed_trait": _scheduled(COMPUTED_TRAIT),
            "guard": {**_object(GUARD), "minProperties": 1},
        },
    }


def _object(fields: Mapping[str, Field]) -> dict[str, Json]:
    required: list[Json] = [name for name, each in fields.items() if each.required]
    return {
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": {name: {"description": each.description, **each.shape} for name, each in fields.items()},
    }


def _scheduled(fields: Mapping[str, Field]) -> dict[str, Json]:
    """Describe an object that names at most one schedule."""
    pairs: list[Json] = [{"required": [one, other]} for one, other in combinations(("every", "cron", "schedule"), 2)]
    return {**_object(fields), "dependencies": {"timezone": ["cron"]}, "not": {"anyOf": pairs}}
