"""A run that hangs is ended at its deadline, changes nothing, and keeps nobody else (row 7)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from sync.app import system_clock
from sync.audience import Every
from sync.compute import compute
from sync.errors import TookTooLong, Unreachable
from sync.instant import iso
from sync.membership import Outcome, Run
from sync.scheduler import Scheduler
from sync.store import Store, requested, runs
from sync.store.audiences import Stored
from sync.store.figures import last_runs
from sync.store.schema import audiences, changes, memberships
from tests.compute.instants import count, members
from tests.faults.endless import calls_that_cannot_be_read
from tests.make import after, again, audience, definition, identify, keep, standing_clock, track
from tests.scheduler.running import Hands, Watch, defined, scheduler, wait_until

HOURLY = Every(timedelta(hours=1))
SECONDS = 1.0
ORDERED = "event('Order Completed').count() >= 1"
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def hurried(database_url: str) -> Iterator[Store]:
    """A store in which a run may take a second."""
    opened = Store.at(database_url, SECONDS)
    yield opened
    opened.close()


@pytest.fixture
def hands() -> Hands:
    return Hands()


def ordered(store: Store, **fields: object) -> Stored:
    keep(store, track("ann"), identify("bob", {"in": True}))
    return audience(store, query=ORDERED, **fields)


def all_runs(store: Store, key: str = "buyers") -> list[Run]:
    with store.reading() as connection:
        return list(reversed(runs.recent(connection, key, 10)))


def outcome_shown(store: Store) -> str | None:
    with store.reading() as connection:
        return next(one.outcome for one in last_runs(connection) if one.key == "buyers")


def test_a_run_that_hangs_is_ended_at_its_deadline_and_has_changed_nothing(hurried: Store) -> None:
    buyers, started = ordered(hurried), time.monotonic()

    with calls_that_cannot_be_read(hurried):
        run = compute(hurried, buyers, None, standing_clock())

    assert SECONDS <= time.monotonic() - started < SECONDS + 5
    assert (run.outcome, run.balanced, run.owed) == (Outcome.FAILED, True, 0)
    assert "SYNC_RUN_TIMEOUT" in str(run.error)
    assert (count(hurried, memberships), count(hurried, changes)) == (0, 0)
    assert again(hurried, buyers) == buyers


def test_the_next_run_does_what_the_one_that_was_ended_did_not(hurried: Store) -> None:
    buyers = ordered(hurried)
    with calls_that_cannot_be_read(hurried):
        compute(hurried, buyers, None, standing_clock())

    run = compute(hurried, buyers, None, standing_clock())

    assert (run.entered, run.outcome) == (1, Outcome.DELIVERING)
    assert members(hurried, buyers) == {"ann"}


@ON_POSTGRESQL
def test_a_run_that_waits_until_its_deadline_to_record_has_changed_nothing(hurried: Store) -> None:
    """On SQLite whoever writes waits for ten seconds at most, whatever the deadline."""
    buyers, started = ordered(hurried), time.monotonic()

    with hurried.writing() as somebody:
        somebody.execute(select(audiences.c.id).with_for_update())
        # Nor can it be noted that it was ended.
        with pytest.raises(TookTooLong):
            compute(hurried, buyers, None, standing_clock())

    assert time.monotonic() - started < SECONDS + 5
    assert count(hurried, memberships) == 0


def test_many_statements_together_take_no_longer_than_the_deadline(database_url: str) -> None:
    """Each by itself might take longer than is left."""
    store = Store.at(database_url, 60)
    keep(store, track("ann"))
    started = time.monotonic()

    with calls_that_cannot_be_read(store), pytest.raises(TookTooLong), store.connected(started + SECONDS) as session:
        for _ in range(3):
            with session.reading() as connection:
                connection.exec_driver_sql("SELECT count(*) FROM profiles")
        with session.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM calls")

    assert time.monotonic() - started < SECONDS + 3
    store.close()


def test_a_slot_whose_run_was_ended_is_still_due_and_is_tried_again_at_the_next_one(
    hurried: Store, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    buyers = ordered(hurried, schedule=HOURLY)
    running = scheduler(hurried, hands)
    with calls_that_cannot_be_read(hurried):
        running.run_due("buyers")
        running.run_due("buyers")

    assert [run.outcome for run in all_runs(hurried)] == [Outcome.FAILED]
    assert again(hurried, buyers).slot_at is None
    assert "run 1 of buyers failed, and is tried again at the next slot: it took longer than SYNC_RUN_TIMEOUT" in caplog.text
    assert outcome_shown(hurried) == "failed"
    hands.now = after(hours=1)
    running.run_due("buyers")
    assert members(hurried, buyers) == {"ann"}


def test_what_a_run_that_was_ended_would_have_counted_as_skipped_the_next_one_counts(hurried: Store, hands: Hands) -> None:
    buyers = ordered(hurried, schedule=HOURLY)
    running = scheduler(hurried, hands)
    running.run_due("buyers")
    keep(hurried, track("ann", at=after(minutes=1)))
    hands.now = after(hours=5)
    with calls_that_cannot_be_read(hurried):
        running.run_due("buyers")

    hands.now = after(hours=7)
    running.run_due("buyers")

    assert again(hurried, buyers).slots_skipped == 4 + 1


def test_a_slot_at_which_the_look_whether_anything_has_happened_hangs_is_no_different(hurried: Store, hands: Hands) -> None:
    ordered(hurried, schedule=HOURLY)
    running = scheduler(hurried, hands)
    running.run_due("buyers")
    keep(hurried, track("ann", at=after(minutes=1)))
    hands.now = after(hours=1)

    with calls_that_cannot_be_read(hurried):
        running.run_due("buyers")
        running.run_due("buyers")

    assert [run.outcome for run in all_runs(hurried)] == [Outcome.DELIVERING, Outcome.FAILED]


def test_an_audience_that_was_computed_after_all_is_no_longer_shown_as_failed(hurried: Store, hands: Hands) -> None:
    ordered(hurried, schedule=HOURLY)
    running = scheduler(hurried, hands)
    running.run_due("buyers")
    hands.now = after(hours=1)
    keep(hurried, track("ann", at=after(minutes=1)))
    with calls_that_cannot_be_read(hurried):
        running.run_due("buyers")
    assert outcome_shown(hurried) == "failed"

    hands.now = after(hours=2)
    running.run_due("buyers")

    # Nothing was new, so that the run itself left no row.
    assert len(all_runs(hurried)) == 2
    assert outcome_shown(hurried) == "delivering"


def test_other_audiences_go_on_while_one_hangs_also_where_several_refer_to_it(database_url: str) -> None:
    store = Store.at(database_url, 6)
    now = system_clock()
    # Somebody leaves in each second.
    leave = [identify(f"user {second}", {"ends": iso(now + timedelta(seconds=second))}) for second in range(1, 10)]
    keep(store, track("ann"), *leave)
    refers = f"trait('hangs') = true and {ORDERED}"
    defined(
        store,
        definition("hangs", query=ORDERED, schedule=HOURLY),
        *(definition(f"refers_{number}", query=refers, schedule=HOURLY) for number in range(2)),
        definition("buyers", query="trait('ends').within_next(1 days)", schedule=Every(timedelta(seconds=1))),
    )
    running, watch = Scheduler(store, system_clock, lambda: None), Watch(store)

    with calls_that_cannot_be_read(store):
        running.start()
        try:
            wait_until(lambda: len(watch.look()) >= 3, 5.5)
            assert all_runs(store, "hangs") == []
            wait_until(lambda: all_runs(store, "hangs"), 12)
        finally:
            running.stop()

    assert {run.outcome for run in all_runs(store, "hangs")} == {Outcome.FAILED}
    store.close()


def test_others_go_on_while_several_hang_for_long(database_url: str) -> None:
    store = Store.at(database_url, 10)
    now = system_clock()
    leave = [identify(f"user {second}", {"ends": iso(now + timedelta(seconds=second))}) for second in range(1, 12)]
    keep(store, track("ann"), *leave)
    defined(
        store,
        *(definition(f"hangs_{number}", query=ORDERED, schedule=HOURLY) for number in range(4)),
        definition("buyers", query="trait('ends').within_next(1 days)", schedule=Every(timedelta(seconds=1))),
    )
    running, watch = Scheduler(store, system_clock, lambda: None, long=timedelta(seconds=1)), Watch(store)

    with calls_that_cannot_be_read(store):
        running.start()
        try:
            wait_until(lambda: len(watch.look()) >= 3, 9)
            assert all_runs(store, "hangs_0") == []
        finally:
            running.stop()
    store.close()


def test_what_was_asked_for_and_hangs_is_asked_for_no_longer(hurried: Store, caplog: pytest.LogCaptureFixture) -> None:
    buyers = ordered(hurried)
    with hurried.writing() as connection:
        requested.ask(connection, buyers.id, after())
    with hurried.reading() as connection:
        (wish,) = requested.waiting(connection)

    with calls_that_cannot_be_read(hurried):
        scheduler(hurried, Hands()).run_requested(wish)

    with hurried.reading() as connection:
        assert requested.waiting(connection) == ()
    assert "SYNC_RUN_TIMEOUT" in caplog.text


@ON_POSTGRESQL
def test_calls_that_cannot_be_stored_in_that_time_are_no_different_from_a_store_that_is_away(hurried: Store) -> None:
    with calls_that_cannot_be_read(hurried), pytest.raises(Unreachable):
        keep(hurried, track("ann"))


def test_without_a_deadline_a_run_lasts_as_long_as_it_takes(store: Store) -> None:
    assert store.run_ends() is None
