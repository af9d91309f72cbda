"""Which dates stand in a document, for the index of dates: what a query compares with now may be any of them.

Knows what a date value is from `sync.language.values`. May list a date that no query will ever ask for, and never misses one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from sync.json_value import Json
from sync.language.values import instant_of

LONGEST_KEY: Final = 100
"""Longer keys are cut, so that an index can hold them; that two of them may then be one costs nothing but a look."""

_SHORTEST: Final = len("2026-03-04")
_MONTH_AND_DAY: Final = re.compile(r"-[0-9]{2}-[0-9]{2}")


def may_hold_dates(text: str) -> bool:
    """Whether there may be a date in JSON text: many times faster than to look at every value, and never wrong when it says no."""
    return _MONTH_AND_DAY.search(text) is not None


def dates_below(document: Mapping[str, Json]) -> Iterator[tuple[str, int]]:
    """Yield (top-level key, cut; microseconds since 1970) for every date at or below each key, repeats and all."""
    for key, value in document.items():
        for instant in _instants(value):
            yield key[:LONGEST_KEY], instant


def _instants(value: Json) -> Iterator[int]:
    match value:
        case str():
            # Nearly every string is no date, which the fifth character tells fastest.
            if len(value) >= _SHORTEST and value[4] == "-" and (instant := instant_of(value)) is not None:
                yield instant
        case dict():
            for below in value.values():
                yield from _instants(below)
        case list():
            for below in value:
                yield from _instants(below)
