"""Why a user is in or out: what the store holds of them, what the last run said, what Moesif was told. On both databases."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, event

from sync.audience import Kind
from sync.compute import compute
from sync.delivery import Lane, State
from sync.errors import InputError, NotFound
from sync.explain import MOST_WORK, Explanation, explain, report
from sync.language.explaining import Happened
from sync.membership import Run
from sync.store import Store, audiences, debts, evidence
from sync.store.audiences import Stored
from sync.store.schema import changes
from sync.store.wanted import Wanted
from tests.make import NOW, after, again, audience, computed_trait, identify, keep, people, record, standing_clock, track

RECENT = "event('Order Completed').within(30 days).count() >= 1"


def explained(store: Store, key: str, user_id: str, at: datetime | None = None, now: datetime = NOW) -> Explanation:
    return explain(store, key, user_id, at, now)


def computed(store: Store, stored: Stored, at: datetime = NOW) -> Run:
    return compute(store, again(store, stored), at, standing_clock(at))


def told(store: Store, stored: Stored, user_id: str) -> Any:
    found = explained(store, stored.key, user_id).told
    assert found is not None
    return found


# ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_whoever_the_last_run_let_in_is_in_since_then_by_that_run(store: Store) -> None:
    keep(store, track("ann", at=after(days=-5), message_id="m-1"), track("ann", at=after(days=-50)))
    buyers = audience(store, query=RECENT)
    run = computed(store, buyers)

    found = explained(store, "buyers", "ann", now=after(days=1))

    assert (found.member, found.since, found.in_step) == (True, NOW, True)
    assert found.recorded is not None
    assert found.recorded.turn is not None
    assert (found.recorded.turn.run_id, found.recorded.turn.run_at) == (run.id, NOW)
    assert found.next_change.at == after(days=25)


def test_the_evidence_is_the_calls_themselves(store: Store) -> None:
    keep(store, track("ann", at=after(days=-5), message_id="m-1", properties={"revenue": 30}), track("ann", "Viewed"))
    audience(store, query="event('Order Completed').sum(property('revenue')) >= 20")

    node = explained(store, "buyers", "ann").condition.parts[0]

    assert isinstance(node.evidence, Happened)
    only = node.evidence.events[0]
    assert isinstance(only.event, evidence.StoredEvent)
    assert (only.event.message_id, only.event.timestamp, only.value) == ("m-1", after(days=-5), 30)


def test_whoever_was_never_in_is_out_since_never(store: Store) -> None:
    people(store, "ann")
    computed(store, audience(store, query=RECENT))

    found = explained(store, "buyers", "ann")

    assert (found.member, found.since, found.in_step, found.recorded, found.told) == (False, None, True, None, None)


def test_whoever_has_left_is_out_since_then(store: Store) -> None:
    keep(store, track("ann", at=after(days=-5)))
    buyers = audience(store, query=RECENT)
    computed(store, buyers)
    computed(store, buyers, after(days=40))

    found = explained(store, "buyers", "ann", now=after(days=41))

    assert (found.member, found.since, found.in_step) == (False, after(days=40), True)


def test_before_the_next_run_the_ledger_still_says_otherwise(store: Store) -> None:
    keep(store, track("ann", at=after(days=-5)))
    computed(store, audience(store, query=RECENT))

    found = explained(store, "buyers", "ann", now=after(days=26))

    assert (found.member, found.said, found.in_step, found.since) == (False, True, False, None)


def test_what_has_not_been_computed_is_in_step_with_nothing(store: Store) -> None:
    people(store, "ann")
    audience(store, query=RECENT)

    found = explained(store, "buyers", "ann")

    assert (found.member, found.in_step, found.since) == (False, False, None)


def test_at_an_instant_later_events_do_not_count_and_the_record_is_of_then(store: Store) -> None:
    keep(store, track("ann", at=after(days=-20)), track("ann", at=after(days=15)))
    buyers = audience(store, query=RECENT)
    runs = [computed(store, buyers, after(days=days)) for days in (0, 12, 16)]

    early, between, late = (explained(store, "buyers", "ann", after(days=days)) for days in (1, 13, 17))

    assert [found.member for found in (early, between, late)] == [True, False, True]
    assert [found.since for found in (early, between, late)] == [after(days=days) for days in (0, 12, 16)]
    assert [report(found, 0)["run"]["id"] for found in (early, between, late)] == [run.id for run in runs]
    # The next order is known already.
    assert between.next_change.at == after(days=15)


def test_a_computed_trait_is_explained_with_its_value(store: Store) -> None:
    keep(store, track("ann"), track("ann", at=after(days=1)))
    orders = computed_trait(store)
    computed(store, orders)

    found, later = explained(store, "orders", "ann"), explained(store, "orders", "ann", now=after(days=2))

    assert (found.value, found.member, found.in_step, found.next_change.at) == (1, True, True, after(days=1))
    assert (later.value, later.said, later.in_step) == (2, 1, False)


@pytest.mark.parametrize("reducer", ["unique(property('sku'))", "first(property('sku'))"])
def test_a_computed_trait_over_nothing_has_no_value(store: Store, reducer: str) -> None:
    people(store, "ann")
    computed(store, computed_trait(store, query=f"event('Order Completed').{reducer}"))

    found = explained(store, "orders", "ann")

    assert (found.value, found.member, found.in_step) == (None, False, True)


def test_a_value_that_the_database_writes_in_another_way_is_the_same(store: Store) -> None:
    keep(store, track("ann", properties={"p": 1.5}), track("ann", properties={"p": 0.5}))
    computed(store, computed_trait(store, query="event('Order Completed').sum(property('p'))"))

    assert explained(store, "orders", "ann").in_step


def test_everybody_is_explained_as_the_run_has_them(store: Store) -> None:
    for number in range(12):
        days = [track(f"user {number}", at=after(days=-day)) for day in range(0, 60, number + 1)]
        keep(store, identify(f"user {number}", {"plan": "pro" if number % 3 else None}), *days)
    buyers = audience(store, query="event('Order Completed').within(30 days).count() >= 4 OR NOT trait('plan') = 'pro'")
    orders = computed_trait(store, query="event('Order Completed').within(20 days).count()")
    inner = audience(store, "inner", query="trait('buyers') = true AND trait('orders') > 2")
    for stored in (buyers, orders, inner):
        computed(store, stored)

    found = [explained(store, key, f"user {number}") for key in ("buyers", "orders", "inner") for number in range(12)]

    assert all(one.in_step for one in found)
    assert {one.member for one in found if one.stored.key == "inner"} == {True, False}


# ── references ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_audience_in_a_query_has_the_value_of_the_ledger(store: Store) -> None:
    keep(store, identify("ann", {"buyers": "what the user says of it"}), track("ann", at=after(days=-5)))
    buyers = audience(store, query=RECENT)
    audience(store, "regulars", query="trait('buyers') = true")

    before = explained(store, "regulars", "ann")
    computed(store, buyers)
    found = explained(store, "regulars", "ann")

    assert (before.member, found.member) == (False, True)
    assert before.references["buyers"].computed_at is None
    assert (found.references["buyers"].kind, found.references["buyers"].since) == (Kind.AUDIENCE, NOW)


def test_a_user_who_was_never_in_an_audience_of_the_query_is_out_of_it(store: Store) -> None:
    people(store, "ann")
    computed(store, audience(store, query=RECENT))
    audience(store, "others", query="trait('buyers') = false")

    assert explained(store, "others", "ann").member


def test_time_goes_by_for_what_the_query_refers_to(store: Store) -> None:
    keep(store, track("ann", at=after(days=-5)))
    computed(store, audience(store, query=RECENT))
    audience(store, "regulars", query="trait('buyers') = true")

    assert explained(store, "regulars", "ann").next_change.at == after(days=25)
    assert explained(store, "regulars", "ann", now=after(days=26)).next_change.at == after(days=26)


def test_a_retired_reference_is_an_ordinary_trait_again(store: Store) -> None:
    keep(store, identify("ann", {"buyers": "vip"}))
    buyers = audience(store, query=RECENT)
    audience(store, "vips", query="trait('buyers') = 'vip'")
    with store.writing() as connection:
        audiences.retire(connection, buyers.id, None, NOW)

    found = explained(store, "vips", "ann")

    assert (found.member, dict(found.references)) == (True, {})


# ── what Moesif was told ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_owed_was_not_told_yet(store: Store) -> None:
    people(store, "ann")
    buyers = audience(store)
    record(store, buyers, {"ann"})

    found = told(store, buyers, "ann")

    assert (found.state, found.value, found.at, found.attempts, found.reason) == (State.OWED, None, None, 0, None)


def test_what_is_on_the_way_was_told_without_an_answer_so_far(store: Store) -> None:
    people(store, "ann")
    buyers = audience(store)
    record(store, buyers, {"ann"})
    with store.writing() as connection:
        _claimed(connection, buyers)

    found = told(store, buyers, "ann")

    assert (found.state, found.value, found.at, found.attempts) == (State.SENDING, True, None, 1)


def test_what_was_accepted_was_told_at_that_instant(store: Store) -> None:
    people(store, "ann")
    buyers = audience(store)
    record(store, buyers, {"ann"})
    with store.writing() as connection:
        debts.settle_accepted(connection, _claimed(connection, buyers), after(seconds=1))

    found = told(store, buyers, "ann")

    assert (found.state, found.value, found.at, found.reason) == (State.SETTLED, True, after(seconds=1), None)


def test_what_was_rejected_has_its_reason_and_what_was_accepted_before_stays(store: Store) -> None:
    people(store, "ann")
    buyers = audience(store)
    record(store, buyers, {"ann"})
    with store.writing() as connection:
        debts.settle_accepted(connection, _claimed(connection, buyers), after(seconds=1))
    record(store, buyers, (), after(days=1))
    with store.writing() as connection:
        debts.settle_rejected(connection, _claimed(connection, buyers), "400 Bad Request", after(days=1))

    found = explained(store, "buyers", "ann")

    assert found.told is not None
    assert found.standing is not None
    assert (found.told.state, found.told.value, found.told.at, found.told.reason) == (
        State.REJECTED,
        False,
        None,
        "400 Bad Request",
    )
    assert (found.standing.accepted, found.standing.accepted_at) == ("true", after(seconds=1))


def test_of_an_answer_that_never_came_nothing_is_claimed_to_be_known(store: Store) -> None:
    people(store, "ann")
    buyers = audience(store)
    record(store, buyers, {"ann"})
    with store.writing() as connection:
        debts.settle_back(connection, _claimed(connection, buyers), State.UNKNOWN, "no answer in 30 s")

    found = told(store, buyers, "ann")

    assert (found.state, found.value, found.at, found.reason) == (State.UNKNOWN, None, None, "no answer in 30 s")


def _claimed(connection: Any, stored: Stored) -> list[debts.Update]:
    return debts.claim(connection, debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=100)))


def test_history_that_is_no_longer_kept_leaves_the_run_unknown(store: Store) -> None:
    keep(store, track("ann", at=after(days=-5)))
    computed(store, audience(store, query=RECENT))
    with store.writing() as connection:
        connection.execute(delete(changes))

    found = explained(store, "buyers", "ann")

    assert (found.member, found.in_step, found.since) == (True, True, NOW)
    assert report(found, 3)["run"] is None


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_there_is_refused(store: Store) -> None:
    keep(store, track("ann"), identify(None, anonymous_id="a-1"))
    audience(store, query=RECENT)

    with pytest.raises(NotFound, match="no audience or computed trait 'nobody'"):
        explained(store, "nobody", "ann")
    with pytest.raises(NotFound, match="no user 'Ann'"):
        explained(store, "buyers", "Ann")
    with pytest.raises(NotFound, match="no user 'a-1'"):
        explained(store, "buyers", "a-1")


def test_a_retired_audience_is_refused(store: Store) -> None:
    people(store, "ann")
    buyers = audience(store, query=RECENT)
    with store.writing() as connection:
        audiences.retire(connection, buyers.id, None, NOW)

    with pytest.raises(InputError, match="buyers is retired, since 2026-03-04"):
        explained(store, "buyers", "ann")


def test_a_funnel_over_too_many_events_is_refused_without_naming_the_user(store: Store) -> None:
    keep(store, *(track("ann", at=NOW - timedelta(seconds=second)) for second in range(1_500)))
    audience(
        store,
        query="event('Order Completed').where(event('Order Completed').within(parent: 1 day).count() >= 1).count() >= 1",
    )
    assert MOST_WORK < 1_500 * 1_500

    with pytest.raises(InputError, match="this user has 1,500 events that the query reads"):
        explained(store, "buyers", "ann")


# ── what is read ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_events_that_the_query_names_are_read_and_contexts_only_where_they_are_asked_for(store: Store) -> None:
    keep(store, track("ann", context={"ip": "::1"}), track("ann", "Viewed"), track("bob"), identify("ann", {"a": 1}))
    with store.reading() as connection:
        profile_id, traits = evidence.traits_of(connection, "ann")
        without = evidence.events_of(connection, profile_id, {"Order Completed"}, context=False, limit=10)
        with_contexts = evidence.events_of(connection, profile_id, {"Order Completed"}, context=True, limit=10)
        none = evidence.events_of(connection, profile_id, set(), context=True, limit=10)

    assert traits == {"a": 1}
    assert [(one.name, one.context) for one in without] == [("Order Completed", {})]
    assert [one.context for one in with_contexts] == [{"ip": "::1"}]
    assert none == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_look_goes_by_an_index(store: Store) -> None:
    keep(store, track("ann"))
    computed(store, audience(store, query=f"{RECENT} AND trait('plan') = 'pro'"))
    audience(store, "regulars", query=f"trait('buyers') = true AND {RECENT}")
    plans: list[str] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def planned(connection, _cursor, statement, parameters, *_):
        cursor = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend(row[3] for row in cursor.fetchall())

    explained(store, "regulars", "ann")

    # The definitions are few, and any of them may be referred to; and what is on its way is little.
    small = ("SCAN audiences", "SCAN claims", "SCAN anon_1 VIRTUAL TABLE")
    assert [plan for plan in plans if plan.startswith("SCAN") and not plan.startswith(small)] == []
    assert any("calls USING INDEX ix_calls_profile (profile_id=? AND event=?)" in plan for plan in plans)
