"""Which scheduler leads: one of all that work on a store, under a lease. The others stand by and take over.

Knows the lease and by what clock it is trusted; not what a scheduler does with it. A leader trusts it by its monotonic clock,
counted from before it asked, so that one which was stopped for a while knows it when it goes on; and what it began before is held
to the lease's epoch inside of the transaction that writes (`fence_of`).
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from sync.errors import SyncError
from sync.store import Store, leases
from sync.store.leases import Lease

log = logging.getLogger(__name__)

LEADING: Final = "scheduler"
"""The lease's name."""

LEAD: Final = timedelta(seconds=15)
"""How long a leader that died keeps the others waiting at most."""


class NotLeading(SyncError):
    """Another scheduler has led since."""


class Lead:
    """One process's part in it. Only one thread asks for it and renews it; any may look whether it is held."""

    def __init__(self, store: Store, clock: Callable[[], datetime], duration: timedelta = LEAD, owner: str | None = None) -> None:
        self._store = store
        self._clock = clock
        self._duration = duration
        self._owner = owner or uuid.uuid4().hex
        self._lease: Lease | None = None
        self._renewed = 0.0

    @property
    def held(self) -> Lease | None:
        """What this process leads by; None where another one does, or may."""
        lease = self._lease
        return lease if time.monotonic() - self._renewed < self._duration.total_seconds() else None

    def renew(self, beside: Callable[[Connection], None]) -> None:
        """Lead for longer, if this process does, and write something beside it. Raises Unreachable."""
        started, lease = time.monotonic(), self._lease
        if lease is None:
            return
        with self._store.writing() as connection:
            still = leases.renew(connection, [lease], self._clock(), self._duration)
            if still:
                beside(connection)
        if still:
            self._renewed = started
        else:
            self._lease = None
            log.warning("another scheduler leads now, and this one stands by")

    def seek(self) -> bool:
        """Begin to lead where nobody does; return whether that is so now and was not before. Raises Unreachable."""
        if self.held is not None:
            return False
        started, now = time.monotonic(), self._clock()
        with self._store.reading() as connection:
            if leases.holder(connection, LEADING, now) is not None:
                return False
        with self._store.writing() as connection:
            self._lease = leases.take(connection, LEADING, self._owner, now, self._duration)
        self._renewed = started
        return self._lease is not None

    def leave(self) -> None:
        """Let another lead at once."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            with self._store.writing() as connection:
                leases.give_back(connection, [lease])
        except SyncError as error:
            log.warning("cannot say that this scheduler leads no longer, which others will notice: %s", error)


def fence_of(lease: Lease) -> Callable[[Connection], None]:
    """Return what a transaction that is the leader's alone begins with. It raises NotLeading."""

    def require(connection: Connection) -> None:
        if not leases.is_current(connection, lease):
            raise NotLeading("another scheduler leads by now; nothing was done")

    return require
