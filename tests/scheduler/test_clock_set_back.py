"""A clock that is set back: schedules go on by it, as of the instants that audiences have, until it has caught up (row 11)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import select

from sync.audience import Cron, Definition, Every
from sync.jobs import Jobs
from sync.lead import Lead, fence_of
from sync.scheduler import LOOK, Scheduler
from sync.store import Store
from sync.store.audiences import Stored, by_key
from sync.store.schema import changes, runs
from tests.make import NOW, after, definition, identify, keep, standing_clock, track
from tests.scheduler.running import Hands, defined, run_instants, scheduler

QUARTER = timedelta(minutes=15)
BACK = pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=1)], ids=["an hour", "a day"])

# Of each kind of schedule one; the last one's slots are at odd quarters of an hour in UTC.
SCHEDULES = {
    "each_second": Every(timedelta(seconds=1)),
    "quarterly": Every(QUARTER),
    "cron": Cron("*/30 * * * *"),
    "kathmandu": Cron("0 * * * *", "Asia/Kathmandu"),
}
RECENT = "event('Order Completed').within(1 days).count() >= 1"


def all_kinds(query: str = "trait('in') = true") -> list[Definition]:
    return [definition(key, query=query, schedule=schedule) for key, schedule in SCHEDULES.items()]


def look(running: Scheduler) -> None:
    for key in SCHEDULES:
        running.run_due(key)


def quarters(hands: Hands, since: timedelta, until: timedelta) -> Iterator[None]:
    """Turn the clock on by quarters of an hour, from one time to another, both as seen from NOW."""
    at = since
    while at <= until:
        hands.now = NOW + at
        yield
        at += QUARTER


def kept(store: Store) -> list[Stored]:
    with store.reading() as connection:
        return [by_key(connection, key) for key in SCHEDULES]


def moves(store: Store) -> list[tuple[str | None, object]]:
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(select(changes.c.value, changes.c.at).order_by(changes.c.run_id))]


@BACK
@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "restarts"])
def test_what_comes_in_while_the_clock_is_behind_is_told_at_the_next_slot_of_every_schedule(
    store: Store, hands: Hands, back: timedelta, restarts: bool
) -> None:
    defined(store, *all_kinds())
    running = scheduler(store, hands)
    look(running)
    before, found = kept(store), list[list[int]]()

    for number, _ in enumerate(quarters(hands, -back, -back + 3 * QUARTER)):
        keep(store, identify(f"user-{number}", {"in": True}, at=hands.now))
        running = scheduler(store, hands) if restarts else running
        look(running)
        found.append([one.members for one in kept(store)])

    told = {key: list(members) for key, members in zip(SCHEDULES, zip(*found, strict=True), strict=True)}
    # One that begins cannot know whether somebody has looked since the slot that was last, and looks.
    at_each_look, half_hourly, hourly = [1, 2, 3, 4], [1, 1, 3, 3], [1, 2, 2, 2]
    if restarts:
        half_hourly = hourly = at_each_look
    assert told == {"each_second": at_each_look, "quarterly": at_each_look, "cron": half_hourly, "kathmandu": hourly}
    assert [one.computed_at for one in kept(store)] == [one.computed_at for one in before]
    assert [one.slot_at for one in kept(store)] == [one.slot_at for one in before]


@BACK
def test_nobody_moves_because_a_clock_is_set_back_and_everybody_once_it_has_caught_up(
    store: Store, hands: Hands, back: timedelta
) -> None:
    """Ann has left half an hour before the last run, and would be in by the clock that was set back; bob leaves half an hour after.

    Of both something comes in meanwhile, so that they are looked at; and cid enters, so that one sees that they are.
    """
    keep(store, track("ann", at=after(days=-1, minutes=-30)), track("bob", at=after(days=-1, minutes=30)))
    defined(store, *all_kinds(RECENT))
    running = scheduler(store, hands)
    look(running)
    keep(store, track("ann", at=after(days=-3)), track("bob", at=after(days=-3)), track("cid", at=after(hours=-1)))

    for _ in quarters(hands, -back, QUARTER):
        look(running)
    behind = moves(store)
    for _ in quarters(hands, 2 * QUARTER, 8 * QUARTER):
        look(running)

    assert behind == [("true", NOW)] * 2 * len(SCHEDULES)
    left = moves(store)[len(behind) :]
    assert [value for value, _ in left] == ["false"] * len(SCHEDULES)
    assert min(at for _, at in left) == after(minutes=30)


@BACK
def test_slots_at_which_nothing_comes_in_write_nothing_down_until_the_clock_has_caught_up(
    store: Store, hands: Hands, back: timedelta
) -> None:
    defined(store, *all_kinds())
    running = scheduler(store, hands)
    look(running)
    keep(store, identify("ann", {"in": True}))
    hands.now = NOW - back
    look(running)
    with_ann, instants = kept(store), run_instants(store)

    for _ in quarters(hands, -back, timedelta()):
        look(running)
    assert kept(store) == with_ann
    for _ in quarters(hands, QUARTER, 4 * QUARTER):
        look(running)

    assert run_instants(store) == instants == [NOW] * 2 * len(SCHEDULES)
    assert [one.slot_at for one in kept(store)] == [after(hours=1), after(hours=1), after(hours=1), after(minutes=15)]
    assert [one.computed_at for one in kept(store)] == [after(hours=1), after(hours=1), after(hours=1), after(minutes=15)]


def test_each_slot_that_comes_again_is_looked_at_once_and_the_last_one_that_was_taken_too(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=Every(timedelta(hours=1))))
    running, found = scheduler(store, hands), list[int]()
    running.run_due("buyers")

    for number, minute in enumerate((-130, -125, -60, -55, 5, 10, 60)):
        hands.now = after(minutes=minute)
        keep(store, identify(f"user-{number}", {"in": True}))
        running.run_due("buyers")
        with store.reading() as connection:
            found.append(by_key(connection, "buyers").members)

    assert found == [1, 1, 3, 3, 5, 5, 7]
    assert run_instants(store) == [NOW, NOW, NOW, after(minutes=5), after(minutes=60)]
    with store.reading() as connection:
        buyers = by_key(connection, "buyers")
    assert (buyers.slot_at, buyers.slots_skipped) == (after(hours=1), 0)


def test_only_the_leader_writes_down_what_it_finds_by_a_clock_that_was_set_back(
    store: Store, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    defined(store, *all_kinds())
    leads = Lead(store, hands)
    assert leads.seek()
    assert leads.held is not None
    running, fence = scheduler(store, hands), fence_of(leads.held)
    running.run_due("quarterly", fence)
    hands.now = after(days=-1)
    keep(store, identify("ann", {"in": True}))

    running.run_due("quarterly", fence)
    found = kept(store)[1].members
    leads.leave()
    assert Lead(store, hands).seek()
    keep(store, identify("bob", {"in": True}))
    hands.now += QUARTER
    running.run_due("quarterly", fence)

    assert (found, kept(store)[1].members) == (1, 1)
    assert "another scheduler leads by now" in caplog.text


def test_a_schedule_that_is_changed_while_the_clock_is_behind_goes_on_as_well(store: Store, hands: Hands) -> None:
    defined(store, definition("cron", schedule=Every(timedelta(hours=1))))
    running = scheduler(store, hands)
    running.run_due("cron")
    hands.now = after(days=-1, minutes=1)
    defined(store, definition("cron", schedule=SCHEDULES["cron"]))

    found = []
    for minute in (1, 31, 40):
        keep(store, identify(f"user-{minute}", {"in": True}))
        hands.now = after(days=-1, minutes=minute)
        running.run_due("cron")
        with store.reading() as connection:
            found.append(by_key(connection, "cron").members)

    assert found == [1, 2, 2]


@pytest.mark.parametrize(("back", "woken"), [(timedelta(hours=1), True), (timedelta(days=1), True), (timedelta(seconds=1), False)])
def test_jobs_that_would_wait_until_the_clock_has_caught_up_are_woken_but_for_those_that_rest(
    back: timedelta, woken: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    jobs = Jobs(LOOK)
    apscheduler = BackgroundScheduler(jobstores={"default": jobs}, timezone="UTC")
    for name, at in (("hourly", after(hours=1)), ("soon", after(seconds=1)), ("rests", None)):
        apscheduler.add_job(standing_clock(), "interval", hours=1, id=name, next_run_time=at)
    apscheduler.start(paused=True)
    assert jobs.get_due_jobs(NOW) == []

    due = jobs.get_due_jobs(NOW - back)
    apscheduler.shutdown()

    assert [job.id for job in due] == (["hourly", "soon"] if woken else [])
    assert caplog.text.count("the clock was set back by") == woken


def test_runs_of_a_clock_that_was_set_back_keep_the_instants_of_when_they_took_place(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=Every(QUARTER)))
    running = scheduler(store, hands)
    running.run_due("buyers")
    hands.now = after(hours=-1)
    keep(store, identify("ann", {"in": True}))

    running.run_due("buyers")

    with store.reading() as connection:
        told = connection.execute(select(runs.c.at, runs.c.started_at).order_by(runs.c.id)).all()
    assert [tuple(row) for row in told] == [(NOW, NOW), (NOW, after(hours=-1))]
