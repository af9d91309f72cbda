"""An idle look at what is owed reads next to nothing: its queries go by the indexes of what is owed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, event

from sync.delivery import Lane
from sync.store import Store, debts, queue
from sync.store.queue import Wanted

LOOKS: dict[str, Callable[[Connection], object]] = {
    "is anything due in the ledger": debts.waiting,
    "is anything on the way": lambda connection: debts.waiting(connection, on_the_way=True),
    "who is due": lambda connection: debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=10), set()),
    "what a dead sender left in the ledger": lambda connection: debts.abandon(connection, "died"),
    "is anything queued": lambda connection: queue.waiting(connection, Lane.ACTIONS),
    "what a dead sender left in the queue": lambda connection: queue.abandon(connection, "died"),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_what_is_looked_at_often_goes_by_the_index_of_what_is_owed(
    sqlite_store: Store, look: Callable[[Connection], object]
) -> None:
    plans: list[str] = []

    @event.listens_for(sqlite_store.engine, "before_cursor_execute")
    def explain(connection, _cursor, statement, parameters, *_):
        cursor = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend(row[3] for row in cursor.fetchall())

    with sqlite_store.writing() as connection:
        plans.clear()
        look(connection)

    about = [plan for plan in plans if "memberships" in plan or "deliveries" in plan]
    assert about
    assert all("USING" in plan and "ix_" in plan for plan in about), about
