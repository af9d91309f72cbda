"""What the main thread of a process that stays up does: nothing, until SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Final

LISTEN_AGAIN: Final = 1.0
"""Seconds after which it looks whether a signal has come in that did not wake it."""


def until_told_to_stop(ready: Callable[[], None], stop: threading.Event | None = None) -> None:
    """Call `ready`, and return when a signal says to stop, by which `stop` is set. What signals did before, they do again then."""
    told = stop or threading.Event()
    kept = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ready()
        # Only this thread can run what a signal calls for; one that the system gave to another thread, or that came a moment before
        # the wait, would not wake it.
        while not told.wait(LISTEN_AGAIN):
            pass
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
