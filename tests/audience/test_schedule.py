"""Schedules: intervals, and cron in crontab's meaning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.triggers.cron import CronTrigger

from sync.audience import Cron, Every, Manual, Schedule, cron_fields, parse_cron, parse_every, schedule_from_json, schedule_to_json


@pytest.mark.parametrize(
    ("text", "interval", "shown"),
    [
        ("1 second", timedelta(seconds=1), "every 1 second"),
        ("15 minutes", timedelta(minutes=15), "every 15 minutes"),
        ("1 Hour", timedelta(hours=1), "every 1 hour"),
        ("90 seconds", timedelta(seconds=90), "every 90 seconds"),
        ("120 minutes", timedelta(hours=2), "every 2 hours"),
        ("366 days", timedelta(days=366), "every 366 days"),
        ("  5minutes ", timedelta(minutes=5), "every 5 minutes"),
    ],
)
def test_an_interval_is_a_number_and_a_unit(text: str, interval: timedelta, shown: str) -> None:
    every = parse_every(text)

    assert every == Every(interval)
    assert str(every) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "15",
        "minutes",
        "0 seconds",
        "-1 minute",
        "1.5 hours",
        "1 week",
        "367 days",
        "999999999 days",
        "1 minute 30 seconds",
        "١ hour",
    ],
)
def test_any_other_interval_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_every(text)


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        ("0 */6 * * *", {"minute": "0", "hour": "0,6,12,18"}),
        ("*/20,5 * * * *", {"minute": "0,5,20,40"}),
        ("30 9-17/4 1,15 * *", {"minute": "30", "hour": "9,13,17", "day": "1,15"}),
        ("0 0 1 JAN-mar,12 *", {"minute": "0", "hour": "0", "day": "1", "month": "1,2,3,12"}),
        # Sunday is 0 and 7, and the scheduler is told its name.
        ("0 0 * * 0", {"minute": "0", "hour": "0", "day_of_week": "sun"}),
        ("0 0 * * 7", {"minute": "0", "hour": "0", "day_of_week": "sun"}),
        ("0 0 * * 1-5", {"minute": "0", "hour": "0", "day_of_week": "mon,tue,wed,thu,fri"}),
        ("0 0 * * 5-7", {"minute": "0", "hour": "0", "day_of_week": "sun,fri,sat"}),
        ("0 0 * * fri-sun", {"minute": "0", "hour": "0", "day_of_week": "sun,fri,sat"}),
        ("0 0 * * sun-tue", {"minute": "0", "hour": "0", "day_of_week": "sun,mon,tue"}),
        ("0 0 * * */2", {"minute": "0", "hour": "0", "day_of_week": "sun,tue,thu,sat"}),
        ("0 0 * * 0-7", {"minute": "0", "hour": "0"}),
        ("0 0 29 2 *", {"minute": "0", "hour": "0", "day": "29", "month": "2"}),
        ("0-59 0-23 1-31 1-12 *", {}),
    ],
)
def test_cron_fields_are_written_out_for_the_scheduler(expression: str, fields: dict[str, str]) -> None:
    everything = {"second": "0", "minute": "*", "hour": "*", "day": "*", "month": "*", "day_of_week": "*"}

    assert cron_fields(expression) == {**everything, **fields}


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "five fields"),
        ("* * * *", "five fields .* not 4"),
        ("0 0 0 * * *", "not 6"),
        ("@daily", "five fields"),
        ("60 * * * *", "the minute .* 0 to 59.* not 60"),
        ("0 24 * * *", "the hour .* 0 to 23"),
        ("0 0 0 * *", "the day of the month .* 1 to 31"),
        ("0 0 * 13 *", "the month .* 1 to 12 or jan to dec"),
        ("0 0 * * 8", "the day of the week .* 0 to 7 or sun to sat"),
        ("0 0 * * L", "the day of the week"),
        ("0 0 ? * *", "the day of the month"),
        ("5,, * * * *", "the minute"),
        ("5- * * * *", "the minute"),
        ("-5 * * * *", "the minute"),
        ("*/0 * * * *", r"/0 is no step; write for example \*/2"),
        ("*/x * * * *", "no step"),
        ("5/15 * * * *", "write 5-59/15"),
        ("0 22-2 * * *", "runs backwards"),
        ("0 0 * * fri-mon", "runs backwards"),
        ("0 0 30 2 *", "no month .* has that day"),
        ("0 0 31 4,6,9,11 *", "no month .* has that day"),
        ("0 0 13 * fri", "not both"),
        ("٥ * * * *", "the minute"),
    ],
)
def test_a_wrong_cron_expression_says_which_field_and_what_is_expected(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cron_fields(expression)


@pytest.mark.parametrize("number", range(8))
def test_the_scheduler_fires_on_crontabs_weekday(number: int) -> None:
    trigger = CronTrigger(**cron_fields(f"0 12 * * {number}"), timezone=UTC)

    fires = trigger.get_next_fire_time(None, datetime(2026, 3, 4, tzinfo=UTC))

    assert fires.isoweekday() % 7 == number % 7
    assert (fires.hour, fires.minute, fires.second) == (12, 0, 0)


def test_a_cron_schedule_keeps_its_expression_with_single_spaces() -> None:
    cron = parse_cron(" 0  */6 * *\t* ", "Europe/Berlin")

    assert cron == Cron("0 */6 * * *", "Europe/Berlin")
    assert str(cron) == "cron 0 */6 * * * (Europe/Berlin)"


def test_a_cron_schedule_without_a_time_zone_runs_in_utc() -> None:
    assert parse_cron("0 0 * * *").timezone == "UTC"


@pytest.mark.parametrize("name", ["Europe/Berlni", "", "../UTC", "Europe", "+01:00"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        parse_cron("0 0 * * *", name)


def test_a_misspelt_time_zone_comes_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"did you mean Europe/Berlin\?"):
        parse_cron("0 0 * * *", "Europe/Berlni")


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (Every(timedelta(minutes=15)), '{"every_seconds":900}'),
        (Cron("0 0 * * 1", "Europe/Berlin"), '{"cron":"0 0 * * 1","timezone":"Europe/Berlin"}'),
        (Manual(), '{"manual":true}'),
    ],
)
def test_a_schedule_survives_the_store(schedule: Schedule, text: str) -> None:
    assert schedule_to_json(schedule) == text
    assert schedule_from_json(text) == schedule


@pytest.mark.parametrize("text", ["", "[]", '{"every_seconds":"900"}', '{"cron":"* * * * *"}', "{}"])
def test_any_other_stored_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        schedule_from_json(text)
