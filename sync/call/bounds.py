"""The limits of one call's JSON: what cannot be kept, or would only be sent to do harm.

Segment's size limit, and beside it what a database or another reader of the JSON would choke on. Refused rather than changed:
what is stored is what was sent.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final

from sync.call.invalid import InvalidCall
from sync.json_value import Json, encode

CALL_BYTES: Final = 32 * 1024
"""Segment's limit for one call (HTTP API, 2025-11)."""
DEPTH: Final = 64
KEYS: Final = 10_000
"""Segment keeps no more properties of one event."""
_LARGEST: Final = int(sys.float_info.max)


_SURELY_SHORT: Final = CALL_BYTES // 8
"""A number written again grows to at most five times its bytes (`1e15`), and nothing else grows at all; with room to spare."""
_STRIDE: Final = 30
_DIGITS_IN_A_ROW: Final = re.compile(rb"[0-9]{10}")
"""A number beyond a double has more than 300 digits, so that so many of the bytes at such a stride are its own."""


def surely_within_bounds(text: bytes) -> bool:
    """Tell by its text alone that a JSON document keeps all bounds, as nearly every call does; False where one has to look.

    It is some ten times faster than to look.
    """
    return (
        # So few bytes hold fewer keys, too.
        len(text) <= _SURELY_SHORT
        and text.count(b"{") + text.count(b"[") <= DEPTH
        # The one character is found faster than six, and mostly not there.
        and (b"\\" not in text or b"\\u0000" not in text)
        and not _DIGITS_IN_A_ROW.search(text[::_STRIDE])
    )


def check_bounds(value: dict[str, Json]) -> None:
    """Raise InvalidCall unless the value is of bearable depth, keys, numbers, characters and size.

    The walk goes level by level, not by recursion, and comes before the encoding that measures: depth is still unknown here.
    """
    level: list[Json] = [value]
    keys = 0
    for _ in range(DEPTH):
        keys += sum(len(container) for container in level if isinstance(container, dict))
        if keys > KEYS:
            raise InvalidCall("too_many_keys", f"a call may hold at most {KEYS} keys")
        level = [inner for container in level for inner in _containers_in(container)]
        if not level:
            break
    else:
        raise InvalidCall("nested_too_deeply", f"a call may be nested at most {DEPTH} levels deep")
    if len(encode(value).encode()) > CALL_BYTES:
        raise InvalidCall("call_too_large", f"a call may have at most {CALL_BYTES} bytes")


def _containers_in(container: Json) -> Iterator[Json]:
    """Check what stands directly in an object or array; yield what has to be looked into further."""
    if isinstance(container, dict):
        if any("\0" in key for key in container):
            raise _nul()
        values: Iterator[Json] = iter(container.values())
    else:
        assert isinstance(container, list)
        values = iter(container)
    for value in values:
        kind = type(value)
        if kind is dict or kind is list:
            yield value
        elif kind is str:
            if "\0" in value:  # type: ignore[operator]
                raise _nul()
        elif kind is int and not -_LARGEST <= value <= _LARGEST:  # type: ignore[operator]
            raise InvalidCall("number_out_of_range", "a number is beyond what a double can hold")


def _nul() -> InvalidCall:
    # PostgreSQL cannot keep U+0000 in text or jsonb.
    return InvalidCall("invalid_character", "text may not contain the character U+0000")
