"""Arrivals: the numbers by which a run knows what came in since the one before, whatever order writers commit in.

Every transaction that takes calls in has a number, which its calls and profiles carry. A *mark* is a number such that everything
with a smaller one was visible when the mark was read; the next run looks at what has the mark or more.

On SQLite, which has one writer at a time, transactions are counted in a row of `arrivals`. On PostgreSQL a counter would not do:
a transaction that took a smaller number can commit after one with a larger. There the number is the transaction's own id, and
the mark is the oldest id that was still running when it was read. Ids belong to one server: whether the store was moved to another
is told by the *origin*, in which case marks mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Text, cast, column, func, insert, select, update

from sync.store.bulk import Question
from sync.store.prepared import Prepared
from sync.store.schema import arrivals

_SQLITE: Final = "sqlite"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Everything with a smaller number of this origin has been seen."""

    origin: str
    number: int

    def holds_after(self, earlier: Mark) -> bool:
        """Whether what arrived since an earlier mark can be found by its number."""
        return self.origin == earlier.origin and self.number >= earlier.number


def number(connection: Connection) -> int:
    """Return the number of this transaction, which must be one that writes."""
    return number_in(connection, wanted(connection).rows(connection))


def wanted(connection: Connection) -> Question:
    """Return what to ask for the number of this transaction; the answer goes to `number_in`."""
    return Question(_RAISED if connection.dialect.name == _SQLITE else _TRANSACTION, {})


def number_in(connection: Connection, answer: Sequence[Any]) -> int:
    """Return the number that an answer has."""
    if answer:
        ((found,),) = answer
    else:
        # On SQLite, before there is a row.
        found = connection.scalars(insert(arrivals).values(id=1, last=1).returning(arrivals.c.last)).one()
    return int(found)


def mark_wanted(connection: Connection) -> Question:
    """Return what to ask for the mark of this moment; the answer goes to `mark_in`.

    What is read after it in the same transaction has seen all that lies before it.
    """
    return Question(_LAST if connection.dialect.name == _SQLITE else _OLDEST, {})


def mark_in(connection: Connection, answer: Sequence[Any]) -> Mark:
    """Return the mark that an answer has."""
    if connection.dialect.name == _SQLITE:
        # No row yet where nothing has arrived.
        return Mark(origin=_SQLITE, number=max((last for (last,) in answer), default=0) + 1)
    origin = connection.info.get(_ORIGIN)
    if origin is None:
        # It is the same for as long as the connection lasts.
        origin = connection.info[_ORIGIN] = _origin(connection)
    ((oldest,),) = answer
    return Mark(origin=origin, number=oldest)


def _origin(connection: Connection) -> str:
    may_ask = func.has_function_privilege("pg_control_system()", "execute")
    database, is_allowed = connection.execute(select(cast(func.current_database(), Text), may_ask)).one()
    return f"{_system(connection) if is_allowed else ''}/{database}"


def _system(connection: Connection) -> str:
    """Return the identifier that a PostgreSQL server was given when it was made."""
    return str(connection.scalars(_SYSTEM).one())


_ORIGIN: Final = "origin"
_TRANSACTION: Final = Prepared(select(cast(cast(func.pg_current_xact_id(), Text), BigInteger)))
_RAISED: Final = Prepared(update(arrivals).values(last=arrivals.c.last + 1).returning(arrivals.c.last))
_LAST: Final = Prepared(select(arrivals.c.last))
_OLDEST: Final = Prepared(select(cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)))
_SYSTEM: Final = select(column("system_identifier", BigInteger)).select_from(
    func.pg_control_system().table_valued("system_identifier")
)
