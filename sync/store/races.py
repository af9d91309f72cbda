"""Races between writers on PostgreSQL: whoever lost one goes alone the next time.

Of two that take in calls about the same new people one waits for the other, and loses. It would lose again to whoever begins next,
and so on; so it waits until those who take calls in are done, and whoever comes later waits for it. SQLite has one writer at a
time.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Connection, func, literal, select

from sync.store.bulk import Question
from sync.store.prepared import Prepared

_KEY: Final = literal(0x73796E63, BigInteger())
"""Which of the server's advisory locks, of this database; `sync` in ASCII."""

_BESIDE: Final = Prepared(select(func.pg_advisory_xact_lock_shared(_KEY)))
_ALONE: Final = Prepared(select(func.pg_advisory_xact_lock(_KEY)))


def beside_others(connection: Connection) -> list[Question]:
    """Return what to say first of all to take calls in beside others, until the transaction ends."""
    return [] if connection.dialect.name == "sqlite" else [Question(_BESIDE, {})]


def alone(connection: Connection) -> None:
    """Wait until nobody else takes calls in, and let nobody begin, until the transaction ends."""
    if connection.dialect.name != "sqlite":
        _ALONE.rows(connection)
