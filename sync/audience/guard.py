"""Guards: how many members one run may move before it stops and asks.

Knows limits and when they are passed. Does not know what to do then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final, TypeAlias

from sync.json_value import Json, decode, encode_sorted

_LIMIT: Final = re.compile(r"([0-9]{1,12})(?:(\.[0-9]{1,6})?[ ]?(%))?")


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the membership before the run, in percent."""

    percent: Decimal

    def __str__(self) -> str:
        return f"{self.percent.normalize():f}%"


Limit: TypeAlias = "Share | int"
"""A share of the members, or a number of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """How many may leave and how many may come in one run; None is no limit."""

    max_exits: Limit | None = None
    max_entries: Limit | None = None
    is_default: bool = False
    """Whether nobody asked for it. It leaves small memberships alone, and runs so long after the last that time explains much."""
    unreadable: str | None = None
    """What the store keeps, where that is no guard. Such a guard always objects."""

    def objection(self, *, before: int, exited: int, entered: int, elapsed: timedelta) -> str | None:
        """Say why a run may not go ahead, or None where it may.

        `before` is the membership before the run, `elapsed` the time since the instant of the last one. A share of an empty
        membership is nothing, so that any entry passes it. A first run has no guard; that is for the caller to know. A guard that
        cannot be worked out objects.
        """
        if self.unreadable is not None:
            return f"its guard cannot be read: {self.unreadable!r}; apply the definitions again"
        if not 0 <= exited <= before or entered < 0:
            return f"its guard cannot be worked out: {exited} of {before} members would leave and {entered} would enter"
        if (self.is_default or self.max_exits is None) and before > FEW and before + entered == exited:
            return f"none of {before} members would stay: is their source still sending?"
        if self.is_default and (before <= FEW or elapsed > SOON):
            return None
        if _passes(exited, self.max_exits, before):
            return f"{exited} of {before} members would leave, more than max_exits: {self.max_exits}"
        if _passes(entered, self.max_entries, before):
            return f"{entered} would enter a membership of {before}, more than max_entries: {self.max_entries}"
        return None

    def __str__(self) -> str:
        limits = (("max_exits", self.max_exits), ("max_entries", self.max_entries))
        named = ", ".join(f"{name}: {limit}" for name, limit in limits if limit is not None)
        return f"{named} (default)" if self.is_default else named


FEW: Final = 100
"""A membership of so many, or fewer, is too small for shares to say anything."""

SOON: Final = timedelta(days=1)
"""In longer than this, windows alone can make most of a membership leave."""

DEFAULT_GUARD: Final = Guard(max_exits=Share(Decimal(50)), max_entries=Share(Decimal(500)), is_default=True)
"""The guard of an audience that names none."""


def _passes(moved: int, limit: Limit | None, before: int) -> bool:
    if limit is None:
        return False
    if isinstance(limit, Share):
        return moved * 100 > limit.percent * before
    return moved > limit


def parse_limit(text: str) -> Limit:
    """Read `20%`, `0.5%` or `500`. Raises ValueError for anything else."""
    found = _LIMIT.fullmatch(text.strip())
    if not found:
        raise ValueError("expected a share such as 20%, or a number of users such as 500")
    whole, fraction, percent = found.groups()
    return Share(Decimal(whole + (fraction or ""))) if percent else int(whole)


def guard_to_json(guard: Guard | None) -> str | None:
    """Return the text that the store keeps; equal guards give equal text."""
    if guard is None:
        return None
    limits = {"max_exits": guard.max_exits, "max_entries": guard.max_entries}
    stored: dict[str, Json] = {name: str(limit) for name, limit in limits.items() if limit is not None}
    return encode_sorted(stored | ({"default": True} if guard.is_default else {}))


def guard_from_json(text: str | None) -> Guard | None:
    """Read what `guard_to_json` wrote; of anything else make a guard that always objects."""
    if text is None:
        return None
    try:
        match decode(text):
            case dict(stored):
                exits, entries = (_stored(stored.get(name)) for name in ("max_exits", "max_entries"))
                return Guard(max_exits=exits, max_entries=entries, is_default=stored.get("default") is True)
    except ValueError:
        pass
    return Guard(unreadable=text)


def _stored(value: Json) -> Limit | None:
    return None if value is None else parse_limit(str(value))
