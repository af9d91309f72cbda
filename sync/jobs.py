"""The scheduler's jobs in memory, which are all woken where the machine's clock is set back.

Knows APScheduler. Does not know what the jobs do.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from apscheduler.job import Job
from apscheduler.jobstores.memory import MemoryJobStore

log = logging.getLogger(__name__)


class Jobs(MemoryJobStore):  # type: ignore[misc] # APScheduler carries no types.
    """Holds the jobs. If the clock is set back, all would wait until it has caught up, the heart's as well: each is woken then."""

    def __init__(self, asked_within: timedelta) -> None:
        """`asked_within` is how often it is asked at least, by a clock that does not go back."""
        super().__init__()
        self._asked_within = asked_within
        self._seen: datetime | None = None

    def get_due_jobs(self, now: datetime) -> list[Job]:
        seen, self._seen = self._seen, now
        if seen is not None and now < seen - self._asked_within:
            back = (seen - now).total_seconds()
            log.warning("the clock was set back by %d seconds: everything is looked at now, and schedules go on by it", back)
            for job in self.get_all_jobs():
                if job.next_run_time is not None:
                    job.modify(next_run_time=now)
        found: list[Job] = super().get_due_jobs(now)
        return found
