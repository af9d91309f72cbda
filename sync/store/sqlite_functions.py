"""What PostgreSQL can do with JSON, text and numbers and SQLite cannot: functions that are added to every SQLite connection.

They read values with the same code as the language's reading (`sync.language.values`), so that the two cannot differ. All are
deterministic; what is not a number, a date or a text is NULL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

import msgspec

from sync.json_value import Json, decode, encode
from sync.language import values
from sync.language.tree import Each, Path
from sync.store.types import to_text

REMEMBERED: Final = 16_384
"""How many of the latest texts are not read again: dates and prices come in heaps."""

PARTS: Final = 10_000
LARGEST_COUNTED: Final = 10_000_000.0
BILLION: Final = 1_000_000_000

SHORT: Final = 40
"""Characters of a value that is worth remembering."""


def register(connection: sqlite3.Connection) -> None:
    """Add the functions to one connection."""
    for function in (text_number, text_instant, json_number, json_number_text, json_sorted, double_text, double_json):
        connection.create_function(function.__name__, 1, function, deterministic=True)
    for function_of_two in (json_member, json_array_text):
        connection.create_function(function_of_two.__name__, 2, function_of_two, deterministic=True)
    connection.create_aggregate("exact_total", 1, ExactTotal)  # type: ignore[arg-type]
    connection.create_aggregate("exact_mean", 1, ExactMean)  # type: ignore[arg-type]
    connection.create_aggregate("json_text_list", 1, JsonTextList)  # type: ignore[arg-type]


@lru_cache(REMEMBERED)
def text_number(text: str | None) -> float | None:
    """Read a text that is a number in full."""
    return values.number_of(text)


@lru_cache(REMEMBERED)
def text_instant(text: str | None) -> int | None:
    """Read a date, as microseconds since 1970."""
    return values.instant_of(text)


def json_number(json: str | None) -> float | None:
    """Read a JSON number as the nearest double."""
    return None if json is None else values.number_of(decode(json))


def json_number_text(json: str | None) -> str | None:
    """Write a JSON number in its shortest decimal form."""
    return None if json is None else values.text_of(decode(json))


def json_sorted(json: str | None) -> str | None:
    """Write JSON so that equal objects are equal texts."""
    return None if json is None else to_text(decode(msgspec.json.encode(decode(json), order="sorted")))


def double_text(double: float | None) -> str | None:
    """Write a double in its shortest decimal form."""
    return None if double is None else values.number_text(double)


def double_json(double: float | None) -> str | None:
    """Write a double as JSON, without a fraction if it has none."""
    return None if double is None else to_text(values.tidy(float(double)))


def json_member(json: str | None, key: str) -> str | None:
    """Look a key up in an object; for keys that cannot be said in SQLite's own paths."""
    document = None if json is None else decode(json)
    return to_text(document[key]) if isinstance(document, dict) and key in document else None


def json_array_text(json: str | None, path: str) -> str | None:
    """Write what a path leads to as one text, as `mode(… as array)` has it. The path is a JSON array; `true` in it is `$`."""
    document = None if json is None else decode(json)
    if not isinstance(document, dict):
        return None
    steps = _path(path)
    found = values.find(document, steps)
    if Each.ELEMENT in steps:
        return values.array_text(found)
    return values.array_text(found[0]) if isinstance(found[0], list) else values.text_of(found[0])


@lru_cache
def _path(path: str) -> Path:
    steps: Json = decode(path)
    assert isinstance(steps, list)
    return tuple(step if isinstance(step, str) else Each.ELEMENT for step in steps)


class ExactTotal:
    """Add the numbers among JSON values exactly, then round to 9 decimals.

    Amounts with up to four decimals are added as whole ten-thousandths, which is as exact and many times faster.
    """

    def __init__(self) -> None:
        self.written: list[str | None] = []
        # For each row: a function of ours, in its place, would take most of the time.
        self.step: Callable[[str | None], None] = self.written.append

    def finalize(self) -> float | None:
        found = _amounts(self.written)
        parts = sum(found)
        if not found:
            return None
        return parts / PARTS if isinstance(parts, int) else values.rounded(values.total(map(_number, found)))


class ExactMean(ExactTotal):
    """Take the mean of the numbers among JSON values exactly, then round to 9 decimals."""

    def finalize(self) -> float | None:
        found = _amounts(self.written)
        parts, many = sum(found), len(found)
        if not found:
            return None
        if not isinstance(parts, int):
            return values.rounded(values.share(values.total(map(_number, found)), many))
        # Halves go away from zero.
        billionths = (2 * abs(parts) * (BILLION // PARTS) + many) // (2 * many)
        return (-billionths if parts < 0 else billionths) / BILLION


def _amounts(written: Iterable[str | None]) -> list[int | float]:
    return [
        amount
        for json in written
        if json is not None and (amount := _short_amount(json) if len(json) <= SHORT else _amount(json)) is not None
    ]


def _amount(json: str) -> int | float | None:
    """Read a JSON value that is a number, or a string that is one: as so many ten-thousandths where it is, else as a double.

    Two decimals of up to 15 digits are never the same double; so if one of them is this double, its shortest form has no digit
    more.
    """
    # Anything but these can be long, and is no number.
    number = json_number(json) if json[0] in '"-0123456789' else None
    if number is None or not -LARGEST_COUNTED < number < LARGEST_COUNTED:
        return number
    parts = round(number * PARTS)
    return parts if parts / PARTS == number else number


_short_amount: Final = lru_cache(REMEMBERED)(_amount)


def _number(amount: int | float) -> float:
    return amount / PARTS if isinstance(amount, int) else amount


class JsonTextList:
    """Write texts as a JSON array sorted by code point."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def step(self, text: str | None) -> None:
        if text is not None:
            self.texts.append(text)

    def finalize(self) -> str | None:
        return encode([*sorted(self.texts)]) if self.texts else None
