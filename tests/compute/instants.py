"""An audience that is computed as of one instant after another."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from sync.compute import compute
from sync.membership import Run
from sync.store import Store, ledger
from sync.store.audiences import Stored, by_key
from tests.make import again, standing_clock

RECENT = "event('Order Completed').within(30 days).count() >= 1"


def at(store: Store, stored: Stored, instant: datetime, **wanted: object) -> Run:
    return compute(store, again(store, stored), instant, standing_clock(), **wanted)


def members(store: Store, stored: Stored) -> set[str]:
    with store.reading() as connection:
        return {user for _, user, _, _ in ledger.members(connection, stored, 0, 100)}


def count(store: Store, table) -> int:
    with store.reading() as connection:
        return connection.scalars(select(func.count()).select_from(table)).one()


def again_by_key(store: Store) -> Stored:
    with store.reading() as connection:
        return by_key(connection, "buyers")
