"""JSON as this program keeps it: every value comes back with the type and the digits it came in with.

Knows bytes and Python values. Does not know calls, traits or limits; who reads from strangers sets those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
Writable: TypeAlias = "Json | Sequence[Writable] | Mapping[str, Writable]"
"""What is only read, to be written; lists and dicts all the same."""

_decoder: Final = msgspec.json.Decoder()
_encoder: Final = msgspec.json.Encoder()


def decode(data: bytes | str) -> Json:
    """Read one JSON document.

    Integers of any size stay exact; of a key that stands twice the last one counts. Raises ValueError for anything that is not
    JSON by RFC 8259 (NaN, infinities, lone surrogates, invalid UTF-8), for a number beyond a double, and for nesting too deep
    for the interpreter.
    """
    try:
        value: Json = _decoder.decode(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(str(error)) from None
    return value


def encode(value: Writable) -> str:
    """Write a value as compact JSON; the keys keep their order."""
    return _encoder.encode(value).decode()


def encode_bytes(value: Writable) -> bytes:
    """Write a value as `encode` does, in UTF-8."""
    return _encoder.encode(value)


def encode_sorted(value: Json) -> str:
    """Write a value as compact JSON with sorted keys, so that equal values give equal text."""
    return msgspec.json.encode(value, order="sorted").decode()
