"""When each audience is synced. Uses APScheduler as a clock with a thread pool; only `sync.slots` and `sync.jobs` know it besides.

Its jobs live in memory and are rebuilt from our definitions. What has been done lives in our own table: every schedule has slots
(`sync.slots`), a run takes the latest that is due, and a slot is taken once, by whichever process is first. So a restart neither
skips nor repeats a run, slots that were missed become one run and are counted, and two schedulers do no harm. Of several one leads
all the same (`sync.lead`), and only that one runs anything by itself.

When a job is woken is by the machine's clock, APScheduler's own: one that is given an instant of long ago counts every time it has
missed since. Which slot is due is by the clock that is passed.

A clock that is set back shows slots that were taken already. They are looked at again, and not taken again, as of the instant that
the audience has (`sync.compute`): what comes in is told in time, and nothing happens by time until the clock has caught up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from sync.app import system_clock
from sync.audience import Every, Schedule
from sync.compute import REMEMBERED, Clock, Fence, compute, compute_slot, note_ended, passed_in_vain, with_what_it_reads
from sync.errors import InputError, SyncError, TookTooLong
from sync.gate import Gate
from sync.instant import iso
from sync.jobs import Jobs
from sync.lead import LEAD, Lead, fence_of
from sync.membership import Outcome, Run
from sync.silent import end_silent
from sync.slots import latest_slot, slots_between, trigger_of
from sync.store import Session, Store, audiences, leases, requested
from sync.store.audiences import Stored
from sync.store.leases import Lease
from sync.store.requested import Requested
from sync.store.waiting import waiting

log = logging.getLogger(__name__)

HEARTBEAT: Final = "scheduler"
AGAIN: Final = timedelta(seconds=30)
BEAT: Final = timedelta(seconds=5)
LOOK: Final = timedelta(seconds=1)
"""How often one that leads looks whether something waits that another process has left: a sync that is asked for, or something to
be sent."""
STAND_BY: Final = timedelta(seconds=0.5)
"""How often one that stands by looks whether nobody leads, and what waits: half a second after the leader's runs, that is."""
OTHERS: Final = 0.1
"""Seconds that a job keeps its thread while another one is at an audience that it needs as well; then it is tried again."""
FAR_OFF: Final = timedelta(minutes=1)
"""So far ahead of the clock an instant is no difference between the clocks of two machines."""
SAID: Final = timedelta(minutes=1)
"""So often it is said at most that an audience's slots are skipped; all are counted."""

AT_ONCE: Final = 2
"""How many runs go on at the same time."""
LONG: Final = timedelta(seconds=30)
"""A run that has gone on for so long may be hanging, and is not counted among them."""
THREADS: Final = 8
"""So many may hang before those wait that do not, until one of them is ended; each has a connection to the store."""

_STAND_BY: Final = "stand by"
"""The id of the job; no definition's, since a key has no blanks."""


class _AtWorkElsewhere(SyncError):
    """Another job of this scheduler is at the same audience."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Due:
    """An audience and the slot that it is due for."""

    audience: Stored
    slot: datetime
    skipped: int
    """How many slots passed before it and nobody looked."""

    @property
    def key(self) -> str:
        return self.audience.key

    @property
    def is_anew(self) -> bool:
        """Whether a clock that was ahead has taken it, or a later one."""
        return self.audience.slot_at is not None and self.slot <= self.audience.slot_at


class Scheduler:
    """Runs what is due, in threads of its own, from `start` to `stop`."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        owed: Callable[[], None],
        lease: timedelta = LEAD,
        owner: str | None = None,
        long: timedelta = LONG,
    ) -> None:
        """`owed` is called when something may be owed: after every run that is recorded, and where it is seen that something is.

        `owner` names this process. A run that takes `long` keeps no other one from its turn.
        """
        self.lead: Final = Lead(store, clock, lease, owner)
        # A heartbeat renews the lease, too.
        self._beat_every = min(BEAT, lease / 3)
        self._store = store
        self._clock = clock
        self._owed = owed
        self._jobs: dict[str, Schedule] = {}
        # What somebody asked for and is under way.
        self._requested: set[str] = set()
        # What is being computed, so that one that hangs keeps one thread busy and not a second one, too.
        self._at_work: dict[str, threading.Lock] = {}
        # The slot that is over by audience, be it that the store does not know: its run was ended since it had had all its time,
        # and the next one is tried, or there was nothing to see, or it had been taken by a clock that was ahead.
        self._over: dict[str, datetime] = {}
        # Whose slots come a second time, since the clock was set back.
        self._anew: set[str] = set()
        # What a run that was ended would have counted as skipped.
        self._uncounted: dict[str, int] = {}
        self._said_skipped: dict[str, datetime] = {}
        # The run that each audience is held by, and the later time that it was computed as of, so that each is said once.
        self._guarded: dict[str, int | None] = {}
        self._ahead: dict[str, datetime] = {}
        self._gate = Gate(AT_ONCE, long)
        # The heart must beat while every worker is busy; and both may wait for what a process has locked that has fallen silent.
        self._executors = {"default": ThreadPoolExecutor(THREADS), "heart": ThreadPoolExecutor(1), "silent": ThreadPoolExecutor(1)}
        # APScheduler's own default drops a run that is more than a second late.
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self._beaten = time.monotonic()
        self._is_at_work = False
        stores = {"default": Jobs(LOOK)}
        self._apscheduler = BackgroundScheduler(jobstores=stores, executors=self._executors, job_defaults=defaults, timezone=UTC)

    def start(self) -> None:
        """Begin, with everything that became due while nobody ran; or stand by where another scheduler leads."""
        self._seek()
        self.rebuild()
        self.every(self._beat_every, self._beat, next_run_time=system_clock())
        if not self._store.on_sqlite:
            self._apscheduler.add_job(end_silent, trigger_of(Every(self._beat_every)), args=[self._store], executor="silent")
        self.every(LOOK, self._look_if_leading)
        self.every(STAND_BY, self._stand_by, id=_STAND_BY)
        if self.lead.held is not None:
            self._wake_at(_STAND_BY, None)
        self._apscheduler.start()

    def stop(self) -> None:
        """Begin nothing more, and wait for what runs."""
        # APScheduler would wait with its locks held, and a job that adds, ends or moves another needs them.
        self._apscheduler.shutdown(wait=False)
        for executor in self._executors.values():
            executor.shutdown(wait=True)
        self.lead.leave()

    def silence(self) -> float:
        """How many seconds ago the heart last beat, be it that the store could not be told; none while it waits for the store.

        A store that does not answer is noticed by itself; a process that ends, and one that begins instead, could not help it.
        """
        return 0.0 if self._is_at_work else time.monotonic() - self._beaten

    def every(self, interval: timedelta, work: Callable[[], None], **how: Any) -> None:
        """Do something else now and then, such as looking whether a file has changed; `how` is APScheduler's.

        At the same instants as everything else, since an idle service costs what it costs to wake it.
        """
        self._apscheduler.add_job(self._heard(work), trigger_of(Every(interval)), executor="heart", **how)

    def _heard(self, work: Callable[[], None]) -> Callable[[], None]:
        """Let it be seen that the heart's thread is at work, of which there is one."""

        @wraps(work)
        def working() -> None:
            self._is_at_work = True
            try:
                work()
            finally:
                self._is_at_work = False

        return working

    def rebuild(self) -> None:
        """Make the jobs agree with the definitions in the store; a changed one is looked at once right away."""
        with self._store.reading() as connection:
            wanted = {one.key: one.definition.schedule for one in audiences.standing(connection) if one.definition.enabled}
        for key in self._jobs.keys() - wanted.keys():
            self._remove(key)
        for key, schedule in wanted.items():
            if self._jobs.get(key) != schedule:
                self._remove(key)
                self._add(key, schedule)

    def _run_if_leading(self, key: str) -> None:
        with self._gate.passed():
            if (lease := self.lead.held) is not None:
                self.run_due(key, fence_of(lease))

    def run_due(self, key: str, fence: Fence | None = None) -> None:
        """Sync one audience if a slot of its schedule is due that nobody took; with `fence`, only while that lets it write."""
        try:
            self._run_due(key, fence)
        except _AtWorkElsewhere:
            self._try_again(key, LOOK)
        except TookTooLong as error:
            log.error(  # noqa: TRY400 - a traceback would tell the user nothing
                "%s is not computed, and tried again at its next slot: %s", key, error
            )
        except SyncError as error:
            log.warning("%s is not computed, and tried again in %d s: %s", key, AGAIN.total_seconds(), error)
            self._try_again(key)

    def _run_due(self, key: str, fence: Fence | None) -> None:
        now = self._clock()
        due: list[_Due] = []
        try:
            with self._store.connected() as session:
                with session.glancing() as connection:
                    # What it refers to goes first where that is due as well, so that both are of one instant.
                    concerned = with_what_it_reads(audiences.standing(connection), key)
                due += [slot for one in concerned if (slot := self._due(one, now)) is not None]
                while due and self._passed_in_vain(session, due[0], now, fence):
                    del due[0]
        except TookTooLong as error:
            if not due:
                raise
            ended = due.pop(0)
            self._give_up(ended)
            self._say(ended.audience, note_ended(self._store, ended.audience, now, now, self._clock, fence, error))
        for one in due:
            if not self._run_slot(one, now, fence):
                self._run_due(key, fence)
                return

    def _due(self, audience: Stored, now: datetime) -> _Due | None:
        """Return the slot that an audience is due for, if any."""
        self._say_if_ahead(audience, now)
        slot = latest_slot(audience.definition.schedule, now)
        if slot is None or not self._is_due(audience, slot, now):
            return None
        return _Due(audience=audience, slot=slot, skipped=self._skipped(audience, slot))

    def _is_due(self, audience: Stored, slot: datetime, now: datetime) -> bool:
        if not audience.definition.enabled or audience.retired or self._over.get(audience.key) == slot:
            return False
        if audience.slot_at is None or audience.slot_at < slot:
            self._anew.discard(audience.key)
            return True
        if now < audience.slot_at:
            # A slot that is still to come has been taken: the clock was set back. An earlier one that has passed only means that
            # the schedule is another.
            self._anew.add(audience.key)
            return True
        # When the one that was taken last comes a second time, something may have come in since the one before it, too. A process
        # that has just begun knows it by the instant.
        is_behind = audience.computed_at is not None and now < audience.computed_at
        return slot == audience.slot_at and (is_behind or audience.key in self._anew)

    def _skipped(self, audience: Stored, slot: datetime) -> int:
        """Count the slots since the last one at which nobody looked, as far as one can know."""
        if audience.slot_at is None:
            return 0
        # Whoever led before may have passed some within this time without telling the store.
        noted, over = audience.slot_at + REMEMBERED - timedelta.resolution, self._over.get(audience.key)
        since = noted if over is None or over < audience.slot_at else over
        # What the schedule was before it was changed, or put in force again, is not known.
        passed = slots_between(audience.definition.schedule, max(since, audience.updated_at), slot)
        return passed + self._uncounted.get(audience.key, 0)

    def _say_if_ahead(self, audience: Stored, now: datetime) -> None:
        """Say once that an instant is far off: the clock was wrong, or somebody said `sync --at`."""
        until = audience.computed_at
        if until is None or until - now < FAR_OFF:
            return
        if self._ahead.get(audience.key) != until:
            said = "%s was computed as of %s, later than now: until then what comes in is told, and nothing changes by time"
            log.warning(said, audience.key, iso(until))
        self._ahead[audience.key] = until

    def _take(self, due: _Due, now: datetime) -> None:
        """Remember that somebody has looked at a slot, and say if others were skipped."""
        self._over[due.key] = due.slot
        self._uncounted.pop(due.key, None)
        said = self._said_skipped.get(due.key)
        if due.skipped and (said is None or not said <= now < said + SAID):
            self._said_skipped[due.key] = now
            passed, in_all = f"{due.skipped} slot{'s' * (due.skipped > 1)}", due.audience.slots_skipped + due.skipped
            text = "%s of %s passed without a run (%d in all): nobody ran, the clock went forward, or runs take too long"
            log.warning(text, passed, due.key, in_all, extra={"audience": due.key})

    def _give_up(self, due: _Due) -> None:
        """Leave a slot whose run was ended since it had had all its time; the next one is tried, and counts what was skipped."""
        self._over[due.key] = due.slot
        self._uncounted[due.key] = due.skipped

    def _passed_in_vain(self, session: Session, due: _Due, now: datetime, fence: Fence | None) -> bool:
        at_work = self._lock_of(due)
        if not at_work.acquire(timeout=OTHERS):
            raise _AtWorkElsewhere
        try:
            told = (session, due.audience, due.slot, now, fence)
            is_passed = passed_in_vain(*told, skipped=due.skipped, anew=due.is_anew)
            if is_passed:
                self._take(due, now)
            return is_passed
        finally:
            at_work.release()

    def _run_slot(self, due: _Due, now: datetime, fence: Fence | None) -> bool:
        """Compute for a slot; False where another job has been at the same audience until now, after which it may not be due."""
        at_work = self._lock_of(due)
        if not at_work.acquire(blocking=False):
            if not at_work.acquire(timeout=OTHERS):
                raise _AtWorkElsewhere
            at_work.release()
            return False
        try:
            self._compute_slot(due, now, fence)
        except TookTooLong:
            self._give_up(due)
            raise
        finally:
            at_work.release()
        return True

    def _lock_of(self, one: _Due | Requested) -> threading.Lock:
        return self._at_work.setdefault(one.key, threading.Lock())

    def _compute_slot(self, due: _Due, now: datetime, fence: Fence | None) -> None:
        told = (self._store, due.audience, due.slot, now, self._clock, fence)
        try:
            run = compute_slot(*told, skipped=due.skipped, anew=due.is_anew)
        except InputError as error:
            # Somebody was ahead with this slot, or it is retired since.
            log.debug("not computed: %s", error)
            return
        if run is not None and run.outcome is Outcome.FAILED:
            self._give_up(due)
        else:
            self._take(due, now)
        if run is not None:
            self._say(due.audience, run)
            self._owed()

    def _say(self, audience: Stored, run: Run) -> None:
        if run.outcome is Outcome.FAILED:
            said = "run %d of %s failed, and is tried again at the next slot: %s"
            log.error(said, run.id, run.audience, run.error, extra=_about(run))
            return
        is_news = run.outcome is Outcome.GUARDED and self._guarded.get(audience.key) != run.id
        self._guarded[audience.key] = run.id if run.outcome is Outcome.GUARDED else None
        level = logging.WARNING if is_news else logging.INFO if run.owed else logging.DEBUG
        said = "run %d of %s: %s, %d changed, %d owed"
        log.log(level, said, run.id, run.audience, run.outcome, run.changed, run.owed, extra=_about(run))

    def run_requested(self, wish: Requested, fence: Fence | None = None) -> None:
        """Sync what somebody asked for, whatever its schedule. Where the store cannot be used just now, it stays asked for."""
        try:
            self._compute_requested(wish, fence)
            with self._store.writing() as connection:
                requested.done(connection, wish)
        except SyncError as error:
            log.warning("%s was asked for and is not computed; it is tried again: %s", wish.key, error)
        finally:
            self._owed()

    def _compute_requested(self, wish: Requested, fence: Fence | None) -> None:
        with self._store.reading() as connection:
            stored = audiences.by_key(connection, wish.key)
        if stored.retired:
            return
        try:
            run = compute(self._store, stored, None, self._clock, fence=fence)
        except InputError as error:
            # To try again would not help.
            log.warning("%s was asked for and cannot be computed: %s", wish.key, error)
        except TookTooLong as error:
            log.error(  # noqa: TRY400 - as above
                "%s was asked for and is not computed: %s", wish.key, error
            )
        else:
            level = logging.ERROR if run.outcome is Outcome.FAILED else logging.INFO
            said = "run %d of %s, as was asked: %s, %d changed"
            log.log(level, said, run.id, wish.key, run.error or run.outcome, run.changed, extra=_about(run))

    def _look_if_leading(self) -> None:
        if self.lead.held is not None:
            self._look()

    def _look(self) -> None:
        lease = self.lead.held
        try:
            with self._store.glancing() as connection:
                found = waiting(connection)
                wishes = requested.waiting(connection) if found.requested and lease is not None else ()
        except SyncError:
            # The heart says so, too.
            return
        if found.owed:
            self._owed()
        if lease is not None:
            self._run_all_requested(wishes, lease)

    def _run_all_requested(self, wishes: Sequence[Requested], lease: Lease) -> None:
        for wish in wishes:
            if wish.key not in self._requested:
                self._requested.add(wish.key)
                id, args = f"{wish.key} requested", [wish, fence_of(lease)]
                self._apscheduler.add_job(self._run_requested, args=args, id=id, replace_existing=True)

    def _run_requested(self, wish: Requested, fence: Fence) -> None:
        try:
            with self._gate.passed():
                self._run_requested_if_free(wish, fence)
        finally:
            self._requested.discard(wish.key)

    def _run_requested_if_free(self, wish: Requested, fence: Fence) -> None:
        at_work = self._lock_of(wish)
        if not at_work.acquire(blocking=False):
            # Another job is at it; it stays asked for.
            return
        try:
            self.run_requested(wish, fence)
        finally:
            at_work.release()

    def _try_again(self, key: str, later: timedelta = AGAIN) -> None:
        # The slot was not taken; waiting for the next one could mean a day.
        at = system_clock() + later
        self._apscheduler.add_job(self._run_if_leading, "date", run_date=at, args=[key], id=f"{key} again", replace_existing=True)

    def _stand_by(self) -> None:
        if self._seek():
            # Whoever led since has looked at others, and counted what was skipped.
            self._over.clear()
            self._uncounted.clear()
            self._wake_at(_STAND_BY, None)
            self._beat()
            # What became due since the one before stopped or died.
            for key in self._jobs:
                self._wake_at(key, system_clock())
        self._look()

    def _wake_at(self, id: str, at: datetime | None) -> None:
        """Run a job next at an instant, or not at all for now."""
        # It is not there where all has been stopped meanwhile, or its definition has just gone.
        with suppress(JobLookupError):
            self._apscheduler.modify_job(id, next_run_time=at)

    def _seek(self) -> bool:
        try:
            return self.lead.seek()
        except SyncError as error:
            log.warning("cannot find out whether another scheduler leads: %s", error)
            return False

    def _beat(self) -> None:
        try:
            self.lead.renew(lambda connection: leases.beat(connection, HEARTBEAT, self._clock(), ""))
        except SyncError as error:
            log.warning("no heartbeat: %s", error)
        if self.lead.held is None:
            with suppress(JobLookupError):
                self._apscheduler.resume_job(_STAND_BY)
        self._beaten = time.monotonic()

    def _add(self, key: str, schedule: Schedule) -> None:
        trigger = trigger_of(schedule)
        if trigger is not None:
            self._jobs[key] = schedule
            # At once, since a slot may have been missed; whether one was is decided by `run_due`.
            self._apscheduler.add_job(self._run_if_leading, trigger, args=[key], id=key, next_run_time=system_clock())

    def _remove(self, key: str) -> None:
        if self._jobs.pop(key, None) is not None:
            with suppress(JobLookupError):
                self._apscheduler.remove_job(key)


def _about(run: Run) -> dict[str, object]:
    """Return the fields of a line about a run."""
    return {"run": run.id, "audience": run.audience, "outcome": run.outcome.value}
