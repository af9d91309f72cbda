"""Slots that passed and nobody looked are counted, said and shown; those of which nobody can know are not (row 12)."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from sqlalchemy import event

from sync.apply import apply
from sync.audience import Cron, Every, Guard, Manual, Schedule
from sync.compute import compute, compute_slot, passed_in_vain
from sync.errors import InputError
from sync.json_value import Json
from sync.membership import Outcome
from sync.scheduler import Scheduler
from sync.slots import MOST, next_slot, slots_between
from sync.store import Store, figures
from sync.store.audiences import Stored, by_key
from tests.make import NOW, after, again, definition, identify, keep, standing_clock
from tests.scheduler.running import Hands, defined, run_instants, scheduler
from tests.scheduler.test_slots import moments, schedules

HOURLY = Every(timedelta(hours=1))
EACH_SECOND = Every(timedelta(seconds=1))


def buyers(store: Store) -> Stored:
    with store.reading() as connection:
        return by_key(connection, "buyers")


def run_at(running: Scheduler, hands: Hands, *instants: datetime) -> None:
    for at in instants:
        hands.now = at
        running.run_due("buyers")


# ── how many there are ───────────────────────────────────────────────────────────────────────────────────────────────────


@given(schedule=schedules, since=moments)
@settings(max_examples=100, deadline=None)
def test_slots_between_two_instants_are_those_that_come_one_after_the_other(schedule: Schedule, since: datetime) -> None:
    following = [next_slot(schedule, since)]
    for _ in range(4):
        assert following[-1] is not None
        following.append(next_slot(schedule, following[-1]))

    found = [slots_between(schedule, since, slot) for slot in following if slot is not None]

    assert found == [0, 1, 2, 3, 4]
    assert following[0] is not None
    assert slots_between(schedule, following[0], following[0]) == 0
    assert slots_between(schedule, following[0] + timedelta(days=900), following[0]) == 0


def test_years_of_a_slot_in_every_minute_are_not_counted_to_their_end() -> None:
    started = time.monotonic()

    assert slots_between(Cron("* * * * *", "Europe/Berlin"), after(days=-5000), NOW) == MOST
    assert slots_between(Every(timedelta(minutes=1)), after(days=-5000), NOW) == 5000 * 24 * 60 - 1
    assert time.monotonic() - started < 2


def test_a_day_of_a_slot_in_every_minute_is_counted_in_full() -> None:
    assert slots_between(Cron("* * * * *"), NOW, after(days=1)) == 24 * 60 - 1


def test_an_audience_that_only_people_start_has_no_slots_to_skip() -> None:
    assert slots_between(Manual(), NOW, after(days=1)) == 0


# ── what is skipped ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("schedule", [HOURLY, Cron("0 * * * *", "Europe/Berlin")], ids=["every", "cron"])
@pytest.mark.parametrize("restarts", [False, True], ids=["slept", "stopped"])
def test_a_day_that_was_slept_through_is_one_run_and_the_other_slots_are_counted(
    store: Store, hands: Hands, schedule: Schedule, restarts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    defined(store, definition(schedule=schedule))
    running = scheduler(store, hands)
    run_at(running, hands, NOW)
    keep(store, identify("ann", {"in": True}))

    running = scheduler(store, hands) if restarts else running
    run_at(running, hands, after(days=1), after(days=1, minutes=5))

    assert run_instants(store) == [NOW, after(days=1)]
    assert (buyers(store).slot_at, buyers(store).slots_skipped) == (after(days=1), 23)
    assert caplog.text.count("23 slots of buyers passed without a run (23 in all)") == 1


def test_a_slot_that_comes_late_skips_none_and_what_was_counted_stays(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    running = scheduler(store, hands)

    run_at(running, hands, after(minutes=50), after(hours=1, minutes=59), after(hours=4), after(hours=5), after(hours=6))

    assert buyers(store).slots_skipped == 2


def test_the_first_slot_of_all_skips_none(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))

    run_at(scheduler(store, hands), hands, after(days=3))

    assert buyers(store).slots_skipped == 0


def test_a_guard_that_holds_a_run_takes_the_slot_and_counts_those_before_it(store: Store, hands: Hands) -> None:
    keep(store, identify("ann", {"in": True}))
    defined(store, definition(schedule=HOURLY, guard=Guard(max_exits=0)))
    running = scheduler(store, hands)
    run_at(running, hands, NOW)
    keep(store, identify("ann", {"in": False}, at=after(minutes=1)))

    run_at(running, hands, after(hours=3), after(hours=4))

    assert (buyers(store).slot_at, buyers(store).slots_skipped) == (after(hours=4), 2)


def test_what_is_synced_by_hand_takes_no_slot_and_counts_none(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    run_at(scheduler(store, hands), hands, NOW)

    compute(store, buyers(store), None, standing_clock(after(hours=5)))

    assert (buyers(store).slot_at, buyers(store).slots_skipped) == (NOW, 0)


# ── two who lead for a moment ────────────────────────────────────────────────────────────────────────────────────────────


def handed_over(store: Store, hands: Hands, guard: Guard | None = None) -> Stored:
    """Let one who leads take the slot of NOW and that of four hours later; return what another read before, who takes over."""
    keep(store, identify("ann", {"in": True}))
    defined(store, definition(schedule=HOURLY, guard=guard))
    run_at(scheduler(store, hands), hands, NOW)
    read_before = buyers(store)
    compute_slot(store, read_before, after(hours=4), after(hours=4), standing_clock(after(hours=4)), skipped=3)
    return read_before


@pytest.mark.parametrize("arrives", [{}, {"in": True}], ids=["nothing new", "an entry"])
def test_whoever_takes_over_does_not_count_again_what_the_one_before_has_counted(
    store: Store, hands: Hands, arrives: dict[str, Json]
) -> None:
    read_before = handed_over(store, hands)
    keep(store, identify("bob", arrives))

    compute_slot(store, read_before, after(hours=5), after(hours=5), standing_clock(after(hours=5)), skipped=4)

    assert (buyers(store).slot_at, buyers(store).slots_skipped) == (after(hours=5), 3)


def test_whoever_takes_over_counts_nothing_again_where_a_guard_holds_the_run(store: Store, hands: Hands) -> None:
    read_before = handed_over(store, hands, Guard(max_exits=0))
    keep(store, identify("ann", {"in": False}, at=after(hours=1)))

    run = compute_slot(store, read_before, after(hours=5), after(hours=5), standing_clock(after(hours=5)), skipped=4)

    assert run is not None
    assert run.outcome is Outcome.GUARDED
    assert (buyers(store).slot_at, buyers(store).slots_skipped) == (after(hours=5), 3)


def test_whoever_takes_over_passes_no_slot_by_what_it_read_before(store: Store, hands: Hands) -> None:
    read_before = handed_over(store, hands)

    with store.connected() as session:
        is_passed = passed_in_vain(session, read_before, after(hours=5), after(hours=5), skipped=4)

    assert not is_passed
    assert (buyers(store).slot_at, buyers(store).slots_skipped) == (after(hours=4), 3)


def test_one_slot_that_two_want_to_take_is_counted_by_one(store: Store, hands: Hands) -> None:
    read_before = handed_over(store, hands)

    with pytest.raises(InputError, match="already"):
        compute_slot(store, read_before, after(hours=4), after(hours=4), standing_clock(after(hours=4)), skipped=3)

    assert buyers(store).slots_skipped == 3


# ── what was not scheduled ───────────────────────────────────────────────────────────────────────────────────────────────


def test_slots_at_which_an_audience_was_paused_are_not_counted(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    running = scheduler(store, hands)
    run_at(running, hands, NOW)
    apply(store, [definition(schedule=HOURLY, enabled=False)], after(hours=1, minutes=10))
    apply(store, [definition(schedule=HOURLY)], after(hours=7, minutes=10))

    run_at(running, hands, after(hours=7, minutes=10), after(hours=8), after(hours=10))

    assert buyers(store).slots_skipped == 1


def test_a_schedule_that_is_changed_counts_from_then_on(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=Every(timedelta(days=1))))
    running = scheduler(store, hands)
    run_at(running, hands, NOW)
    apply(store, [definition(schedule=Cron("*/10 * * * *"))], after(hours=20, minutes=1))

    run_at(running, hands, after(hours=20, minutes=40))

    assert buyers(store).slots_skipped == 3


# ── schedules of seconds, of which the store is told now and then ────────────────────────────────────────────────────────


def seconds(first: int, last: int) -> list[datetime]:
    return [after(seconds=second, milliseconds=3) for second in range(first, last + 1)]


def test_slots_at_which_there_was_nothing_to_do_are_not_skipped(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=EACH_SECOND))

    run_at(scheduler(store, hands), hands, *seconds(0, 35))

    assert (buyers(store).slot_at, buyers(store).slots_skipped) == (after(seconds=30), 0)


def test_slots_that_another_process_may_have_passed_are_not_counted(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=EACH_SECOND))

    for first in (0, 7, 14, 21, 28):
        run_at(scheduler(store, hands), hands, *seconds(first, first + 6))
    assert buyers(store).slots_skipped == 0
    last = buyers(store).slot_at
    assert last is not None
    run_at(scheduler(store, hands), hands, last + timedelta(seconds=100))

    assert buyers(store).slots_skipped == 90


def test_slots_that_another_one_passed_while_it_led_are_not_counted(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=EACH_SECOND))
    first = scheduler(store, hands)
    run_at(first, hands, *seconds(0, 3))
    run_at(scheduler(store, hands), hands, *seconds(4, 8))

    # As it does where it has begun to lead.
    first._stand_by()
    first.lead.leave()
    run_at(first, hands, *seconds(9, 12))

    assert (buyers(store).slot_at, buyers(store).slots_skipped) == (after(seconds=10), 0)


def test_slots_that_pass_during_a_run_that_takes_long_are_skipped(
    store: Store, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    defined(store, definition(schedule=EACH_SECOND))
    running = scheduler(store, hands)
    run_at(running, hands, *seconds(0, 2))
    keep(store, identify("ann", {"in": True}))

    # A run of two seconds and a half, and then the next ones, in time; then it is so again, with nothing to do.
    run_at(running, hands, after(seconds=3), after(seconds=5.5), *seconds(6, 8), after(seconds=11.5))

    assert (buyers(store).slot_at, buyers(store).slots_skipped) == (after(seconds=11), 3)
    assert caplog.text.count("passed without a run") == 1


def test_that_slots_are_skipped_is_said_again_after_a_while(store: Store, hands: Hands, caplog: pytest.LogCaptureFixture) -> None:
    defined(store, definition(schedule=EACH_SECOND))
    running = scheduler(store, hands)

    run_at(running, hands, *(after(seconds=second) for second in range(0, 90, 3)))

    assert "2 slots of buyers passed without a run (2 in all)" in caplog.text
    assert "2 slots of buyers passed without a run (42 in all)" in caplog.text
    assert caplog.text.count("passed without a run") == 2


def test_counting_asks_the_store_for_nothing_more(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    running = scheduler(store, hands)
    run_at(running, hands, NOW)
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))

    run_at(running, hands, after(hours=1))
    in_time = list(statements)
    run_at(running, hands, after(hours=9))
    late = statements[len(in_time) :]

    assert late == in_time
    assert buyers(store).slots_skipped == 7


def test_the_figures_tell_how_many_were_skipped(store: Store, hands: Hands) -> None:
    defined(store, definition(schedule=HOURLY))
    run_at(scheduler(store, hands), hands, NOW, after(hours=3))

    with store.reading() as connection:
        [found] = figures.last_runs(connection)

    assert (found.key, found.slots_skipped) == ("buyers", 2)
    assert again(store, buyers(store)).slots_skipped == 2
