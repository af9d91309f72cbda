"""The few statements that the two databases word differently."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Table,
    Text,
    delete,
    func,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

WORTH_ANALYZING: Final = 100
WORTH_TRUNCATING: Final = 10_000
"""Rows."""


def upsert(database: Connection | str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that can say what to do about rows that are there already, for a connection or a dialect's name."""
    return sqlite.insert(table) if _name(database) == "sqlite" else postgresql.insert(table)


def _name(database: Connection | str) -> str:
    return database if isinstance(database, str) else database.dialect.name


SHARES: Final = 16
"""Into how many shares users and companies are divided among those who send."""


DEALS: Final = 16
"""So many statements about shares a process keeps of a kind, 37 kB each: it has one set of them at a time, and another one whenever
some process comes, goes or is stopped, which may be thousands of times."""


def in_shares(database: Connection | str, subject: ColumnElement[str], shares: frozenset[int] | None) -> ColumnElement[bool]:
    """Return whether a subject is in one of the shares; None is all of them, and on SQLite there is only one."""
    if shares is None or _name(database) == "sqlite":
        return true()
    return (func.hashtext(subject).op("&")(SHARES - 1)).in_(sorted(shares))


def _scratch(name: str) -> Table:
    # Declared once, so that SQLAlchemy remembers the statements about it.
    return Table(
        f"scratch_{name}",
        MetaData(),
        Column("profile_id", BigInteger, primary_key=True, autoincrement=False),
        Column("value", Text),
        prefixes=["TEMPORARY"],
    )


COMPUTED: Final = _scratch("computed")
DIFFERENCE: Final = _scratch("difference")
CANDIDATES: Final = _scratch("candidates")
"""Temporary tables of (profile_id, value), each connection's own."""


def emptied(connection: Connection, table: Table) -> Table:
    """Return a temporary table with nothing in it."""
    connection.execute(CreateTable(table, if_not_exists=True))
    deleted = connection.execute(delete(table)).rowcount
    if connection.dialect.name == "postgresql":
        # Rows that are only deleted stay until a vacuum, which nothing ever does to a temporary table. To truncate it each time
        # would write to the catalog, and so to the disk, for every run.
        dead = connection.info.setdefault(table.name, 0) + deleted
        if dead > WORTH_TRUNCATING:
            connection.exec_driver_sql(f"TRUNCATE {table.name}")
        connection.info[table.name] = 0 if dead > WORTH_TRUNCATING else dead
    return table


def created_as(table: Table) -> str:
    """Return what makes a temporary table of the select that follows.

    PostgreSQL has several processes do that; an INSERT only one.
    """
    return f"CREATE TEMPORARY TABLE {table.name} AS "


def keyed(connection: Connection, table: Table) -> None:
    """Give a temporary table that was made of a select its key, by which statements that follow look users up."""
    connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD PRIMARY KEY (profile_id)")


def dropped(connection: Connection, table: Table) -> None:
    """Make room for a temporary table."""
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table.name}")
    connection.info.pop(table.name, None)


def analyze(connection: Connection, table: Table, rows: int) -> None:
    """Tell PostgreSQL's planner about a temporary table, which nothing else does; a small one it guesses well enough."""
    if rows >= WORTH_ANALYZING and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"ANALYZE {table.name}")


def in_no_hurry(connection: Connection) -> None:
    """Let PostgreSQL wait in this transaction for somebody who reads what it gives, page by page, as slowly as they like."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


def without_jit(connection: Connection) -> None:
    """Let PostgreSQL not compile this transaction's statements: with a million users that took a tenth longer than it saved."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL jit = off")
