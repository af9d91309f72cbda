"""How a migration is run: on both databases, in one transaction, never two at once.

Run by `personas-sync db upgrade` with an engine of the program's own, or by the `alembic` command with SYNC_DATABASE_URL.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, Engine, text

from sync.store.engine import open_engine
from sync.store.schema import belongs_to, metadata

# Any number, the same for every deployer: two of them at once would trip over each other's tables.
ADVISORY_LOCK = 7_210_430_511


def migrate(engine: Engine) -> None:
    with engine.connect().execution_options(writing=True) as connection:
        prepare(connection)
        with connection.begin():
            lock(connection)
            context.configure(
                connection=connection,
                target_metadata=metadata,
                # SQLite cannot alter a table in place; alembic copies it instead.
                render_as_batch=True,
                transactional_ddl=True,
                include_object=lambda thing, *_: belongs_to(connection.dialect.name, thing),
            )
            context.run_migrations()


def prepare(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        # A copied table would take its children with it through ON DELETE; the pragma is ignored inside a transaction.
        connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]


def lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Give way rather than stop the traffic of a running service for longer than this.
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        # What a run may take has nothing to do with it.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": ADVISORY_LOCK})


given = context.config.attributes.get("engine")
engine = given if given is not None else open_engine(os.environ.get("SYNC_DATABASE_URL", "sqlite:///personas.db"))
try:
    migrate(engine)
finally:
    # The pragma above stays with its connection, so that connection must not be used again.
    engine.dispose()
