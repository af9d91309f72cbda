"""What the main thread of a process that stays up does: nothing, until SIGTERM or SIGINT."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

LISTEN_AGAIN: Final = 1.0
"""Seconds after which it looks whether it is to stop for another reason, or by a signal that did not wake it."""


def until_told_to_stop(ready: Callable[[], None], stop: threading.Event | None = None) -> None:
    """Call `ready`, and return when a signal says to stop, by which `stop` is set. What signals did before, they do again then."""
    told = stop or threading.Event()
    # What a signal calls for is run by this thread between any two of its steps, also while it holds the lock of an event for which
    # it waits; to set that event then would be to wait for ever. To put something into such a queue takes no lock.
    heard: queue.SimpleQueue[int] = queue.SimpleQueue()
    kept = {number: signal.signal(number, lambda number, _: heard.put(number)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ready()
        # Only this thread can run what a signal calls for; one that the system gave to another thread would not wake it.
        while not told.is_set():
            with suppress(queue.Empty):
                heard.get(timeout=LISTEN_AGAIN)
                told.set()
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
