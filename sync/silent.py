"""Keeps nobody waiting for a process that was stopped in the middle of what it told the store; a job of the scheduler's.

Also of one that stands by, since the one that leads may be who was stopped.
"""

from __future__ import annotations

import logging

from sync.errors import SyncError
from sync.store import Store, silent

log = logging.getLogger(__name__)


def end_silent(store: Store) -> None:
    """End the sessions of processes of this program that have fallen silent (`sync.store.silent`), and say how many those were."""
    try:
        with store.writing() as connection:
            ended = silent.end_silent(connection)
    except SyncError as error:
        log.warning("cannot find out whether another process has fallen silent: %s", error)
        return
    if ended:
        log.warning("%d sessions of processes that had fallen silent in the middle of a transaction were ended", ended)
