"""How instants and JSON documents are kept.

Instants are whole microseconds since 1970 in UTC, in a BIGINT: exact, compared the same way everywhere, and free of the drivers'
ideas of time zones. Documents are JSONB on PostgreSQL and canonical text on SQLite, whose own `JSON` column type would change
numbers (it has numeric affinity).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Dialect, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

from sync.json_value import Writable, decode, encode

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

# An exponent, or something in a string that looks like one. The first pattern is the faster by far: nearly all text ends with it.
_MAYBE_EXPONENT: Final = re.compile(r"e[+-]?[0-9]")
_LIKELY_EXPONENT: Final = re.compile(r"[0-9]e[+-]?[0-9]")

RowId: Final = BigInteger().with_variant(Integer, "sqlite")
"""A generated key: SQLite generates keys only for columns declared INTEGER."""


def to_micros(instant: datetime) -> int:
    """Return microseconds since 1970; exact, unlike `timestamp()`, which goes through a float."""
    return (instant - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime."""
    return EPOCH + timedelta(microseconds=micros)


def span(duration: timedelta) -> int:
    """Return a duration in the store's unit, microseconds."""
    return duration // MICROSECOND


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


class Document(TypeDecorator[Any]):
    """A JSON value that comes back as it went in, numbers included."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(JSONB() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        # On PostgreSQL the engine's own serializer does it (`sync.store.engine`), once.
        return value if value is None or dialect.name == "postgresql" else to_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else decode(value)


def to_text(value: Writable) -> str:
    """Write JSON whose floats have no exponent.

    JSONB keeps digits and scale but not the exponent: `1e22` would come back as an integer, `10000000000000000000000.0` does not.
    """
    text = encode(value)
    if text == "{}":
        return text
    return encode_plain(value) if _MAYBE_EXPONENT.search(text) and _LIKELY_EXPONENT.search(text) else text


def encode_plain(value: Writable) -> str:
    """Write JSON with every float spelt out."""
    return msgspec.json.encode(_spelt_out(value)).decode()


def _spelt_out(value: Writable) -> Any:
    match value:
        case float():
            digits = format(Decimal(repr(value)), "f")
            return msgspec.Raw((digits if "." in digits else digits + ".0").encode())
        case list():
            return [_spelt_out(item) for item in value]
        case dict():
            return {key: _spelt_out(item) for key, item in value.items()}
        case _:
            return value
