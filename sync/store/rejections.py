"""Calls that were not understood, as people ask for them: how many there are, of which source and why, and the latest ones.

Knows the table that `sync.store.calls` fills. Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from sync.store.schema import rejected_calls


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """One call that was refused."""

    id: int
    source: str
    received_at: datetime
    code: str
    message: str
    body: str
    """As it came, cut at 32 KB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """How many calls of one source were refused for one reason."""

    source: str
    code: str
    calls: int


def numbers(connection: Connection) -> Sequence[Number]:
    """Count all that are kept, by source and code, the most first."""
    r = rejected_calls.c
    counted = func.count().label("calls")
    statement = select(r.source, r.code, counted).group_by(r.source, r.code).order_by(counted.desc(), r.source, r.code)
    return [Number(source=source, code=code, calls=calls) for source, code, calls in connection.execute(statement)]


def latest(
    connection: Connection, limit: int, *, source: str | None = None, code: str | None = None, before: int | None = None
) -> Sequence[Rejection]:
    """Return the latest of a source and code, with ids below `before`, the latest first."""
    r = rejected_calls.c
    statement = select(r.id, r.source, r.received_at, r.code, r.message, r.body).order_by(r.id.desc()).limit(limit)
    for column, wanted in ((r.source, source), (r.code, code)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if before is not None:
        statement = statement.where(r.id < before)
    return [Rejection(**row) for row in connection.execute(statement).mappings()]
