r"""What a JSON value is: as a number, as text, as an instant; and how two of them compare.

None is the absent value: a missing key and JSON `null` are one. Knows nothing of queries, users or events. Every other reading
of the language (the SQL compiler) has to agree with this one to the last bit, so the odd corners are said here:

- A string that is *a number in full* matches `-?\d+(\.\d+)?([eE][+-]?\d{1,3})?` in ASCII digits, has at most 400 characters,
  and is neither too great for a double nor so small that it would become zero. No blanks, no plus, no bare point.
- A JSON number too great for a double is no number and has no text; it exists, and that is all.
- The text of a number has no exponent and no zeros that could go: `1.0` is `1`, `1e-7` is `0.0000001`. An integer keeps all its
  digits. The text of a boolean is `true` or `false`. Arrays and objects have no text.
- A *date value* is a string `YYYY-MM-DD`, or that with `THH:MM[:SS[.fraction]]` and a zone `Z` or `±HH[:]MM` or `±HH` (at most 15
  hours); years 0001 to 9999, no second 60. Of a fraction at most 9 digits are taken, and cut to microseconds.
- Sums add the shortest decimal forms of the doubles exactly, and round once: to 9 decimals, halves away from zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

from sync.json_value import Json
from sync.language.tree import Each, Path

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_LONGEST_NUMBER: Final = 400
_DATE: Final = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(T(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(:(?P<second>[0-9]{2})(\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?P<zone>Z|(?P<sign>[+-])(?P<zone_hours>[0-9]{2})(:?(?P<zone_minutes>[0-9]{2}))?)?)?"
)
_LONGEST_OFFSET_HOURS: Final = 15
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
MICROSECOND: Final = timedelta(microseconds=1)
# Wide enough for any sum of doubles to be exact.
_EXACT: Final = Context(prec=1200, rounding=ROUND_HALF_UP)
_NINE_PLACES: Final = Decimal("1e-9")


def microseconds(instant: datetime) -> int:
    """Count the microseconds since 1970 in UTC."""
    return (instant - _EPOCH) // MICROSECOND


def at_microseconds(count: int) -> datetime:
    """Undo `microseconds`. Raises OverflowError outside the years 1 to 9999."""
    return _EPOCH + count * MICROSECOND


def find(document: Mapping[str, Json], path: Path) -> tuple[Json, ...]:
    """Follow a path: one value, or one for each element where it has `$`.

    Never empty: where there is nothing, or no element, the one value is None.
    """
    first, *rest = path
    found = [document.get(first) if isinstance(first, str) else None]
    for step in rest:
        if isinstance(step, Each):
            found = [element for value in found if isinstance(value, list) for element in value]
        else:
            found = [value.get(step) if isinstance(value, dict) else None for value in found]
    return tuple(found) or (None,)


def number_of(value: Json) -> float | None:
    """Read a number, or a string that is one in full, as a double."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _double(value)
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value):
        return _double_of_text(value)
    return None


def _double(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _double_of_text(text: str) -> float | None:
    number = float(text)
    mantissa = re.split("[eE]", text)[0]
    lost = number == 0 and mantissa.strip("-0.") != ""
    return None if lost or math.isinf(number) else number


def text_of(value: Json) -> str | None:
    """Write a string, number or boolean as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value) if _double(value) is not None else None
    return None


def number_text(value: float) -> str:
    """Write a finite number in its shortest decimal form, without an exponent."""
    if isinstance(value, int):
        return str(value)
    text = format(Decimal(repr(value)), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def array_text(elements: Iterable[Json]) -> str | None:
    """Write the elements of an array as one text: `["a",1,true]`, of the quoted texts only quotes and backslashes escaped.

    Nulls are left out. No text if nothing is left, or if an array, an object or too great a number is among them.
    """
    parts = [_quoted(element) for element in elements if element is not None]
    return f"[{','.join(map(str, parts))}]" if parts and None not in parts else None


def _quoted(value: Json) -> str | None:
    text = text_of(value)
    if not isinstance(value, str) or text is None:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def instant_of(value: Json) -> int | None:
    """Read a date value as microseconds since 1970 in UTC."""
    if not isinstance(value, str):
        return None
    instant, zoned = date_text(value)
    return instant if zoned else None


def date_text(text: str) -> tuple[int | None, bool]:
    """Read a date or timestamp, with or without a zone.

    Gives microseconds since 1970, None if it is no date, and whether the instant is certain: a bare date's midnight in UTC is,
    a time without a zone is not, and was taken as UTC.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        return None, False
    try:
        day = date.fromisoformat(match["day"])
        clock = time(int(match["hour"] or 0), int(match["minute"] or 0), int(match["second"] or 0))
        offset = _offset_minutes(match)
    except ValueError:
        return None, False
    minutes = ((day.toordinal() - _EPOCH_DAY) * 24 + clock.hour) * 60 + clock.minute - offset
    fraction = int((match["fraction"] or "").ljust(6, "0")[:6])
    zoned = match["hour"] is None or match["zone"] is not None
    return (minutes * 60 + clock.second) * 1_000_000 + fraction, zoned


def _offset_minutes(match: re.Match[str]) -> int:
    hours, minutes = int(match["zone_hours"] or 0), int(match["zone_minutes"] or 0)
    if hours > _LONGEST_OFFSET_HOURS or minutes > 59:
        raise ValueError("no such zone")
    return (-1 if match["sign"] == "-" else 1) * (hours * 60 + minutes)


def equal(left: Json, right: Json) -> bool:
    """Compare as `=` does; the order of the two means nothing. Nothing equals an absent value, an array or an object."""
    if isinstance(left, bool) or isinstance(right, bool):
        return _equal_truth(left, right)
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    one, other = number_of(left), number_of(right)
    return one is not None and one == other


def _equal_truth(left: Json, right: Json) -> bool:
    if not isinstance(left, bool | str) or not isinstance(right, bool | str):
        return False
    return text_of(left) == text_of(right)


def in_order(left: Json, right: Json) -> int | None:
    """Compare as `<` does: -1, 0 or 1; None where the two have no order.

    With a number on the right as numbers; with a string on the right as strings by code point, strings only.
    """
    if isinstance(right, str):
        return _sign(left, right) if isinstance(left, str) else None
    one, other = number_of(left), number_of(right)
    return None if one is None or other is None else (one > other) - (one < other)


def _sign(left: str, right: str) -> int:
    return (left > right) - (left < right)


def contains(value: Json, needle: Json) -> bool:
    """Tell whether a string or number contains a text, or an element of an array equals or contains it."""
    if isinstance(value, list):
        return any(equal(element, needle) or _has_part(element, needle) for element in value)
    return _has_part(value, needle)


def _has_part(value: Json, needle: Json) -> bool:
    text, part = searchable(value), searchable(needle)
    return text is not None and part is not None and part in text


def searchable(value: Json) -> str | None:
    """Write what `contains`, `starts_with` and `ends_with` look into: strings and numbers only."""
    return None if isinstance(value, bool) else text_of(value)


def total(numbers: Iterable[float]) -> Decimal:
    """Add exactly."""
    result = Decimal(0)
    for number in numbers:
        result = _EXACT.add(result, Decimal(repr(number)))
    return result


def share(amount: Decimal, parts: int) -> Decimal:
    """Divide, far more exactly than it will be rounded."""
    return _EXACT.divide(amount, Decimal(parts))


def rounded(amount: Decimal) -> int | float | None:
    """Round to 9 decimals and give a double; None for what is beyond one."""
    number = float(amount.quantize(_NINE_PLACES, context=_EXACT))
    return tidy(number) if math.isfinite(number) else None


def tidy(number: float) -> int | float:
    """Give a whole number as an int where no digit is in doubt, so that 100 is written `100`."""
    return int(number) if number.is_integer() and abs(number) <= 2**53 else number
