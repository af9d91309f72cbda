"""What all tools look at: a shop's events in PostgreSQL, the same for each of them, and who is in the audience at any instant.

Ours has them as calls that it took in. The others have a table as a warehouse has it, `shop.events`, with the index that suits the
audience best. Filling takes long, so a filled database can be kept as a template (`--keep`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import create_engine, make_url, text

from benchmarks.databases import opened, refreshed, written_back
from benchmarks.population import ORDER, Purchases, fill
from benchmarks.report import require
from benchmarks.shop import Shop
from sync.call import Call
from sync.compute import REMEMBERED
from sync.store import Store, migrate

EVENTS_PER_USER: Final = 10

_TABLE: Final = """
CREATE SCHEMA shop;
CREATE TABLE shop.events (user_id text NOT NULL, event text NOT NULL, at timestamptz NOT NULL, properties jsonb NOT NULL);
INSERT INTO shop.events
SELECT user_id, event, timestamptz 'epoch' + timestamp * interval '1 microsecond', properties::jsonb FROM calls ORDER BY id;
CREATE INDEX ON shop.events (event, at, user_id);
"""

_ORDERED: Final = f"""
SELECT p.id, max(c.timestamp) FROM calls AS c JOIN profiles AS p ON p.id = c.profile_id WHERE c.event = '{ORDER}' GROUP BY p.id
"""

MEMBERS: Final = f"""
SELECT count(*) FROM (
  SELECT DISTINCT user_id FROM shop.events
  WHERE event = '{ORDER}' AND at > :now - interval '30 days' AND at <= :now
) AS members
"""
"""The windowed SQL by hand, for this one audience, with nothing compared and nothing sent."""


class World:
    """The shop while time passes: orders arrive in both places, and members leave."""

    def __init__(self, url: str, store: Store, purchases: Purchases, users: int) -> None:
        self.url, self.users = url, users
        self._shop = Shop(store=store, purchases=purchases, users=users)

    @property
    def store(self) -> Store:
        return self._shop.store

    @property
    def now(self) -> datetime:
        return self._shop.now

    def libpq_url(self) -> str:
        """Return the database's URL as everybody but SQLAlchemy understands it."""
        return make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)

    def libpq_environment(self) -> dict[str, str]:
        """Return the same as the variables that libpq reads."""
        url = make_url(self.url)
        told = {
            "PGHOST": str(url.query.get("host") or url.host or ""),
            "PGPORT": str(url.port or url.query.get("port") or 5432),
            "PGUSER": url.username or "",
            "PGPASSWORD": url.password or "",
            "PGDATABASE": url.database or "",
        }
        return {name: value for name, value in told.items() if value}

    def members(self, at: datetime | None = None) -> frozenset[str]:
        return frozenset(f"user-{id}" for id in self._shop.purchases.members(at or self.now))

    def pass_by(self, entering: int, leaving: int) -> None:
        """Let time pass until so many have left, and as many others order as shall enter."""
        calls = self._shop.pass_by(entering, leaving)
        require(calls is not None, f"too few users are in or out for {entering} to enter and {leaving} to leave")
        self._tell_others(calls or [])

    def move_to(self, at: datetime) -> None:
        """Let time pass, and nothing else happen."""
        self._shop.now = max(self.now, at)

    def into_a_lull(self, length: timedelta) -> None:
        """Let time pass until nobody leaves for so long."""
        # So much at least, after which it is written down that nothing happened.
        soonest = self.now + REMEMBERED
        self._shop.now = self._shop.purchases.leaving(soonest).before_a_lull(soonest, length)

    def refresh(self) -> None:
        refreshed(self.store)

    def write_back(self) -> None:
        written_back(self.store)

    def _tell_others(self, calls: list[Call]) -> None:
        rows = [{"user": call.user_id, "at": call.timestamp} for call in calls]
        if rows:
            statement = f"INSERT INTO shop.events VALUES (:user, '{ORDER}', :at, '{{\"revenue\": 19.9}}')"
            with self.store.writing() as connection:
                connection.execute(text(statement), rows)


def filled(urls: Iterator[str], users: int, *, keep: bool) -> tuple[str, Purchases]:
    """Return a database with so many users and what they did; copied, where one such is kept."""
    url = next(urls)
    if not keep:
        return url, _fill(url, users)
    template = f"filled_{users}_{EVENTS_PER_USER}"
    server = make_url(url)
    if not _is_there(server, template):
        _fill(url, users)
        _maintain(server, f'ALTER DATABASE "{server.database}" RENAME TO {template}')
    else:
        _maintain(server, f'DROP DATABASE "{server.database}"')
    _maintain(server, f'CREATE DATABASE "{server.database}" TEMPLATE {template} STRATEGY FILE_COPY')
    with opened(url) as store:
        migrate.upgrade(store.engine)
        refreshed(store)
        return url, _purchases(store, users)


def _fill(url: str, users: int) -> Purchases:
    purchases = fill(url, users, users * EVENTS_PER_USER)
    with opened(url) as store:
        with store.writing() as connection:
            connection.exec_driver_sql(_TABLE)
        refreshed(store)
    return purchases


def _purchases(store: Store, users: int) -> Purchases:
    purchases = Purchases(users)
    with store.reading() as connection:
        for id, micros in connection.execute(text(_ORDERED)):
            purchases.ordered(id, micros, cents=0)
    return purchases


def _is_there(server: Any, name: str) -> bool:
    engine = create_engine(server)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}).first()
    engine.dispose()
    return found is not None


def _maintain(server: Any, statement: str) -> None:
    engine = create_engine(server.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
