"""How much of what is owed is in memory where single calls are large."""

from __future__ import annotations

import threading
import time

from sync.delivery import Accepted, Unknown
from sync.store import Store, queue
from tests.crash.kills import wait_until
from tests.make import identify, keep


def counts(store: Store) -> dict[tuple[str, str], int]:
    with store.reading() as connection:
        return queue.states(connection)


def test_of_large_calls_no_more_are_in_memory_than_make_some_requests(store: Store, fake_road, told) -> None:
    keep(store, *(identify(f"u{number:04}", {"about": f"{number:04}" * 7_000}) for number in range(1_500)), forward=True)
    go_on, stop = threading.Event(), threading.Event()
    told.answer = lambda _lane, _documents: Accepted() if go_on.wait(20) else Unknown(reason="never")
    sending = threading.Thread(target=fake_road.sender.run, args=(stop, threading.Event()))
    sending.start()
    wait_until(lambda: len(told.posts) == 4, "nothing is on the way")
    # What can be claimed beside that has been.
    time.sleep(1)
    under_way = counts(store)["users", "sending"]
    go_on.set()
    wait_until(lambda: not counts(store), "not all has been sent")
    stop.set()
    sending.join()

    # The first claim knows nothing of their size; each request after it is of a megabyte, of which seven wait or are on their way.
    assert under_way <= 1_000 + 7 * 36
    assert len(told.users) == 1_500
