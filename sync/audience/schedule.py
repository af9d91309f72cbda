"""Schedules: when an audience is computed.

Knows intervals and cron expressions, in crontab's meaning: five fields, Sunday is 0 and 7. Does not know a clock, and does not
compute the next instant; that is the scheduler's, which is handed names of weekdays, because its own numbers begin on Monday.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from typing import Final, TypeAlias
from zoneinfo import available_timezones

from sync.json_value import decode, encode_sorted

_SECONDS: Final = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
_EVERY: Final = re.compile(r"([0-9]{1,9}) *(second|minute|hour|day)s?", re.IGNORECASE)
_LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Every:
    """At a fixed interval, of whole seconds."""

    interval: timedelta

    def __str__(self) -> str:
        seconds = int(self.interval.total_seconds())
        unit, size = next((unit, size) for unit, size in _SECONDS.items() if seconds % size == 0)
        count = seconds // size
        return f"every {count} {unit}{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Cron:
    """At the times of a cron expression, on the clocks of a time zone."""

    expression: str
    """Five fields with one space between."""
    timezone: str = "UTC"
    """An IANA name."""

    def __str__(self) -> str:
        return f"cron {self.expression} ({self.timezone})"


@dataclass(frozen=True, slots=True)
class Manual:
    """Only when somebody asks."""

    def __str__(self) -> str:
        return "manual"


Schedule: TypeAlias = Every | Cron | Manual


def parse_every(text: str) -> Every:
    """Read `15 minutes`: a whole number of seconds, minutes, hours or days, 1 second to 366 days. Raises ValueError otherwise."""
    found = _EVERY.fullmatch(text.strip())
    if not found:
        raise ValueError("expected a whole number and a unit (seconds, minutes, hours, days), for example 15 minutes")
    interval = timedelta(seconds=min(int(found[1]) * _SECONDS[found[2].lower()], 10**10))
    if not timedelta(seconds=1) <= interval <= _LONGEST:
        raise ValueError(f"expected 1 second to {_LONGEST.days} days")
    return Every(interval)


def parse_cron(expression: str, timezone: str = "UTC") -> Cron:
    """Read a cron expression and the name of its time zone. Raises ValueError with what is wrong and what would be right."""
    cron_fields(expression)
    check_timezone(timezone)
    return Cron(" ".join(expression.split()), timezone)


def check_timezone(name: str) -> None:
    """Raise ValueError, with the nearest right name, unless this is a time zone of the IANA database."""
    if name == "UTC" or name in _timezones():
        return
    nearest = get_close_matches(name, _timezones(), n=1)
    advice = f"did you mean {nearest[0]}?" if nearest else "expected a name such as Europe/Berlin"
    raise ValueError(f"unknown time zone; {advice}")


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Field:
    """One of the five, with the numbers it may have."""

    name: str
    """As the scheduler's trigger calls it."""
    title: str
    first: int
    last: int
    names: Mapping[str, int] = field(default_factory=dict)

    def values(self, text: str) -> tuple[int, ...]:
        """Return every number that the field allows, ascending."""
        return tuple(sorted({value for part in text.lower().split(",") for value in self._part(part)}))

    def _part(self, part: str) -> range:
        span, slash, step = part.partition("/")
        low, high = self._span(span)
        if not slash:
            return range(low, high + 1)
        if not re.fullmatch(r"[0-9]{1,4}", step) or int(step) == 0:
            raise self._wrong(f"/{step} is no step; write for example */2")
        if span != "*" and "-" not in span:
            raise self._wrong(f"a step needs a range; write {span}-{self.last}/{step}")
        return range(low, high + 1, int(step))

    def _span(self, span: str) -> tuple[int, int]:
        if span == "*":
            return self.first, self.last
        start, dash, end = span.partition("-")
        low = self._number(start)
        high = self._number(end) if dash else low
        if end == "sun" and low > 0:
            high = 7
        if high < low:
            raise self._wrong(f"{span} runs backwards; write two ranges with a comma between")
        return low, high

    def _number(self, text: str) -> int:
        value = self.names.get(text, int(text) if re.fullmatch(r"[0-9]{1,4}", text) else -1)
        top = 7 if self.name == "day_of_week" else self.last
        if not self.first <= value <= top:
            raise self._wrong(f"expected {self._expected(top)}" + (f", not {text}" if text else ""))
        return value

    def _expected(self, top: int) -> str:
        named = f" or {next(iter(self.names))} to {list(self.names)[-1]}" if self.names else ""
        return f"{self.first} to {top}{named}, * for all, or a list, range or step of them"

    def _wrong(self, message: str) -> ValueError:
        return ValueError(f"the {self.title} of the cron expression: {message}")


def _numbered(names: str, first: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split(), first)}


_MONTHS: Final = _numbered("jan feb mar apr may jun jul aug sep oct nov dec", 1)
_WEEKDAYS: Final = _numbered("sun mon tue wed thu fri sat", 0)
_MINUTE: Final = _Field(name="minute", title="minute", first=0, last=59)
_HOUR: Final = _Field(name="hour", title="hour", first=0, last=23)
_DAY: Final = _Field(name="day", title="day of the month", first=1, last=31)
_MONTH: Final = _Field(name="month", title="month", first=1, last=12, names=_MONTHS)
_WEEKDAY: Final = _Field(name="day_of_week", title="day of the week", first=0, last=6, names=_WEEKDAYS)
_FIELDS: Final = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)
_DAYS_OF_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def cron_fields(expression: str) -> dict[str, str]:
    """Return the fields of a cron expression as `apscheduler.triggers.cron.CronTrigger(**fields)` takes them.

    Lists, ranges and steps are written out, so that nothing is left to be understood in two ways. Raises ValueError for what
    crontab would refuse, for days that no month has, and where both the day of the month and the day of the week are limited:
    crontab would then run on either, the scheduler only on both.
    """
    words = expression.split()
    if len(words) != len(_FIELDS):
        raise ValueError(
            f"a cron expression has five fields (minute, hour, day of the month, month, day of the week), not {len(words)};"
            ' for example "0 */6 * * *"'
        )
    values = {kind.name: kind.values(word) for kind, word in zip(_FIELDS, words, strict=True)}
    weekdays = {number % 7 for number in values["day_of_week"]}
    _check_days(values["day"], values["month"], weekdays)
    fields = {kind.name: _written(kind, values[kind.name]) for kind in _FIELDS if kind is not _WEEKDAY}
    fields["day_of_week"] = "*" if len(weekdays) == 7 else ",".join(day for day, number in _WEEKDAYS.items() if number in weekdays)
    return {**fields, "second": "0"}


def _check_days(days: tuple[int, ...], months: tuple[int, ...], weekdays: set[int]) -> None:
    if len(days) < 31 and len(weekdays) < 7:
        raise ValueError("name the day of the month or the day of the week, not both: write * for one of them")
    if all(days[0] > _DAYS_OF_MONTH[month - 1] for month in months):
        raise ValueError("no month of the cron expression has that day")


def _written(kind: _Field, values: tuple[int, ...]) -> str:
    whole = len(values) == kind.last - kind.first + 1
    return "*" if whole else ",".join(str(value) for value in values)


def schedule_to_json(schedule: Schedule) -> str:
    """Return the text that the store keeps; equal schedules give equal text."""
    match schedule:
        case Every(interval):
            return encode_sorted({"every_seconds": int(interval.total_seconds())})
        case Cron(expression, timezone):
            return encode_sorted({"cron": expression, "timezone": timezone})
        case Manual():
            return encode_sorted({"manual": True})


def schedule_from_json(text: str) -> Schedule:
    """Read what `schedule_to_json` wrote. Raises ValueError for anything else."""
    match decode(text):
        case {"every_seconds": int(seconds)}:
            return Every(timedelta(seconds=seconds))
        case {"cron": str(expression), "timezone": str(timezone)}:
            return Cron(expression, timezone)
        case {"manual": True}:
            return Manual()
        case _:
            raise ValueError("a stored schedule is every, cron or manual")
