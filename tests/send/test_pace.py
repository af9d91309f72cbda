"""SYNC_MOESIF_RATE: no more requests a second than the user allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from sync.delivery import Accepted, Lane, Outcome
from sync.json_value import Json
from sync.send.pace import Paced


class Noting:
    """A destination that notes when it was asked."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def post(self, lane: Lane, documents: Sequence[dict[str, Json]], _may_send: object) -> Outcome:
        self.at.append(time.monotonic())
        return Accepted()


def test_requests_of_all_threads_together_keep_the_pace() -> None:
    destination = Noting()
    paced = Paced(destination, per_second=100)
    threads = [threading.Thread(target=paced.post, args=(lane, [{}], lambda: True)) for lane in list(Lane) * 7]
    began = time.monotonic()

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(destination.at) == 21
    assert max(destination.at) - began >= 0.19
