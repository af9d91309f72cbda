"""The few statements that the two databases word differently."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable, DropTable


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that can say what to do about rows that are there already."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def scratch(connection: Connection, name: str) -> Table:
    """Make an empty temporary table of (profile_id, value), this connection's own, and return it."""
    table = Table(
        f"scratch_{name}",
        MetaData(),
        Column("profile_id", BigInteger, primary_key=True, autoincrement=False),
        Column("value", Text),
        prefixes=["TEMPORARY"],
    )
    connection.execute(DropTable(table, if_exists=True))
    connection.execute(CreateTable(table))
    return table


def analyze(connection: Connection, tables: Sequence[Table]) -> None:
    """Tell PostgreSQL's planner how large temporary tables are, which nothing else does."""
    if connection.dialect.name == "postgresql":
        for table in tables:
            connection.exec_driver_sql(f"ANALYZE {table.name}")
