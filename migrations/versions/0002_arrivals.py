"""What incremental runs need: arrivals and dates; and what forgetting and retention need.

Safe while the previous release runs: it fills the new columns with their defaults, and whatever it writes is found by the first run
of this release, which looks at everyone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from sync.json_value import decode
from sync.language.dates import dates_below

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DOCUMENT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
ZERO = sa.text("0")
IS_EVENT = sa.text("event IS NOT NULL")
AT_A_TIME = 1000


def upgrade() -> None:
    op.create_table(
        "arrivals",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrivals")),
    )
    op.create_table(
        "purges",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_purges")),
    )
    op.create_table(
        "receipts",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("erased", sa.Text(), nullable=False),
        sa.Column("in_moesif", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipts")),
    )
    op.create_table(
        "salts",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_salts")),
    )
    op.create_table(
        "suppressions",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_suppressions")),
    )
    op.create_table(
        "dates",
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("profile_id", ROW_ID, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name=op.f("fk_dates_profile_id_profiles")),
        sa.PrimaryKeyConstraint("place", "event", "key", "at", "profile_id", name=op.f("pk_dates")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_dates_profile_id"), "dates", ["profile_id"], unique=False)
    op.add_column("audiences", sa.Column("members", sa.Integer(), server_default=ZERO, nullable=False))
    op.add_column("audiences", sa.Column("basis", sa.Text(), nullable=True))
    op.add_column("audiences", sa.Column("generation", sa.Integer(), server_default=ZERO, nullable=False))
    op.add_column("calls", sa.Column("arrival", sa.BigInteger(), server_default=ZERO, nullable=False))
    op.create_index(
        "ix_calls_arrival",
        "calls",
        ["event", "arrival", "profile_id"],
        unique=False,
        postgresql_where=IS_EVENT,
        sqlite_where=IS_EVENT,
    )
    for name in ("arrival", "traits_arrival"):
        op.add_column("profiles", sa.Column(name, sa.BigInteger(), server_default=ZERO, nullable=False))
        op.create_index(op.f(f"ix_profiles_{name}"), "profiles", [name], unique=False)
    _fill_dates(op.get_bind())


def downgrade() -> None:
    for name in ("traits_arrival", "arrival"):
        op.drop_index(op.f(f"ix_profiles_{name}"), table_name="profiles")
    op.drop_index("ix_calls_arrival", table_name="calls", postgresql_where=IS_EVENT, sqlite_where=IS_EVENT)
    # SQLite drops a column in place only where nothing refers to it, which is so here.
    for table, names in (("profiles", ("traits_arrival", "arrival")), ("calls", ("arrival",))):
        for name in names:
            op.drop_column(table, name)
    for name in ("generation", "basis", "members"):
        op.drop_column("audiences", name)
    op.drop_index(op.f("ix_dates_profile_id"), table_name="dates")
    for table in ("dates", "suppressions", "salts", "receipts", "purges", "arrivals"):
        op.drop_table(table)


def _fill_dates(connection: sa.Connection) -> None:
    """Find the dates in what is stored already."""
    profiles = sa.table("profiles", sa.column("id"), sa.column("traits", DOCUMENT))
    calls = sa.table(
        "calls",
        *(sa.column(name) for name in ("id", "profile_id", "event")),
        *(sa.column(name, DOCUMENT) for name in ("properties", "context")),
    )
    for row in _pages(connection, profiles):
        _keep(connection, {("trait", "", key, at, row.id) for key, at in dates_below(_read(row.traits))})
    for row in _pages(connection, calls, calls.c.event.is_not(None)):
        found = {("property", row.event, key, at, row.profile_id) for key, at in dates_below(_read(row.properties))}
        found |= {("context", row.event, key, at, row.profile_id) for key, at in dates_below(_read(row.context))}
        _keep(connection, found)


def _pages(connection: sa.Connection, table: sa.TableClause, *conditions: Any) -> Iterator[Any]:
    after = 0
    while True:
        wanted = sa.select(table).where(table.c.id > after, *conditions).order_by(table.c.id).limit(AT_A_TIME)
        rows = connection.execute(wanted).all()
        if not rows:
            return
        yield from rows
        after = rows[-1].id


def _read(document: Any) -> Any:
    return decode(document) if isinstance(document, str) else document


def _keep(connection: sa.Connection, found: set[tuple[str, str, str, int, int]]) -> None:
    names = ("place", "event", "key", "at", "profile_id")
    values = ", ".join(f":{name}" for name in names)
    statement = sa.text(f"INSERT INTO dates ({', '.join(names)}) VALUES ({values}) ON CONFLICT DO NOTHING")
    if found:
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in sorted(found)])
