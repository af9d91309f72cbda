"""While a name server does not answer whoever sends, the door of the same process takes calls at its pace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sync.moesif import Collector
from sync.send import Sender
from sync.standin import StandIn
from tests.crash.kills import wait_until
from tests.make import NOW
from tests.moesif.test_lookups import NAME, Resolver
from tests.send.conftest import KEY, MovedClock, road_to
from tests.web.test_floods import timed

CALLS = 300


@contextmanager
def sending(sender: Sender) -> Iterator[None]:
    """As `serve` does it, in a thread beside the door."""
    stop, wake = threading.Event(), threading.Event()
    thread = threading.Thread(target=sender.run, args=(stop, wake))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        wake.set()
        thread.join()


def test_calls_are_taken_at_their_pace_while_moesifs_name_is_not_answered_and_told_once_it_is(operated: Any) -> None:
    resolver, clock = Resolver("127.0.0.1", seconds=30), MovedClock(NOW)
    with StandIn.start(application_id=KEY) as standin:
        url = standin.url.replace("127.0.0.1", NAME)
        with Collector(KEY, url, clock=clock, allow_plain_http=True, look_up=resolver) as collector:
            timed(operated, 1)
            with sending(road_to(collector, operated.store, clock).sender):
                try:
                    wait_until(lambda: resolver.asked, "no name was looked up")
                    seconds = timed(operated, CALLS)
                    assert standin.requests["actions"].requests == 0
                finally:
                    resolver.go_on.set()
                wait_until(lambda: standin.requests["actions"].rows > CALLS, "not all was told")

    assert seconds[-CALLS // 100 - 1] < 0.25
