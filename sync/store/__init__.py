"""The store: where calls, profiles, memberships and everything owed is kept. The only package that speaks SQL.

`Store` opens it and begins transactions; what is read and written inside of one is in the modules named after it, as functions
whose first argument is the connection. The store keeps, it does not decide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Final, Self, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from sync.errors import LogFull, SchemaMismatch, StoreBusy, SyncError, TookTooLong, Unreachable
from sync.settings import masked_database_url
from sync.store import deadline, migrate, races, wal
from sync.store.engine import BUSY_SECONDS, CACHE_BYTES, open_engine
from sync.store.turns import Turns

TRIES: Final = 8

RACES: Final = frozenset({"40001", "40P01"})
"""PostgreSQL's codes for a serialization failure and a deadlock."""

MENDED_BY_OPERATORS: Final = frozenset({"25006", "42501", "42703", "42P01"})
"""PostgreSQL's codes for what it refuses whoever asks: a server that may only be read, rights, and another schema than ours."""

CANCELLED: Final = "57014"
"""PostgreSQL's code for a statement that had all its time, or that somebody cancelled."""

ENDED: Final = frozenset({"25P03"})
"""PostgreSQL's code for a transaction that it ended because nothing was said in it: this process had been stopped."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Session:
    """One connection, for one transaction after another."""

    _connection: Connection
    _turn: Callable[[], AbstractContextManager[None]]
    _longest: float | None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begin a transaction that reads; it may fill temporary tables."""
        with self._connection.begin():
            yield self._connection

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """Read what the next transaction is to record, which must begin by holding off whoever would make it untrue.

        On PostgreSQL it is the same one: until something is written nobody waits for it, and each statement sees what is there by
        then either way. So an end and a beginning need not be told.
        """
        if self._connection.dialect.name == "sqlite":
            with self.reading() as connection:
                yield connection
        else:
            yield self._connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Begin a transaction that reads, all of whose statements see the store as it was at the first; the last of a session."""
        if self._connection.dialect.name != "sqlite":
            # Until the connection goes back to its pool.
            self._connection.execution_options(isolation_level="REPEATABLE READ")
        with self.reading() as connection:
            yield connection

    @contextmanager
    def glancing(self) -> Iterator[Connection]:
        """Read by statements each of which sees the store as it then is: less to say to a server that is asked again and again.

        It may take as long as a run.
        """
        if self._connection.dialect.name == "sqlite":
            with self.reading() as connection, deadline.ended_after(connection, self._longest):
                yield connection
            return
        level = self._connection.default_isolation_level
        self._connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            yield self._connection
        finally:
            self._connection.rollback()
            self._connection.execution_options(isolation_level=level)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction that writes; commits at the end, or not at all."""
        self._connection.execution_options(writing=True)
        try:
            with self._turn(), self._begun():
                yield self._connection
        finally:
            self._connection.execution_options(writing=False)

    def _begun(self) -> RootTransaction:
        looking = self._connection.get_transaction()
        return self._connection.begin() if looking is None else looking

    @contextmanager
    def trying(self) -> Iterator[Connection]:
        """Begin a transaction that writes, and take everything back at its end."""
        self._connection.execution_options(writing=True)
        try:
            with self._turn(), self._connection.begin() as transaction:
                yield self._connection
                transaction.rollback()
        finally:
            self._connection.execution_options(writing=False)


@dataclass(frozen=True, slots=True)
class Store:
    """One database. Safe to share between threads; a connection is not."""

    engine: Engine = field(repr=False)
    patience: float = BUSY_SECONDS
    """How many seconds to wait for a store that is away or locked."""
    longest: float | None = None
    """How many seconds a run may take, and on PostgreSQL any statement; None for as long as it takes."""
    _turns: Turns = field(default_factory=Turns, repr=False)

    @classmethod
    def at(cls, url: str, longest: float | None = None) -> Self:
        """Open the store at a database URL. Nothing is connected until the first transaction."""
        return cls(open_engine(url, longest=longest), longest=longest)

    @contextmanager
    def once_more(self, patience: float, cache_bytes: int = CACHE_BYTES) -> Iterator[Self]:
        """Open it once more, for somebody who has less patience, or keeps more of a SQLite file in memory."""
        engine = open_engine(self.engine.url.render_as_string(hide_password=False), patience, self.longest, cache_bytes)
        try:
            yield replace(self, engine=engine, patience=patience)
        finally:
            engine.dispose()

    @property
    def name(self) -> str:
        """Where it is, without its password, wherever in the URL that stands."""
        return masked_database_url(self.engine.url.render_as_string(hide_password=False))

    @property
    def on_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def connected(self, until: float | None = None) -> Iterator[Session]:
        """Take one connection for several transactions, which then share its temporary tables.

        With `until`, an instant of the monotonic clock, what is still asked over it then is ended. Raises TookTooLong.
        """
        with _translated(self), self.engine.connect() as connection, deadline.ended_at(connection, until, self.longest):
            yield Session(connection, self._turn, self.longest)

    def run_ends(self) -> float | None:
        """Return the instant of the monotonic clock at which a run that begins now has had all its time; None where it may last."""
        return None if self.longest is None else time.monotonic() + self.longest

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begin a transaction that reads. Raises Unreachable and StoreBusy."""
        with self.connected() as session, session.reading() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Begin a transaction that reads, all of whose statements see the store as it was at the first: for who tells people of it.

        Else what moves from one state to another meanwhile is seen twice by PostgreSQL, or not at all. Raises Unreachable and
        StoreBusy.
        """
        with self.connected() as session, session.snapshot() as connection:
            yield connection

    @contextmanager
    def glancing(self) -> Iterator[Connection]:
        """Read as `Session.glancing` does. Raises Unreachable and StoreBusy."""
        with self.connected() as session, session.glancing() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction that writes; commits at the end, or not at all. Raises Unreachable and StoreBusy."""
        with self.connected() as session, session.writing() as connection:
            yield connection

    @contextmanager
    def in_a_runs_time(self, connection: Connection) -> Iterator[None]:
        """End what is asked within when it has taken as long as a run may; for whoever does several in one transaction.

        PostgreSQL does that by itself, statement by statement. What it ends raises TookTooLong where the transaction does.
        """
        with deadline.ended_after(connection, self.longest if self.on_sqlite else None):
            yield

    def write(self, work: Callable[[Connection], Result], *, alone_then: bool = False) -> Result:
        """Do the work in a transaction that writes, again where another writer was faster, and return what it returned.

        PostgreSQL only: SQLite has one writer at a time. The work must therefore have no effect outside of its transaction.
        With `alone_then` it is done while nobody else takes calls in, once it has lost. Raises Unreachable and StoreBusy.
        """
        for attempt in range(1, TRIES + 1):
            try:
                with self.writing() as connection:
                    if alone_then and attempt > 1:
                        races.alone(connection)
                    return work(connection)
            except (IntegrityError, StoreBusy) as error:
                if attempt == TRIES or not _was_race(error):
                    raise
        raise AssertionError("the last try returns or raises")

    def _turn(self) -> AbstractContextManager[None]:
        return self._turns.turn(self.patience) if self.on_sqlite else nullcontext()

    def require_room(self, most: int) -> None:
        """Raise LogFull where a SQLite file's log takes up more bytes than that, and cannot begin anew since somebody reads.

        For whoever would rather have calls wait elsewhere: what is written all the same makes the log longer. Raises Unreachable.
        """
        if not self.on_sqlite or wal.size(self.engine.url.database) <= most:
            return
        # In turn, so that another thread which writes just now is not taken for one that is in the way.
        with _translated(self), self._turn(), self.engine.connect() as connection:
            connection.execution_options(without_transaction=True)
            if not wal.begins_anew(connection, most):
                raise LogFull(
                    f"the write-ahead log of the store {self.name} has grown beyond {most // 1024} kB, and cannot begin anew while "
                    "somebody reads"
                )

    def require_current_schema(self) -> None:
        """Raise SchemaMismatch, naming the command that mends it, unless the schema is this program's."""
        with self.reading() as connection:
            found, wanted = migrate.revision(connection), migrate.head()
        if found != wanted:
            raise SchemaMismatch(migrate.difference(self.name, found, wanted))

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _translated(store: Store) -> Iterator[None]:
    """Turn what only the user can mend into our errors; let bugs through as they are."""
    try:
        yield
    except SyncError:
        raise
    except NoConnectionFree as error:
        raise StoreBusy(
            f"this program has all its connections to the store {store.name} in use; nothing was done, try again"
        ) from error
    except (OperationalError, InterfaceError) as error:
        raise _explained(store.name, error) from error
    except DatabaseError as error:
        # What has no kind of its own: SQLite's "file is not a database", and a file that is damaged.
        if type(error) is not DatabaseError and _sqlstate(error) not in MENDED_BY_OPERATORS | ENDED:
            raise
        raise _explained(store.name, error) from error


def _explained(name: str, error: DBAPIError) -> SyncError:
    # The driver's sentence only: the statement is of no use to a user, and its values are somebody's data.
    cause = str(error.orig).strip().partition("\n")[0]
    if cause == "interrupted" or _sqlstate(error) == CANCELLED:
        return TookTooLong(deadline.ENDED)
    if _sqlstate(error) in RACES:
        return StoreBusy(f"another process is writing the same rows of the store {name}; nothing was done, try again")
    if "database is locked" in cause or "database table is locked" in cause:
        return StoreBusy(f"the store {name} is locked by another process; nothing was done, try again")
    return Unreachable(f"the store {name} cannot be used: {cause}")


def _was_race(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, StoreBusy) else error
    return isinstance(error, IntegrityError) or _sqlstate(cause) in RACES


def _sqlstate(error: BaseException | None) -> str | None:
    """Return PostgreSQL's code for what went wrong; None where it is not PostgreSQL's error."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)
