"""Slots: which instants a schedule has, the quarters of the hour in UTC (`every 15 minutes`), or times on a zone's clocks (`cron`).

Knows APScheduler's triggers, which tell only the next instant, and what they make of clocks that are set forward and back. Does not
know who takes a slot, nor when somebody looks (`sync.scheduler`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Final

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from sync.audience import Cron, Every, Manual, Schedule, cron_fields
from sync.store.types import EPOCH

MOST: Final = 2000
"""So many slots of a `cron` are counted at most; to find each takes some fifty microseconds, or a few hundred."""

_WINDOWS: Final = (timedelta(minutes=5), timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=1500))


def latest_slot(schedule: Schedule, now: datetime) -> datetime | None:
    """Return the last slot at or before an instant; None where there is none."""
    match schedule:
        case Every(interval):
            return EPOCH + (now - EPOCH) // interval * interval
        case Cron():
            return _latest(_times(schedule), now)
        case Manual():
            return None


def next_slot(schedule: Schedule, now: datetime) -> datetime | None:
    """Return the first slot after an instant; None where there is none."""
    match schedule:
        case Every(interval):
            return EPOCH + ((now - EPOCH) // interval + 1) * interval
        case Cron():
            return _times(schedule).get_next_fire_time(None, now + timedelta(microseconds=1))
        case Manual():
            return None


def slots_between(schedule: Schedule, after: datetime, before: datetime) -> int:
    """Count the slots after an instant and before a slot; of a `cron` no more than MOST, 33 hours of a slot in every minute."""
    match schedule:
        case Every(interval):
            return max(0, (before - EPOCH) // interval - (after - EPOCH) // interval - 1)
        case Cron():
            return sum(1 for _ in islice(_up_to(_times(schedule), after, before), MOST))
        case Manual():
            return 0


def trigger_of(schedule: Schedule) -> IntervalTrigger | CronTrigger | None:
    """Return APScheduler's trigger for a schedule; None for one that only people start."""
    match schedule:
        case Every(interval):
            return _Slots(seconds=interval.total_seconds(), start_date=EPOCH, timezone=UTC)
        case Cron():
            return _times(schedule)
        case Manual():
            return None


def _times(schedule: Cron) -> _Times:
    return _Times(**cron_fields(schedule.expression), timezone=schedule.timezone)


def _latest(times: _Times, now: datetime) -> datetime | None:
    """Return the last instant, of which a trigger only tells the next: look back further and further."""
    for window in _WINDOWS:
        found, following = None, times.get_next_fire_time(None, now - window)
        while following is not None and following <= now:
            found, following = following, times.get_next_fire_time(None, following + timedelta(microseconds=1))
        if found is not None:
            return found
    return None


def _up_to(times: _Times, after: datetime, before: datetime) -> Iterator[datetime]:
    following = times.get_next_fire_time(None, after + timedelta(microseconds=1))
    while following is not None and following < before:
        yield following
        following = times.get_next_fire_time(None, following + timedelta(microseconds=1))


class _Slots(IntervalTrigger):  # type: ignore[misc] # APScheduler carries no types.
    """Fires at the slots. APScheduler's own counts on from when it fired last, which is any time at all after a start."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        # Nor does it make up for what was missed, one by one: a run takes the latest slot only.
        at = now if previous_fire_time is None else max(now, previous_fire_time + timedelta(microseconds=1))
        following: datetime | None = super().get_next_fire_time(None, at)
        return following


class _Times(CronTrigger):  # type: ignore[misc] # APScheduler carries no types.
    """Fires at the times of a cron expression, of each day once, whatever clocks do.

    APScheduler's own passes over what lies within the hour after midnight, of the first day on which it lands behind an hour that
    clocks skip; and fires twice in an hour that they repeat.
    """

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        at = now if previous_fire_time is None else max(now, previous_fire_time + timedelta(microseconds=1))
        found = self._first(at)
        # The second time is for those that run every hour.
        while found is not None and found.fold and not self._is_hourly:
            found = self._first(found.astimezone(UTC) + timedelta(minutes=1))
        return None if found is None else found.astimezone(UTC)

    @property
    def _is_hourly(self) -> bool:
        return any(field.name == "hour" and str(field) == "*" for field in self.fields)

    def _first(self, at: datetime) -> datetime | None:
        """Return the first time from an instant on, and look anew from wherever clocks go forward on the way there."""
        found: datetime | None = super().get_next_fire_time(None, at)
        if found is None:
            return None
        passed_over = [super(_Times, self).get_next_fire_time(None, gap) for gap in _gaps(at, found, self.timezone)]
        # In UTC, since two of one zone are compared by what its clocks show.
        first: datetime = min(one.astimezone(UTC) for one in (found, *passed_over) if one is not None)
        return first.astimezone(self.timezone)


def _gaps(since: datetime, until: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Yield the instants between two at which the clocks of a zone go forward."""
    since, until = since.astimezone(UTC).replace(microsecond=0), until.astimezone(UTC)
    while since < until:
        following = min(since + timedelta(days=1), until)
        if _offset(since, zone) < _offset(following, zone):
            yield _gap(since, following, zone)
        since = following


def _gap(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """Return the first second between two at which clocks have gone forward."""
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // timedelta(seconds=2) * timedelta(seconds=1)
        before, after = (before, middle) if _offset(before, zone) < _offset(middle, zone) else (middle, after)
    return after


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None, "a zone has one"
    return offset
