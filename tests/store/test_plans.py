"""An idle look at what is owed reads next to nothing: its queries go by the indexes of what is owed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Select, delete, event, select

from sync.delivery import Lane, State
from sync.ingest import Span, replay
from sync.language.parse import parse_audience
from sync.payload import Mapping
from sync.store import (
    Store,
    debts,
    evidence,
    figures,
    ledger,
    ledger_claims,
    listed,
    lookup,
    members,
    next_deliveries,
    purges,
    queue,
)
from sync.store.audiences import about, by_key
from sync.store.computation import Computation
from sync.store.prepared import Prepared
from sync.store.schema import calls, changes, memberships, profiles
from sync.store.types import to_micros
from sync.store.waiting import waiting
from sync.store.wanted import Places, Wanted
from tests.make import after, audience, identify, keep, people, record, standing_clock


def abandon(connection: Connection) -> None:
    ledger_claims.make(connection, [ledger_claims.Same(1, "true", [1, 2])], None)
    debts.abandon(connection, "died", after())


LOOKS: dict[str, Callable[[Connection], object]] = {
    "is anything due in the ledger": debts.waiting,
    "is anything on the way": lambda connection: debts.waiting(connection, on_the_way=True),
    "who is due": lambda connection: debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=10)),
    "what a dead sender left in the ledger": abandon,
    "what waits": waiting,
    "is anything queued": lambda connection: queue.waiting(connection, Lane.ACTIONS),
    "what a dead sender left in the queue": lambda connection: queue.abandon(connection, "died"),
    "since when anything is owed": figures.oldest_calls,
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
    one_by_one = "USING PRIMARY KEY (audience_id=? AND profile_id=?)"
    assert all(one_by_one in plan or ("USING" in plan and "ix_" in plan) for plan in about), about


LISTED = {
    "calls of message ids": (select(calls.c.id).where(listed.one_of(calls.c.message_id, "some")), "message_id=?"),
    "calls of profiles": (select(calls.c.id).where(listed.one_of(calls.c.profile_id, "some")), "profile_id=?"),
    "profiles of users": (select(profiles.c.id).where(listed.one_of(profiles.c.user_id, "some")), "user_id=?"),
    "an audience's rows of profiles": (
        select(memberships.c.state).where(memberships.c.audience_id == 1, listed.one_of(memberships.c.profile_id, "some")),
        "audience_id=? AND profile_id=?",
    ),
}


def test_values_that_stand_in_the_statement_are_looked_for_as_those_that_are_told(store: Store) -> None:
    keep(store, *(identify(f"user-{number}") for number in range(300)))
    wanted = profiles.c.user_id
    with store.writing() as connection:
        connection.exec_driver_sql("ANALYZE")
        found = connection.scalars(select(wanted).where(listed.among(wanted, ["user-7", "user-9", "no'one"]))).all()
        by_id = connection.scalars(select(wanted).where(listed.among(profiles.c.id, [8]))).all()
        nobody = connection.scalars(select(wanted).where(listed.among(wanted, []))).all()
        plan = planned(connection, select(wanted).where(listed.among(wanted, ["user-7", "user-9"])))

    assert (sorted(found), by_id, nobody) == (["user-7", "user-9"], ["user-7"], [])
    assert "uq_profiles_user_id" in plan or "sqlite_autoindex_profiles_1 (user_id=?)" in plan, plan


def planned(connection: Connection, statement: Select[Any]) -> str:
    """Return the plan of a statement whose values stand in it."""
    word = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    compiled = statement.compile(connection.engine, compile_kwargs={"literal_binds": True})
    return "\n".join(str(row) for row in connection.exec_driver_sql(f"{word} {compiled}").all())


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


def explained(store: Store, work: Callable[[Connection], object], about: str = "deliveries") -> list[str]:
    """Return the plan of each statement about the queue, or another table, that some work executes, as one text each."""
    plans: list[str] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def explain(connection, _cursor, sql, parameters, *_):
        if about in sql and not sql.startswith("COPY"):
            how = "EXPLAIN QUERY PLAN" if store.on_sqlite else "EXPLAIN"
            cursor = connection.connection.driver_connection.execute(f"{how} {sql}", parameters)
            plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))

    with store.writing() as connection:
        work(connection)
    event.remove(store.engine, "before_cursor_execute", explain)
    return plans


@pytest.fixture
def long_queue(store: Store) -> Store:
    """A queue of a long replay about many people, with a few live calls behind it."""
    keep(store, *(identify(f"u{number}", {"n": number}) for number in range(3000)))
    list(replay(store, Span(since=after(days=-1)), Mapping(), standing_clock()))
    keep(store, *(identify(f"u{number}", {"n": -1}) for number in range(3)), forward=True)
    if not store.on_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE deliveries, calls")
    return store


WHOLE = ("Seq Scan on deliveries", "SCAN deliveries\n")


def test_live_and_replayed_calls_are_taken_by_their_indexes_however_long_the_queue(long_queue: Store) -> None:
    wanted = Wanted(lane=Lane.USERS, limit=20)

    next_ones, ahead, *_ = explained(long_queue, lambda connection: next_deliveries.take(connection, wanted))[1:]

    assert "ix_deliveries_lane" in next_ones
    assert "ix_deliveries_replayed" in ahead
    assert not any(word in next_ones for word in (*WHOLE, "Sort", "TEMP B-TREE")), next_ones
    assert not any(word in ahead for word in WHOLE), ahead


@pytest.mark.parametrize(
    "look",
    [lambda connection: queue.listed(connection, State.REJECTED, 10), lambda connection: queue.abandon(connection, "died")],
    ids=["what was rejected", "what a dead sender left"],
)
def test_few_rows_of_a_long_queue_are_found_by_the_index(long_queue: Store, look: Callable[[Connection], object]) -> None:
    plans = explained(long_queue, look)

    assert plans
    assert all("ix_deliveries_lane" in plan for plan in plans), plans
    assert not any(word in plan for plan in plans for word in WHOLE), plans


@pytest.mark.parametrize(
    "look",
    [
        lambda connection: ledger.of_user(connection, 7),
        lambda connection: connection.execute(delete(memberships).where(about(memberships, 7))),
    ],
    ids=["what it says", "what is erased"],
)
def test_one_user_is_found_in_a_large_ledger_by_its_key(store: Store, look: Callable[[Connection], object]) -> None:
    people(store, *(f"u{number}" for number in range(1_000)))
    for key in ("one", "two", "three"):
        record(store, audience(store, key), [f"u{number}" for number in range(1_000)])
    if not store.on_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE memberships, audiences")

    (plan,) = explained(store, look, "memberships")

    assert "PRIMARY KEY (audience_id=? AND profile_id=?)" in plan or "Index Scan using pk_memberships" in plan, plan
    assert not any(word in plan for word in ("Seq Scan on memberships", "SCAN memberships")), plan


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_has_a_user_id_is_known_without_reading_the_rows_of_profiles_on_postgresql(store: Store) -> None:
    keep(store, *(identify(f"u{number}", {"about": "long " * 100}) for number in range(2_000)))
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE profiles")
    computation = Computation.of(parse_audience("event('Order Completed').count() >= 1"), {}, "postgresql")
    told = {"now": to_micros(after()), "ids": listed.values(range(0, 2_000, 20)), "audience": 1}

    (of_few,) = explained(store, lambda connection: computation.of_listed.execute(connection, **told), "profiles")
    (of_all,) = explained(store, lambda connection: Prepared(computation.of_everyone).execute(connection, **told), "profiles")

    assert "Index Only Scan using ix_profiles_known" in of_few, of_few
    assert "Index Only Scan using ix_profiles_known" in of_all, of_all


@pytest.fixture
def long_history(store: Store) -> Store:
    people(store, *(f"u{number}" for number in range(1_000)))
    for stored in [audience(store, key) for key in ("one", "two", "three")]:
        for day, size in enumerate((1_000, 500, 1_000)):
            record(store, stored, [f"u{number}" for number in range(size)], after(days=day))
    if not store.on_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE changes, memberships, profiles, audiences")
    return store


@pytest.mark.parametrize(
    "look",
    [
        lambda connection: lookup.changes_of(connection, 7, 10),
        lambda connection: connection.execute(delete(changes).where(about(changes, 7))),
        lambda connection: evidence.last_turn(connection, 1, 7, after(days=1)),
        lambda connection: members.page_at(connection, by_key(connection, "two"), after(days=1), 700, 10),
        lambda connection: purges.old_changes(connection, after(days=1), (1, 7, 1), 10),
        lambda connection: purges.drop_changes(connection, [(1, 700, 1)]),
    ],
    ids=["entries and exits", "what is erased", "the last one", "a page of members", "what may go", "what goes"],
)
def test_a_few_changes_are_found_in_a_long_history_by_its_key(long_history: Store, look: Callable[[Connection], object]) -> None:
    (plan,) = explained(long_history, look, "changes")

    assert "USING PRIMARY KEY (audience_id" in plan or "pk_changes" in plan, plan
    assert not any(word in plan for word in ("Seq Scan on changes", "SCAN changes")), plan


def test_what_is_owed_is_looked_for_after_what_has_just_been_sent(sqlite_store: Store) -> None:
    people(sqlite_store, "ann", "bob")
    record(sqlite_store, audience(sqlite_store), {"ann", "bob"})
    places = Places(ledger=1)

    def claim(connection: Connection) -> None:
        debts.claim(connection, debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=1, places=places)))

    owing, due, still_owing, _ = explained(sqlite_store, claim, "memberships")

    assert all("profile_id>?" in plan for plan in (owing, due, still_owing)), (owing, due, still_owing)
    assert places.ledger == 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_whether_anything_is_owed_is_found_by_an_index_also_where_all_was_owed_when_the_planner_last_looked(store: Store) -> None:
    people(store, *(f"user-{number}" for number in range(300)))
    record(store, audience(store), {f"user-{number}" for number in range(300)})
    keep(store, *(identify(f"user-{number}") for number in range(300)), forward=True)
    with store.writing() as connection:
        connection.exec_driver_sql("ANALYZE")

    def look(connection: Connection) -> None:
        debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=10, places=Places(ledger=1)))
        debts.waiting(connection)
        debts.waiting(connection, on_the_way=True)
        queue.waiting(connection, Lane.USERS)
        queue.waiting(connection, Lane.USERS, on_the_way=True)
        waiting(connection)

    plans = explained(store, look, "state")

    assert len(plans) == 7, plans
    assert not any(f"Seq Scan on {table}" in plan for plan in plans for table in ("memberships", "deliveries")), plans


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_is_on_the_way_is_looked_up_and_not_gone_through_however_many_claims_there_have_been(store: Store) -> None:
    people(store, "ann")
    record(store, audience(store), {"ann"})
    plans: list[str] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def explain(connection, _cursor, statement, parameters, *_):
        if "memberships" in statement and "claims" in statement:
            found = connection.connection.driver_connection.execute(f"EXPLAIN {statement}", parameters).fetchall()
            plans.append("\n".join(row[0] for row in found))

    with store.writing() as connection:
        ledger_claims.make(connection, [ledger_claims.Same(7, "true", list(range(100)))] * 3_000, None)
        connection.exec_driver_sql("ANALYZE claims")
        debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=10))
        debts.waiting(connection)
        ledger.states(connection)

    assert len(plans) == 3
    assert all("hashed SubPlan" in plan for plan in plans), plans
