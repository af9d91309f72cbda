"""A slot is run once, whoever runs it and however often they are started anew."""

from __future__ import annotations

import logging
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

from sync.app import STALE, Durations, system_clock
from sync.audience import Cron, Every, Guard, Manual, Schedule
from sync.compute import compute, compute_slot
from sync.errors import Unreachable
from sync.instant import iso
from sync.lead import LEADING
from sync.scheduler import HEARTBEAT, Scheduler
from sync.serve import WATCH, watch
from sync.store import Store, leases
from sync.store.audiences import by_key
from sync.store.schema import leases as leases_table
from tests.make import NOW, after, again, audience, definition, identify, keep, standing_clock
from tests.scheduler.running import Hands, Watch, defined, run_instants, scheduler, wait_until

HOURLY = Every(timedelta(hours=1))


# ── slots ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_slot_is_run_once_however_often_it_is_looked_at(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    running, watch = scheduler(store, hands), Watch(store)

    for minute in range(0, 180, 10):
        hands.now = after(minutes=minute)
        running.run_due("buyers")
        watch.look()

    assert watch.seen == [after(hours=hour) for hour in range(3)]


def test_a_restart_neither_skips_nor_repeats_a_slot(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    watch = Watch(store)
    for minute in (0, 5, 59, 61, 62, 125):
        hands.now = after(minutes=minute)
        scheduler(store, hands).run_due("buyers")
        watch.look()

    assert watch.seen == [after(minutes=minute) for minute in (0, 61, 125)]


def test_slots_that_were_missed_become_one_run(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    watch = Watch(store)
    scheduler(store, hands).run_due("buyers")
    watch.look()

    for minute in (10, 11):
        hands.now = after(hours=50, minutes=minute)
        scheduler(store, hands).run_due("buyers")
        watch.look()

    assert watch.seen == [after(), after(hours=50, minutes=10)]


@pytest.mark.parametrize("schedule", [HOURLY, Cron("0 * * * *", "Europe/Berlin")], ids=["every", "cron"])
def test_two_schedulers_run_a_slot_once(store: Store, hands: Hands, schedule: Schedule) -> None:
    defined(store, definition(schedule=schedule))
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        scheduler(store, hands).run_due("buyers")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(run_instants(store)) == 1


def test_a_changed_schedule_counts_from_now_on(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    running, watch = scheduler(store, hands), Watch(store)
    running.run_due("buyers")
    watch.look()
    defined(store, definition(schedule=Cron("30 9 * * *")))

    for minute in (10, 29, 30, 31, 59, 61):
        hands.now = after(minutes=minute)
        running.run_due("buyers")
        watch.look()

    assert watch.seen == [after(), after(minutes=30)]


def test_a_manual_audience_is_never_run(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=Manual()))

    scheduler(store, hands).run_due("buyers")

    assert run_instants(store) == []


def test_an_audience_that_is_paused_or_retired_since_is_not_run(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY, enabled=False))
    scheduler(store, hands).run_due("buyers")
    defined(store)

    scheduler(store, hands).run_due("buyers")

    assert [at for at in run_instants(store) if at != NOW] == []


def test_a_slot_whose_run_did_not_get_through_is_not_lost(store: Store, hands: Hands, caplog: pytest.LogCaptureFixture) -> None:
    defined(store, definition(schedule=Cron("0 9 * * *")))

    @event.listens_for(store.engine, "before_cursor_execute")
    def fail(_connection, _cursor, statement, *_):
        if "INSERT INTO changes" in statement:
            raise OperationalError(statement, {}, Exception("server closed the connection unexpectedly"))

    scheduler(store, hands).run_due("buyers")
    event.remove(store.engine, "before_cursor_execute", fail)
    hands.now = after(minutes=5)
    scheduler(store, hands).run_due("buyers")

    assert "tried again" in caplog.text
    assert run_instants(store) == [after(minutes=5)]


def test_a_slot_is_not_taken_by_a_process_that_dies_before_it_has_recorded_anything(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))

    @event.listens_for(store.engine, "before_cursor_execute")
    def die(_connection, _cursor, statement, *_):
        if "INSERT INTO changes" in statement:
            raise SystemExit

    with pytest.raises(SystemExit):
        scheduler(store, hands).run_due("buyers")
    event.remove(store.engine, "before_cursor_execute", die)
    scheduler(store, hands).run_due("buyers")

    assert run_instants(store) == [after()]


def test_an_audience_that_was_computed_as_of_a_later_instant_is_kept_up_as_of_that_instant(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    with store.reading() as connection:
        ahead = by_key(connection, "buyers")
    compute(store, ahead, after(hours=5), standing_clock())
    running, watch, members = scheduler(store, hands), Watch(store), list[int]()

    for hour in (1, 4, 6):
        hands.now = after(hours=hour)
        keep(store, identify(f"user-{hour}", {"in": True}))
        running.run_due("buyers")
        watch.look()
        members.append(again(store, ahead).members)

    assert (watch.seen, members) == ([after(hours=5), after(hours=6)], [1, 2, 3])
    assert again(store, ahead).slots_skipped == 3


def test_that_an_audience_was_computed_as_of_a_time_far_off_is_said_once(
    store: Store, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    defined(store, definition(schedule=HOURLY))
    with store.reading() as connection:
        ahead = by_key(connection, "buyers")
    compute(store, ahead, after(days=1), standing_clock())
    running = scheduler(store, hands)

    for hour in (1, 2, 3):
        hands.now = after(hours=hour)
        running.run_due("buyers")

    said = f"buyers was computed as of {iso(after(days=1))}, later than now: until then what comes in is told"
    assert caplog.text.count(said) == 1


def test_what_an_audience_refers_to_is_computed_before_it(store: Store, hands: Hands) -> None:
    keep(store, identify("ann", {"n": 1}))
    defined(
        store,
        definition("a", query="trait('b') = true", schedule=HOURLY),
        definition("b", query="trait('c') = true", schedule=HOURLY),
        definition("c", query="trait('n') = 1", schedule=HOURLY),
    )

    scheduler(store, hands).run_due("a")

    with store.reading() as connection:
        assert [by_key(connection, key).members for key in "abc"] == [1, 1, 1]


def test_a_guarded_run_takes_its_slot_and_says_so(store: Store, hands: Hands, caplog: pytest.LogCaptureFixture) -> None:
    keep(store, identify("ann", {"in": True}))
    defined(store, definition(schedule=HOURLY, guard=Guard(max_exits=0)))
    running = scheduler(store, hands)
    running.run_due("buyers")
    keep(store, identify("ann", {"in": False}, at=after(minutes=1)))
    hands.now = after(hours=1)

    running.run_due("buyers")
    running.run_due("buyers")

    assert len(run_instants(store)) == 2
    assert "guarded" in caplog.text


def test_whoever_waits_for_something_to_send_is_woken_after_every_look(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    woken: list[bool] = []

    Scheduler(store, hands, lambda: woken.append(True)).run_due("buyers")

    assert woken == [True]


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_became_due_while_nobody_ran_is_run_at_the_start(store: Store) -> None:
    defined(store, definition("a", schedule=Every(timedelta(days=300))), definition("b", schedule=Cron("0 0 1 1 *")))
    running = scheduler(store, system_clock)

    running.start()
    wait_until(lambda: len(run_instants(store)) == 2)
    running.stop()

    assert len(run_instants(store)) == 2


def test_the_heart_beats_from_the_start(store: Store) -> None:
    running = scheduler(store, system_clock)
    started = system_clock()

    def last() -> datetime | None:
        with store.reading() as connection:
            return leases.last_beat(connection, HEARTBEAT)

    running.start()
    wait_until(last)
    running.stop()

    found = last()
    assert found is not None
    assert found >= started


def test_definitions_that_come_change_and_go_are_followed(store: Store) -> None:
    running = scheduler(store, system_clock)
    running.start()

    defined(store, definition("a", schedule=Every(timedelta(days=300))))
    running.rebuild()
    wait_until(lambda: len(run_instants(store)) == 1)
    defined(store, definition("b", schedule=Every(timedelta(days=300))))
    running.rebuild()
    running.rebuild()
    # The second is the one that tells the members of the retired one.
    wait_until(lambda: len(run_instants(store)) == 3)
    running.stop()

    assert len(run_instants(store)) == 3


def test_a_schedule_of_seconds_goes_on_and_on(store: Store) -> None:
    defined(store, definition(schedule=Every(timedelta(seconds=1))))
    running = scheduler(store, system_clock)

    watch = Watch(store)
    running.start()
    # The store is told of a slot right away where there is somebody to look at.
    wait_until(lambda: keep(store, identify("ann")) and len(watch.look()) >= 3)
    running.stop()

    assert len({at.replace(microsecond=0) for at in watch.seen}) == len(watch.seen)
    # Only the first one is worth a row: nothing was new after that.
    assert len(run_instants(store)) == 1


def test_a_job_that_raises_stops_neither_itself_nor_the_others(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "apscheduler")
    defined(store, definition(schedule=Every(timedelta(seconds=1))))
    failures: list[bool] = []

    def computed() -> None:
        failures.append(True)
        raise ZeroDivisionError

    looked: list[bool] = []
    running = Scheduler(store, system_clock, computed)
    running.every(timedelta(seconds=1), lambda: looked.append(True))

    watch = Watch(store)
    running.start()
    wait_until(lambda: keep(store, identify("ann")) and len(watch.look()) >= 3 and looked, 8.0)
    running.stop()

    # The other slots found nothing new.
    assert len(failures) == 1


def test_a_store_that_is_away_stops_neither_the_heart_nor_the_scheduler(hands: Hands, caplog: pytest.LogCaptureFixture) -> None:
    away = Store.at("postgresql+psycopg://nobody@127.0.0.1:1/none")
    running = scheduler(away, hands)

    running.run_due("buyers")

    assert "cannot be used" in caplog.text
    with pytest.raises(Unreachable):
        running.start()


def test_a_heart_that_cannot_tell_the_store_beats_all_the_same(tmp_path: Path, sqlite_template: bytes, hands: Hands) -> None:
    """Or the process would end itself while calls go to the spool, since the disk is full or the file locked."""
    (tmp_path / "full.db").write_bytes(sqlite_template)
    running = scheduler(Store.at(f"sqlite:///file:{tmp_path / 'full.db'}?mode=ro&uri=true"), hands)
    time.sleep(1)
    assert running.silence() >= 1

    running.start()
    wait_until(lambda: running.silence() < 1, 4.0)
    running.stop()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_heart_that_waits_for_a_store_that_does_not_answer_is_not_taken_for_a_dead_one(store: Store) -> None:
    running = Scheduler(store, system_clock, lambda: None, lease=timedelta(seconds=0.9))
    running.start()
    wait_until(lambda: running.lead.held is not None and running.silence() < 0.3, 4.0)

    with store.writing() as somebody:
        somebody.execute(select(leases_table).with_for_update())
        time.sleep(2.0)
        silent = running.silence()
    running.stop()

    assert silent == 0


def test_a_scheduler_that_has_died_is_silent_and_ends_the_process(store: Store) -> None:
    running = Scheduler(store, system_clock, lambda: None, lease=timedelta(seconds=0.9))
    stop, told = threading.Event(), threading.Event()
    kept = signal.signal(signal.SIGTERM, lambda *_: told.set())
    running.start()
    watching = threading.Thread(target=watch, args=(running.silence, stop, 0.05, timedelta(seconds=1.5)))
    watching.start()
    died_by_itself = told.wait(2.5)
    # As when its thread ends by an error of APScheduler's: it does not say so.
    running._apscheduler.shutdown(wait=False)
    ended = told.wait(4)
    stop.set()
    watching.join()
    running.lead.leave()
    signal.signal(signal.SIGTERM, kept)

    assert (died_by_itself, ended) == (False, True)


def test_a_heart_that_has_stopped_is_noticed_within_half_a_minute() -> None:
    assert Durations().silence == STALE
    assert STALE.total_seconds() + WATCH <= 30


@pytest.mark.parametrize(("silent", "ended"), [(24.0, False), (26.0, True)])
def test_a_heart_that_is_silent_for_long_ends_the_process(silent: float, ended: bool) -> None:
    stop, told = threading.Event(), threading.Event()
    kept = signal.signal(signal.SIGTERM, lambda *_: told.set())
    watching = threading.Thread(target=watch, args=(lambda: silent, stop, 0.01))
    watching.start()
    told.wait(0.5)
    stop.set()
    watching.join()
    signal.signal(signal.SIGTERM, kept)

    assert told.is_set() == ended


def test_stopping_waits_for_the_run_that_is_under_way(store: Store) -> None:
    keep(store, identify("ann", {"in": True}))
    audience(store, schedule=Every(timedelta(days=300)))
    begun, ended = threading.Event(), threading.Event()

    def computed() -> None:
        begun.set()
        time.sleep(0.2)
        ended.set()

    running = Scheduler(store, system_clock, computed)
    running.start()
    begun.wait(5)
    running.stop()

    assert ended.is_set()


def test_stopping_does_not_wait_for_ever_for_a_job_that_changes_what_runs(store: Store) -> None:
    running, begun, go_on = scheduler(store, system_clock), threading.Event(), threading.Event()

    def look_at_file() -> None:
        begun.set()
        go_on.wait(5)
        defined(store, definition("new", schedule=HOURLY))
        running.rebuild()

    running.every(timedelta(seconds=0.1), look_at_file)
    running.start()
    begun.wait(5)
    stopping = threading.Thread(target=running.stop, daemon=True)
    stopping.start()
    time.sleep(0.2)
    go_on.set()
    stopping.join(5)

    assert not stopping.is_alive()
    with store.reading() as connection:
        assert leases.holder(connection, LEADING, system_clock()) is None


def test_instants_of_slots_survive_the_store(store: Store) -> None:
    stored = audience(store, schedule=HOURLY)
    slot = datetime(2026, 3, 4, 9, tzinfo=UTC)

    compute_slot(store, stored, slot, after(minutes=1), standing_clock())

    assert again(store, stored).slot_at == slot
