"""The machine's own clock is set back while the program serves: it goes on, and what comes in is told within seconds (row 11)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.standin import StandIn
from tests.crash.kills import wait_until
from tests.crash.life import Folder
from tests.faults.machine_clock import needs_compiler, served
from tests.faults.one_user import is_on, is_told

pytestmark = needs_compiler

TICK = 10.0
"""Seconds within which schedules have to go on."""


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=1)], ids=["an hour", "a day"])
def test_a_service_goes_on_where_the_clock_of_its_machine_is_set_back_and_tells_what_comes_in(
    folder: Folder, standin: StandIn, back: timedelta
) -> None:
    with served(folder) as service:
        is_on(service.url, "ann")
        wait_until(lambda: is_told(standin, "ann"), "ann is not told")

        service.set_back(back)
        for user in ("bob", "cid"):
            is_on(service.url, user)
            wait_until(lambda user=user: is_told(standin, user), f"{user} is not told", TICK)

    assert folder.log().count("the clock was set back by") == 1
    assert all(is_told(standin, user) for user in ("ann", "bob", "cid"))
