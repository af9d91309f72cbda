"""A migration of many rows that is killed without warning, again and again (row 42)."""

from __future__ import annotations

import random

from sqlalchemy import func, select

from sync.store import Store, migrate
from sync.store import schema as t
from tests.crash.life import Folder
from tests.make import keep, track

TABLES = (t.profiles, t.calls, t.deliveries)


def numbers(store: Store) -> list[int]:
    with store.reading() as connection:
        return [int(connection.scalar(select(func.count()).select_from(table)) or 0) for table in TABLES]


def test_a_migration_that_is_killed_in_the_middle_loses_no_row_and_can_be_run_again(folder: Folder, store: Store) -> None:
    for batch in range(2):
        made = (track(f"user-{n % 500}", message_id=f"{batch}-{n}", properties={"when": "2026-03-04"}) for n in range(1000))
        keep(store, *made, forward=True)
    before = numbers(store)
    migrate.downgrade(store.engine, "0001")
    dice, killed = random.Random(1), 0
    while True:
        process = folder.start("db", "upgrade")
        process.join(0.05 + dice.random() * 0.1 + killed * 0.15)
        if not process.is_alive():
            break
        process.kill()
        process.join()
        killed += 1
        with store.reading() as connection:
            assert migrate.revision(connection) in ("0001", migrate.head())
    assert (process.exitcode, killed > 0) == (0, True)
    store.require_current_schema()
    assert numbers(store) == before == [500, 2000, 2000]
