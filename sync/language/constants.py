"""Literals, paths and durations as they are written."""

from __future__ import annotations

import re
from datetime import UTC, date, timedelta
from typing import Final

from sync.language import values
from sync.language.faults import InvalidQuery
from sync.language.tree import Day, Each, Instant, Number, Path, Position, Step, Text

_LONGEST_NUMBER: Final = 400
MOST_STEPS: Final = 30
# A hundred years: whoever means longer means ever, and instants stay within what a calendar can hold.
LONGEST_SPAN: Final = timedelta(days=36_500)
_UNITS: Final = {
    "hour": timedelta(hours=1),
    "hours": timedelta(hours=1),
    "day": timedelta(days=1),
    "days": timedelta(days=1),
}
_UNITS_WITH_SECONDS: Final = _UNITS | {"second": timedelta(seconds=1), "seconds": timedelta(seconds=1)}


def string_constant(written: str) -> Text:
    r"""Read a string with its quotes. `\'`, `\"` and `\\` are escapes; any other backslash stays, for paths to read."""
    return Text(value=re.sub(r"\\(['\"\\])", r"\1", written[1:-1]))


def number_constant(written: str, at: Position) -> Number:
    """Read a number. Raises InvalidQuery for one that is too great."""
    value = None
    if len(written) <= _LONGEST_NUMBER:
        value = float(written) if "." in written else int(written)
    if value is None or values.number_of(value) is None:
        raise InvalidQuery("this number is too great", at)
    return Number(value=value)


def date_constant(written: str, at: Position) -> Day | Instant:
    """Read a date or timestamp. Raises InvalidQuery for one that is not in the calendar."""
    constant = date_in(written)
    if constant is None:
        raise InvalidQuery(
            f"`{written}` is no date", at, expected=("a date such as 2026-03-04", "a timestamp such as 2026-03-04T10:30:00Z")
        )
    return constant


def date_in(text: str) -> Day | Instant | None:
    """Read a text that is a date or a timestamp in full; a time without a zone is UTC."""
    microseconds, _ = values.date_text(text)
    if microseconds is None:
        return None
    if "T" not in text:
        return Day(value=date.fromisoformat(text))
    try:
        return Instant(value=values.at_microseconds(microseconds))
    except OverflowError:
        return None


def path_in(text: str, at: Position) -> Path:
    r"""Split a path at its dots.

    `\.` is a dot and `\$` a dollar sign within a name, with any number of backslashes, since Segment's documentation shows four.
    Raises InvalidQuery for an empty step, `$` at the beginning, or too many steps.
    """
    parts = [re.sub(r"\\+\.", ".", part) for part in _split(text)]
    if "" in parts:
        raise InvalidQuery("a name is missing" if not text else "a name is missing between the dots", at)
    if parts[0] == "$":
        raise InvalidQuery("`$` stands for the elements of an array; say of which, as in `items.$`", at)
    if len(parts) > MOST_STEPS:
        raise InvalidQuery(f"a path has at most {MOST_STEPS} steps, this one has {len(parts):,}", at)
    return tuple(_step(part) for part in parts)


def _split(text: str) -> list[str]:
    return re.split(r"(?<!\\)\.", text)


def _step(part: str) -> Step:
    if part == "$":
        return Each.ELEMENT
    return "$" if re.fullmatch(r"\\+\$", part) else part


def path_text(path: Path) -> str:
    """Write a path so that `path_in` reads it back."""
    return ".".join(_step_text(step) for step in path)


def _step_text(step: Step) -> str:
    if isinstance(step, Each):
        return "$"
    return r"\$" if step == "$" else step.replace(".", r"\.")


def span_of(amount: float, unit: str, at: Position, unit_at: Position, *, seconds: bool) -> timedelta:
    """Make a duration. Raises InvalidQuery unless it is a positive whole number of a unit, and not beyond a hundred years."""
    units = _UNITS_WITH_SECONDS if seconds else _UNITS
    known = ("seconds", "hours", "days") if seconds else ("hours", "days")
    if unit not in units:
        raise InvalidQuery(f"`{unit}` is no unit of time here", unit_at, expected=known)
    if isinstance(amount, float) or amount <= 0:
        raise InvalidQuery("a duration is a positive whole number", at)
    if amount > LONGEST_SPAN // units[unit]:
        raise InvalidQuery(f"a duration is at most {LONGEST_SPAN.days:,} days", at)
    return amount * units[unit]


def span_text(span: timedelta) -> str:
    """Write a duration in the greatest unit that fits."""
    seconds = span // timedelta(seconds=1)
    for name, length in (("day", 86_400), ("hour", 3_600)):
        if seconds % length == 0:
            return f"{seconds // length} {name}{'' if seconds == length else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def instant_text(literal: Day | Instant) -> str:
    """Write a date or timestamp."""
    if isinstance(literal, Day):
        return literal.value.isoformat()
    return literal.value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
