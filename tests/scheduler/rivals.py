"""Processes that all look at every slot of a schedule at the same moment, and send, as if each of them led."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from multiprocessing.synchronize import Barrier, Event
from typing import Final

from sync.app import opened, system_clock
from sync.scheduler import Scheduler
from sync.settings import read
from tests.scheduler.running import Hands

_fork = multiprocessing.get_context("forkserver")

LATE: Final = (timedelta(seconds=10), timedelta(seconds=40))
"""How long after a slot it is by the clock of each, so that one can see whose run it was."""
PATIENCE: Final = 30.0
"""Seconds that one waits for the others at most."""


@contextmanager
def racing(environ: Mapping[str, str], key: str, slots: Sequence[datetime]) -> Iterator[Barrier]:
    """Let one process for each of LATE race for slots; whoever asks meets them before each slot and after it.

    They go on sending until the end, when they have to end well.
    """
    meeting, over = _fork.Barrier(len(LATE) + 1), _fork.Event()
    rivals = [_fork.Process(target=_race, args=(environ, key, slots, late, meeting, over), daemon=True) for late in LATE]
    for one in rivals:
        one.start()
    try:
        yield meeting
    finally:
        over.set()
        for one in rivals:
            one.join(PATIENCE)
    assert [one.exitcode for one in rivals] == [0] * len(rivals)


def _race(environ: Mapping[str, str], key: str, slots: Sequence[datetime], late: timedelta, meeting: Barrier, over: Event) -> None:
    hands, wake, stop = Hands(), threading.Event(), threading.Event()
    # Whoever sends trusts its right for as long as it lasts by the time that passes.
    with opened(read(environ), hands) as app, replace(app, clock=system_clock).sender() as sender:
        sending = threading.Thread(target=sender.run, args=(stop, wake))
        sending.start()
        running = Scheduler(app.store, hands, wake.set, owner=app.owner)
        try:
            for slot in slots:
                hands.now = slot + late
                meeting.wait(PATIENCE)
                running.run_due(key)
                meeting.wait(PATIENCE)
            # As a scheduler does that was started: who found something to tell may not be who sends.
            while not over.wait(0.1):
                wake.set()
        finally:
            stop.set()
            wake.set()
            sending.join()
