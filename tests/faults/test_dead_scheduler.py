"""The scheduler's thread dies in a real service: the process ends by itself, and another can be started in its place (row 6)."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

from sync.standin import StandIn
from tests.crash.inside import LOSE_THE_SCHEDULER
from tests.crash.kills import wait_until
from tests.crash.life import SOON, Folder
from tests.faults.one_user import is_on, is_told
from tests.faults.workers import tell

SILENCE = timedelta(seconds=2.5)
"""After which it is taken for dead: a tenth of what it is otherwise."""
WITHIN = 10.0
"""Seconds until the process has ended, of which a busy machine takes most."""


def test_a_service_whose_scheduler_has_died_ends_by_itself_and_the_next_one_does_what_it_left(
    folder: Folder, standin: StandIn
) -> None:
    service = folder.serve_until_silent(replace(SOON, silence=SILENCE))
    is_on(service.url, "ann")
    wait_until(lambda: is_told(standin, "ann"), "ann is not told")
    tell(service, LOSE_THE_SCHEDULER)
    wait_until(lambda: "the scheduler's thread has died" in folder.log(), "it does not die")
    died = time.monotonic()
    is_on(service.url, "bob")
    service.process.join(30)
    ended = time.monotonic()

    assert (service.process.exitcode, "the scheduler has been silent for" in folder.log()) == (0, True)
    assert ended - died < WITHIN
    following = folder.serve()
    wait_until(lambda: is_told(standin, "bob"), "bob is not told")
    assert following.stop() == 0
    assert "Traceback" not in folder.log()
