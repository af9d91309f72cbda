"""Guards: how many members one run may move before it stops and asks.

Knows limits and when they are passed. Does not know what to do then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
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

    def objection(self, *, before: int, exited: int, entered: int) -> str | None:
        """Say why a run may not go ahead, or None where it may.

        `before` is the membership before the run. A share of an empty membership is nothing, so that any entry passes it. A first
        run has no guard; that is for the caller to know.
        """
        if _passes(exited, self.max_exits, before):
            return f"{exited} of {before} members would leave, more than max_exits: {self.max_exits}"
        if _passes(entered, self.max_entries, before):
            return f"{entered} would enter a membership of {before}, more than max_entries: {self.max_entries}"
        return None

    def __str__(self) -> str:
        limits = (("max_exits", self.max_exits), ("max_entries", self.max_entries))
        return ", ".join(f"{name}: {limit}" for name, limit in limits if limit is not None)


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
    return encode_sorted({name: str(limit) for name, limit in limits.items() if limit is not None})


def guard_from_json(text: str | None) -> Guard | None:
    """Read what `guard_to_json` wrote. Raises ValueError for anything else."""
    if text is None:
        return None
    match decode(text):
        case dict(limits):
            return Guard(max_exits=_stored(limits.get("max_exits")), max_entries=_stored(limits.get("max_entries")))
        case _:
            raise ValueError("a stored guard is a JSON object")


def _stored(value: Json) -> Limit | None:
    return None if value is None else parse_limit(str(value))
