"""Which instants a schedule has: the last one that is due, and the next one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.audience import Cron, Every, Manual, Schedule
from sync.slots import latest_slot, next_slot, trigger_of


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def slots(schedule: Schedule, after: str, number: int) -> list[str]:
    """Return the next slots, each in UTC to the minute."""
    found, at = [], instant(after)
    for _ in range(number):
        following = next_slot(schedule, at)
        assert following is not None
        found.append(following.strftime("%d %H:%M"))
        at = following
    return found


EVERY = {
    1: ("2026-03-04T09:00:00.5Z", "2026-03-04T09:00:00Z", "2026-03-04T09:00:01Z"),
    60: ("2026-03-04T09:00:59Z", "2026-03-04T09:00:00Z", "2026-03-04T09:01:00Z"),
    900: ("2026-03-04T09:44:59Z", "2026-03-04T09:30:00Z", "2026-03-04T09:45:00Z"),
    3600: ("2026-03-04T09:00:00Z", "2026-03-04T09:00:00Z", "2026-03-04T10:00:00Z"),
    86400: ("2026-03-04T23:59:59.999999Z", "2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"),
}


@pytest.mark.parametrize("seconds", EVERY)
def test_an_interval_has_its_slots_at_whole_multiples_in_utc(seconds: int) -> None:
    now, latest, following = (instant(text) for text in EVERY[seconds])
    schedule = Every(timedelta(seconds=seconds))

    assert (latest_slot(schedule, now), next_slot(schedule, now)) == (latest, following)


def test_an_interval_that_divides_no_day_has_slots_all_the_same() -> None:
    schedule = Every(timedelta(hours=7))
    first = latest_slot(schedule, instant("2026-03-04T09:00Z"))
    following = next_slot(schedule, instant("2026-03-04T09:00Z"))

    assert first is not None
    assert following is not None
    assert following - first == timedelta(hours=7)


CRON = [
    ("0 */6 * * *", "UTC", "2026-03-04T09:00Z", "2026-03-04T06:00Z", "2026-03-04T12:00Z"),
    ("0 9 * * *", "UTC", "2026-03-04T09:00Z", "2026-03-04T09:00Z", "2026-03-05T09:00Z"),
    ("0 9 * * *", "Europe/Berlin", "2026-03-04T09:00Z", "2026-03-04T08:00Z", "2026-03-05T08:00Z"),
    ("0 9 * * *", "Asia/Kolkata", "2026-03-04T09:00Z", "2026-03-04T03:30Z", "2026-03-05T03:30Z"),
    ("30 3 * * 1", "UTC", "2026-03-04T09:00Z", "2026-03-02T03:30Z", "2026-03-09T03:30Z"),
    ("0 0 * * 0", "UTC", "2026-03-04T09:00Z", "2026-03-01T00:00Z", "2026-03-08T00:00Z"),
    ("0 0 * * 7", "UTC", "2026-03-04T09:00Z", "2026-03-01T00:00Z", "2026-03-08T00:00Z"),
    ("0 0 31 * *", "UTC", "2026-03-04T09:00Z", "2026-01-31T00:00Z", "2026-03-31T00:00Z"),
    ("0 0 29 2 *", "UTC", "2026-03-04T09:00Z", "2024-02-29T00:00Z", "2028-02-29T00:00Z"),
    ("0 0 1 1 *", "Pacific/Auckland", "2026-03-04T09:00Z", "2025-12-31T11:00Z", "2026-12-31T11:00Z"),
    ("* * * * *", "UTC", "2026-03-04T09:00:30Z", "2026-03-04T09:00Z", "2026-03-04T09:01Z"),
]


@pytest.mark.parametrize(("expression", "timezone", "now", "latest", "following"), CRON)
def test_a_cron_schedule_has_its_slots_on_the_clocks_of_its_zone(
    expression: str, timezone: str, now: str, latest: str, following: str
) -> None:
    schedule = Cron(expression, timezone)

    assert latest_slot(schedule, instant(now)) == instant(latest)
    assert next_slot(schedule, instant(now)) == instant(following)


def test_a_time_that_clocks_skip_is_run_once_after_the_gap() -> None:
    found = slots(Cron("30 2 * * *", "Europe/Berlin"), "2026-03-27T12:00Z", 3)

    assert found == ["28 01:30", "29 01:30", "30 00:30"]


def test_a_time_that_clocks_repeat_is_run_the_first_time_only() -> None:
    found = slots(Cron("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00Z", 2)
    again = latest_slot(Cron("30 2 * * *", "Europe/Berlin"), instant("2026-10-25T01:45Z"))

    assert found == ["25 00:30", "26 01:30"]
    assert again == instant("2026-10-25T00:30Z")


def test_what_runs_every_hour_runs_in_the_repeated_hour_too() -> None:
    found = slots(Cron("0 * * * *", "Europe/Berlin"), "2026-10-24T23:30Z", 3)

    assert found == ["25 00:00", "25 01:00", "25 02:00"]


@pytest.mark.parametrize(
    ("time", "zone"),
    [
        ("0 0", "Europe/Berlin"),
        ("30 2", "Europe/Berlin"),
        ("30 1", "America/New_York"),
        ("30 2", "America/New_York"),
        ("15 2", "Australia/Lord_Howe"),
        ("45 1", "Australia/Lord_Howe"),
    ],
)
def test_every_day_of_seven_years_has_its_slot_whatever_clocks_do(time: str, zone: str) -> None:
    schedule, at, days = Cron(f"{time} * * *", zone), instant("2024-01-01T12:00Z"), list[date]()
    while days[-1:] != [date(2031, 1, 1)]:
        following = next_slot(schedule, at)
        assert following is not None
        assert latest_slot(schedule, following) == following
        days.append(following.astimezone(ZoneInfo(zone)).date())
        at = following

    assert days == [days[0] + timedelta(days=number) for number in range(len(days))]


def test_every_month_of_seven_years_has_its_slot_at_midnight() -> None:
    schedule, at, months = Cron("0 0 1 * *", "Europe/Berlin"), instant("2024-01-01T12:00Z"), list[str]()
    for _ in range(84):
        following = next_slot(schedule, at)
        assert following is not None
        assert latest_slot(schedule, following) == following
        months.append(following.astimezone(ZoneInfo("Europe/Berlin")).strftime("%m-%d %H:%M"))
        at = following

    assert months == [f"{(number + 1) % 12 + 1:02}-01 00:00" for number in range(84)]


def test_a_job_is_woken_at_the_slot_after_the_gap() -> None:
    trigger = trigger_of(Cron("0 0 * * *", "Europe/Berlin"))

    assert trigger is not None
    assert trigger.get_next_fire_time(instant("2026-03-28T23:00Z"), instant("2026-03-28T23:00Z")) == instant("2026-03-29T22:00Z")


def test_a_manual_schedule_has_no_slots() -> None:
    assert latest_slot(Manual(), instant("2026-03-04T09:00Z")) is None
    assert next_slot(Manual(), instant("2026-03-04T09:00Z")) is None


schedules = st.one_of(
    st.integers(1, 90_000).map(lambda seconds: Every(timedelta(seconds=seconds))),
    st.builds(
        Cron,
        st.sampled_from(["* * * * *", "*/7 * * * *", "0 3 * * *", "15 2,14 * * *", "0 0 * * 1", "5 4 1 * *"]),
        st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    ),
)
moments = st.datetimes(datetime(2025, 1, 1, tzinfo=None), datetime(2027, 1, 1, tzinfo=None), timezones=st.just(UTC))  # noqa: DTZ001


@given(schedule=schedules, now=moments)
@settings(max_examples=150, deadline=None)
def test_the_next_slot_is_the_latest_one_when_its_time_has_come_and_not_before(schedule: Schedule, now: datetime) -> None:
    following = next_slot(schedule, now)
    latest = latest_slot(schedule, now)

    assert following is not None
    assert latest is not None
    assert latest <= now < following
    assert latest_slot(schedule, following) == following
    assert latest_slot(schedule, following - timedelta(microseconds=1)) == latest


def test_after_a_start_between_two_slots_it_wakes_at_the_slot_and_not_an_interval_later() -> None:
    started = instant("2026-03-04T09:07Z")
    trigger = trigger_of(Every(timedelta(minutes=15)))

    assert trigger is not None
    assert trigger.get_next_fire_time(started, started) == instant("2026-03-04T09:15Z")
    assert trigger.get_next_fire_time(instant("2026-03-04T09:15Z"), instant("2026-03-04T09:15Z")) == instant("2026-03-04T09:30Z")


def test_what_was_missed_for_months_is_one_waking() -> None:
    trigger = trigger_of(Every(timedelta(seconds=1)))

    assert trigger is not None
    assert trigger.get_next_fire_time(instant("2026-03-04T09:00Z"), instant("2026-11-25T12:00Z")) == instant("2026-11-25T12:00Z")
