"""Purging: what goes, what stays, and that nobody waits, nothing breaks off and nothing that counts is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, true

from sync.call import Incoming
from sync.compute import compute
from sync.delivery import Lane, State
from sync.errors import InputError, SettingsError
from sync.explain import explain
from sync.ingest import accept
from sync.language.parse import parse_audience
from sync.payload import Mapping
from sync.preview import preview
from sync.purge import AT_A_TIME, GRACE, Retention, outlook, purge, require_room
from sync.store import Store, calls, ledger, next_deliveries, purges, queue
from sync.store.audiences import Stored
from sync.store.schema import calls as calls_table
from sync.store.schema import changes, dates, rejected_calls
from sync.store.schema import purges as purges_of_store
from sync.store.wanted import Wanted
from tests.make import NOW, after, again, audience, definition, identify, keep, record, rejected, standing_clock, track, traits
from tests.meeting import losing_at_first, several_writers

DAY = timedelta(days=1)
WEEK = Retention(events=7 * DAY)
IN_A_WEEK = "event('Order Completed').within(7 days).count() >= 1"


def purged(store: Store, retention: Retention, now: datetime = NOW) -> dict[str, int]:
    """Purge to the end; return how many rows went, by table."""
    gone: dict[str, int] = {}
    for step in purge(store, retention, now, lambda seconds: None):
        gone[step.table] = gone.get(step.table, 0) + step.rows
    return gone


def left(store: Store) -> list[str]:
    """Return the message ids of the calls that are left."""
    with store.reading() as connection:
        return list(connection.scalars(select(calls_table.c.message_id).order_by(calls_table.c.timestamp, calls_table.c.id)))


def ago(**duration: float) -> datetime:
    return NOW - timedelta(**duration)


def ordered(message_id: str, at: datetime, user_id: str = "ann", **fields: Any) -> Any:
    return track(user_id, at=at, message_id=message_id, **fields)


# ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_calls_go_by_their_timestamp_and_the_instant_itself_stays(store: Store) -> None:
    keep(
        store,
        ordered("old", ago(days=7, microseconds=1)),
        ordered("edge", ago(days=7)),
        ordered("young", ago(days=1)),
        ordered("future", after(days=3)),
    )

    assert purged(store, WEEK) == {"calls": 1}

    assert left(store) == ["edge", "young", "future"]


def test_traits_outlive_the_calls_that_taught_them(store: Store) -> None:
    keep(store, identify("ann", {"plan": "pro"}, at=ago(days=100)))

    assert purged(store, WEEK) == {"calls": 1}

    assert traits(store, "ann") == {"plan": "pro"}


def test_without_a_word_everything_is_kept_for_ever(store: Store) -> None:
    keep(store, ordered("old", ago(days=10_000)))

    assert purged(store, Retention()) == {}
    assert outlook(store, Retention(), NOW) == []
    assert left(store) == ["old"]


@pytest.mark.parametrize("state", [State.OWED, State.UNKNOWN, State.SENDING, State.REJECTED])
def test_a_call_of_which_anything_is_open_stays_until_it_is_settled(store: Store, state: State) -> None:
    keep(store, ordered("told", ago(days=9)), forward=False)
    keep(store, ordered("open", ago(days=9)), forward=True)
    with store.writing() as connection:
        taken = [one.id for one in next_deliveries.take(connection, Wanted(lane=Lane.ACTIONS, limit=10))]
        if state is not State.SENDING:
            queue.settle(connection, taken, state, "a reason")

    assert purged(store, WEEK) == {"calls": 1}
    assert left(store) == ["open"]

    with store.writing() as connection:
        queue.retry(connection, true())
        again = next_deliveries.take(connection, Wanted(lane=Lane.ACTIONS, limit=10))
        queue.settle_accepted(connection, [one.id for one in again] or taken)
    assert purged(store, WEEK) == {"calls": 1}
    assert left(store) == []


def test_calls_that_stay_do_not_keep_others_from_going(store: Store) -> None:
    keep(store, *(ordered(f"open-{number}", ago(days=9, seconds=number)) for number in range(AT_A_TIME + 7)), forward=True)
    keep(store, *(ordered(f"told-{number}", ago(days=8, seconds=number)) for number in range(AT_A_TIME + 7)))

    assert purged(store, WEEK)["calls"] == AT_A_TIME + 7
    assert all(message_id.startswith("open") for message_id in left(store))


def test_it_goes_in_small_steps_with_a_rest_after_each(store: Store) -> None:
    keep(store, *(ordered(f"m-{number}", ago(days=9, seconds=number)) for number in range(2 * AT_A_TIME + 1)))
    rests: list[float] = []

    steps = [step.rows for step in purge(store, WEEK, NOW, rests.append)]

    assert steps == [AT_A_TIME, AT_A_TIME, 1]
    assert len(rests) == 3
    assert all(0 < rest < 5 for rest in rests)


def test_the_horizon_is_known_before_the_first_row_goes_and_never_moves_back(store: Store) -> None:
    keep(store, ordered("old", ago(days=9)))
    going = purge(store, WEEK, NOW, lambda seconds: None)

    next(going)
    going.close()

    assert horizon(store, purges.CALLS) == ago(days=7)
    purged(store, Retention(events=30 * DAY))
    assert horizon(store, purges.CALLS) == ago(days=7)


def horizon(store: Store, name: str) -> datetime | None:
    with store.reading() as connection:
        return purges.horizon(connection, name)


def test_a_purge_that_was_interrupted_is_taken_up_again(store: Store) -> None:
    keep(store, *(ordered(f"m-{number}", ago(days=9, seconds=number)) for number in range(3 * AT_A_TIME)), ordered("young", NOW))
    going = purge(store, WEEK, NOW, lambda seconds: None)
    next(going)
    going.close()

    assert purged(store, WEEK)["calls"] == 2 * AT_A_TIME

    assert left(store) == ["young"]


def test_two_purges_at_once_throw_everything_away_once(store: Store) -> None:
    keep(store, *(ordered(f"m-{number}", ago(days=9, seconds=number)) for number in range(4 * AT_A_TIME)))
    refuse(store, 2 * AT_A_TIME, ago(days=9))
    retention = Retention(events=7 * DAY, rejected_calls=7 * DAY)
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(purged(store, retention))
        except Exception as error:  # noqa: BLE001 - seen below
            found.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(one.get("calls", 0) for one in found) == 4 * AT_A_TIME
    assert sum(one.get("rejected_calls", 0) for one in found) == 2 * AT_A_TIME
    assert left(store) == []


def test_calls_are_taken_in_while_history_is_purged(store: Store) -> None:
    keep(store, *(ordered(f"m-{number}", ago(days=9, seconds=number), f"user-{number % 9}") for number in range(3 * AT_A_TIME)))
    stop = threading.Event()
    failures: list[Exception] = []

    def take_in() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                keep(store, ordered(f"new-{number}", NOW, f"user-{number % 9}", properties={"when": "2026-05-01"}))
            except Exception as error:  # noqa: BLE001 - seen below
                failures.append(error)
                return

    taking_in = threading.Thread(target=take_in)
    taking_in.start()
    gone = purged(store, WEEK)
    stop.set()
    taking_in.join()
    # What concerned somebody about whom a call was just being taken in is left for the next purge.
    later = purged(store, WEEK)

    assert failures == []
    assert gone["calls"] > 0
    assert gone["calls"] + later.get("calls", 0) == 3 * AT_A_TIME
    assert all(message_id.startswith("new") for message_id in left(store))


@several_writers
def test_a_purge_that_loses_to_whoever_takes_calls_in_does_not_wait_for_them(store: Store) -> None:
    keep(store, ordered("old", ago(days=9)))

    with store.writing() as taking_in, ThreadPoolExecutor(1) as pool:
        calls.keep(taking_in, [("web", track("zoe"))], lambda call: (), NOW)
        with losing_at_first(store):
            gone = pool.submit(purged, store, WEEK).result(5)

    assert gone == {"calls": 1}


# ── dates ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def kept_dates(store: Store) -> set[tuple[str, str, str]]:
    with store.reading() as connection:
        return {(row.place, row.event, row.key) for row in connection.execute(select(dates))}


def test_the_dates_in_an_event_go_with_the_last_call_of_it(store: Store) -> None:
    keep(
        store,
        identify("ann", {"born": "1990-01-01"}, at=ago(days=9)),
        ordered("old", ago(days=9), properties={"when": "2026-01-01"}, context={"seen": "2026-01-01"}),
        ordered("young", ago(days=1), properties={"when": "2026-01-01"}),
        track("ann", "Signed Up", at=ago(days=9), properties={"on": "2026-01-01"}),
    )

    purged(store, WEEK)

    # Of the first event a call is left, so its dates stay, be there one too many.
    assert kept_dates(store) == {
        ("trait", "", "born"),
        ("property", "Order Completed", "when"),
        ("context", "Order Completed", "seen"),
    }
    purged(store, WEEK, after(days=7))
    assert kept_dates(store) == {("trait", "", "born")}


def test_a_call_that_is_being_taken_in_keeps_its_dates(store: Store) -> None:
    """Only PostgreSQL lets the two overlap; on SQLite the purge waits for the call."""
    keep(store, ordered("old", ago(days=9), properties={"when": "2026-01-01"}))
    with store.reading() as connection:
        old = purges.old_calls(connection, ago(days=7), None, 10)
    assert len(old) == 1
    done: list[int] = []

    with store.writing() as connection:
        calls.keep(connection, [("web", ordered("new", NOW, properties={"when": "2026-01-01"}))], lambda call: (), NOW)
        purging = threading.Thread(
            target=lambda: done.append(store.write(lambda other: purges.drop_calls(other, old, ago(days=7))))
        )
        purging.start()
        purging.join(0.5)
    purging.join()

    assert done == ([1] if store.on_sqlite else [0]), "it waits for nobody, and leaves the call for the next time"
    assert kept_dates(store) == {("property", "Order Completed", "when")}
    purged(store, WEEK)
    assert left(store) == ["new"]


# ── definitions ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def computed(store: Store, stored: Stored, at: datetime) -> Any:
    return compute(store, again(store, stored), at, standing_clock(at))


def test_a_definition_that_looks_back_farther_is_refused_with_its_window_and_the_reason(store: Store) -> None:
    audience(store, "weekly", query=IN_A_WEEK)
    audience(store, "monthly", query="event('Order Completed').within(30 days).count() >= 1")
    audience(store, "ever", query="event('Signed Up').where(property('plan') = 'pro').count() >= 1")
    keep(store, ordered("old", ago(days=100)))

    with pytest.raises(SettingsError) as refused:
        purged(store, WEEK)

    text = str(refused.value)
    assert "monthly looks back 30 days" in text
    assert "SYNC_RETAIN_EVENTS keeps calls for 7 days only" in text
    assert "ever looks at event('Signed Up') however long ago" in text
    assert "weekly" not in text
    assert left(store) == ["old"]
    assert horizon(store, purges.CALLS) is None
    with pytest.raises(SettingsError):
        outlook(store, WEEK, NOW)


def test_a_user_leaves_when_the_window_ends_though_the_event_has_gone(store: Store) -> None:
    """The purge comes between the instant at which the event leaves the window and the run that is to notice."""
    keep(store, ordered("one", NOW))
    weekly = audience(store, query=IN_A_WEEK)
    assert computed(store, weekly, after(days=1)).members == 1

    # Not computed for long: then it is not waited for.
    assert purged(store, WEEK, after(days=20)) == {"calls": 1}
    run = computed(store, weekly, after(days=21))

    assert (run.exited, run.members) == (1, 0)


def test_a_call_waits_a_day_for_the_run_that_is_to_notice_that_it_leaves(store: Store) -> None:
    keep(store, ordered("one", NOW))
    weekly = audience(store, query=IN_A_WEEK)
    computed(store, weekly, after(days=6, hours=12))
    basis = again(store, weekly).basis

    assert purged(store, WEEK, after(days=7, hours=2)) == {}

    assert again(store, weekly).basis == basis, "the next run need not look at everyone"
    run = computed(store, weekly, after(days=7, hours=3))
    assert (run.exited, run.members) == (1, 0)
    assert purged(store, WEEK, after(days=7, hours=4)) == {"calls": 1}
    assert again(store, weekly).basis is not None


def test_a_definition_that_nobody_computes_holds_calls_back_for_a_day_and_no_longer(store: Store) -> None:
    keep(store, ordered("one", NOW))
    weekly = audience(store, query=IN_A_WEEK)
    computed(store, weekly, after(hours=1))

    assert purged(store, WEEK, after(days=7) + GRACE) == {}
    assert purged(store, WEEK, after(days=7, microseconds=1) + GRACE) == {"calls": 1}

    assert again(store, weekly).basis is None


def test_what_reads_no_events_is_not_waited_for(store: Store) -> None:
    keep(store, identify("ann", {"in": True}, at=ago(days=30)))
    stored = audience(store)
    computed(store, stored, ago(days=20))

    assert purged(store, WEEK) == {"calls": 1}

    assert again(store, stored).basis is not None


def test_a_query_as_of_a_time_whose_calls_have_gone_can_be_refused(store: Store) -> None:
    keep(store, ordered("old", ago(days=30)))
    purged(store, WEEK)

    def asked(query: str, at: datetime) -> None:
        with store.reading() as connection:
            purges.require_calls(connection, parse_audience(query), at)

    asked("event('X').within(7 days).count() >= 1", NOW)
    asked("event('X').within(1 day).count() >= 1", ago(days=6))
    asked("trait('in') = true", ago(days=100))
    for query, at in (("event('X').within(7 days).count() >= 1", ago(hours=1)), ("event('X').count() >= 1", NOW)):
        with pytest.raises(InputError, match="have been thrown away"):
            asked(query, at)


# ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def in_and_out(store: Store) -> Stored:
    """Ann is in, out and in again; bob goes and stays away; cid comes late."""
    for user in ("ann", "bob", "cid"):
        keep(store, identify(user))
    stored = audience(store)
    for days, members in ((40, ["ann", "bob"]), (30, ["bob"]), (20, ["ann"]), (10, ["ann"]), (5, ["ann", "cid"]), (1, ["cid"])):
        record(store, stored, members, at=ago(days=days))
    return again(store, stored)


def at_each_day(store: Store, stored: Stored) -> dict[datetime, list[tuple[str, datetime, str]]]:
    with store.reading() as connection:
        return {at: list(ledger.members_at(connection, stored, at)) for at in (ago(days=days) for days in range(45))}


@pytest.mark.parametrize("days", [0, 3, 5, 15, 20, 25, 35, 40, 44])
def test_who_was_in_at_an_instant_since_the_horizon_is_as_it_was(store: Store, days: int) -> None:
    stored = in_and_out(store)
    before = at_each_day(store, stored)

    purged(store, Retention(changes=days * DAY)) if days else purged(store, Retention(changes=timedelta(hours=1)))

    until = horizon(store, purges.CHANGES)
    assert until is not None
    after_it = {at: who for at, who in at_each_day(store, stored).items() if at >= until}
    assert after_it == {at: who for at, who in before.items() if at >= until}
    assert after_it


def test_what_was_superseded_before_the_horizon_goes(store: Store) -> None:
    in_and_out(store)

    assert purged(store, Retention(changes=15 * DAY)) == {"changes": 3}

    with store.reading() as connection:
        assert connection.scalars(select(func.count()).select_from(changes)).one() == 4
    assert purged(store, Retention(changes=15 * DAY)) == {}


def test_who_was_in_before_the_horizon_can_no_longer_be_told(store: Store) -> None:
    in_and_out(store)
    purged(store, Retention(changes=15 * DAY))

    with store.reading() as connection:
        purges.require_changes(connection, ago(days=15))
        with pytest.raises(InputError, match="SYNC_RETAIN_CHANGES"):
            purges.require_changes(connection, ago(days=15, microseconds=1))


def test_membership_does_not_depend_on_changes(store: Store) -> None:
    stored = in_and_out(store)

    purged(store, Retention(changes=timedelta(hours=1)))

    with store.reading() as connection:
        assert [user for _, user, _, _ in ledger.members(connection, stored, 0, 10)] == ["cid"]
    assert record(store, stored, ["ann", "cid"]).entered == 1


# ── rejected calls ───────────────────────────────────────────────────────────────────────────────────────────────────────


def refuse(store: Store, number: int, at: datetime) -> None:
    refused = tuple(replace(rejected(), received_at=at) for _ in range(number))
    accept(store, [Incoming(source="web", rejected=refused)], Mapping(), NOW)


def test_rejected_calls_go_by_when_they_came_in(store: Store) -> None:
    refuse(store, 3, ago(days=9))
    refuse(store, 2, ago(days=7))

    assert purged(store, Retention(rejected_calls=7 * DAY)) == {"rejected_calls": 3}

    with store.reading() as connection:
        assert connection.scalars(select(func.count()).select_from(rejected_calls)).one() == 2


# ── looking first ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_said_beforehand_is_what_goes(store: Store) -> None:
    in_and_out(store)
    keep(store, ordered("old", ago(days=9)), ordered("young", NOW))
    keep(store, ordered("open", ago(days=9)), forward=True)
    refuse(store, 4, ago(days=9))
    retention = Retention(events=7 * DAY, changes=15 * DAY, rejected_calls=DAY)

    said = {one.table: one.rows for one in outlook(store, retention, NOW)}

    assert left(store).count("old") == 1
    assert said == {"calls": 1, "changes": 3, "rejected_calls": 4}
    assert purged(store, retention) == said


def test_a_definition_that_is_only_in_a_file_is_held_to_the_same(store: Store) -> None:
    require_room([definition(query=IN_A_WEEK)], WEEK)
    require_room([definition(query="event('X').count() >= 1")], Retention(changes=DAY))
    with pytest.raises(SettingsError, match="buyers looks back 7 days"):
        require_room([definition(query=IN_A_WEEK)], Retention(events=6 * DAY))


def test_what_was_thrown_away_is_not_asked_for_as_of_an_earlier_instant(store: Store) -> None:
    keep(store, track("ann", at=after(days=-40)))
    buyers = audience(store, query="event('Order Completed').within(30 days).count() >= 1")
    with store.writing() as connection:
        connection.execute(purges_of_store.insert().values(name="calls", until=after(days=-20)))

    for ask in (
        lambda: compute(store, buyers, after(days=-10), standing_clock()),
        lambda: preview(store, buyers.definition.query, after(days=-10), 5),
        lambda: explain(store, buyers.key, "ann", after(days=-10), after()),
    ):
        with pytest.raises(InputError, match="have been thrown away"):
            ask()
    assert compute(store, buyers, None, standing_clock(after(days=15))).members == 0
