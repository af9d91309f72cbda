"""An idle look at what is owed reads next to nothing: its queries go by the indexes of what is owed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, event, select

from sync.delivery import Lane
from sync.store import Store, debts, listed, queue
from sync.store.prepared import Prepared
from sync.store.queue import Wanted
from sync.store.schema import calls, memberships, profiles

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


LISTED = {
    "calls of message ids": (select(calls.c.id).where(listed.one_of(calls.c.message_id, "some")), "message_id=?"),
    "calls of profiles": (select(calls.c.id).where(listed.one_of(calls.c.profile_id, "some")), "profile_id=?"),
    "profiles of users": (select(profiles.c.id).where(listed.one_of(profiles.c.user_id, "some")), "user_id=?"),
    "an audience's rows of profiles": (
        select(memberships.c.state).where(memberships.c.audience_id == 1, listed.one_of(memberships.c.profile_id, "some")),
        "audience_id=? AND profile_id=?",
    ),
}


@pytest.mark.parametrize(("statement", "place"), LISTED.values(), ids=LISTED.keys())
def test_rows_of_listed_values_are_found_by_the_index_and_one_by_one(sqlite_store: Store, statement, place: str) -> None:
    plans: list[str] = []

    @event.listens_for(sqlite_store.engine, "before_cursor_execute")
    def explain(connection, _cursor, sql, parameters, *_):
        cursor = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        plans.extend(row[3] for row in cursor.fetchall())

    with sqlite_store.reading() as connection:
        Prepared(statement).execute(connection, some=listed.values(["1"])).all()

    assert any("USING" in plan and place in plan for plan in plans), plans
