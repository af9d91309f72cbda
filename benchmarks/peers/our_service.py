"""The service as `personas-sync serve --only worker` runs it, but for its clock, which a benchmark sets.

    python -m benchmarks.peers.our_service     with the settings in the environment

reads lines on standard input, `PACE MICROSECONDS`: sets the clock to an instant, from which it goes on at a pace, in microseconds a
second, and prints when that was by the monotonic clock. At a pace of 1,000 no slot of a schedule becomes due, and yet the service's
watchdog sees its heart beat, and what it writes down says to the millisecond when it did so.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

from sync.app import opened
from sync.cli.logs import log_to_stderr
from sync.serve import Part, serve
from sync.settings import from_folder
from sync.store.types import from_micros


class SetClock:
    """A clock that can be set, and told how fast to go."""

    def __init__(self) -> None:
        self._set = (0, 1, time.monotonic())

    def set(self, micros: int, pace: int) -> float:
        """Show an instant, and go on from there by so many microseconds a second. Returns when that was."""
        at = time.monotonic()
        self._set = (micros, pace, at)
        return at

    def __call__(self) -> datetime:
        micros, pace, at = self._set
        return from_micros(micros + int((time.monotonic() - at) * pace))


def _follow(clock: SetClock, begun: threading.Event) -> None:
    for line in sys.stdin:
        pace, micros = map(int, line.split())
        print(clock.set(micros, pace), flush=True)
        begun.set()


def main() -> None:
    clock, begun = SetClock(), threading.Event()
    threading.Thread(target=_follow, args=(clock, begun), daemon=True).start()
    begun.wait()
    log_to_stderr(logging.INFO)
    with opened(from_folder(os.environ, Path.cwd()), clock) as app:
        serve(app, Part.WORKER, lambda line: print(line, file=sys.stderr))


if __name__ == "__main__":
    main()
