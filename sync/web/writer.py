"""Group commit: many requests share one transaction.

One thread takes all that is waiting and has it made durable in one go; whoever comes meanwhile makes up the next group. So the
slower the disk, the larger the group, and the number of requests a second does not hang on the time of one commit.

    put ──> waiting ──> group ──> accept ──ok──────────> each put returns
                          ^         └─ Unreachable ────> each put raises it
                          └─ halves ┘ any other error, until the one request that causes it stands alone
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sync.call import Incoming
from sync.errors import SyncError, Unreachable

_log: Final = logging.getLogger(__name__)


class Behind(SyncError):
    """Too many calls are waiting to be stored; come again shortly."""


class Stopping(Unreachable):
    """The program is being stopped; nothing more is taken."""


_STOPPING: Final = "the program is being stopped"


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    incoming: Incoming
    size: int
    answer: asyncio.Future[None]


class Writer:
    """Makes what requests bring durable, in the order of arrival. `put` belongs to an event loop, the rest to any thread."""

    def __init__(self, accept: Callable[[Sequence[Incoming]], None], *, waiting_calls: int, calls_at_once: int) -> None:
        self._accept = accept
        self._most_waiting = waiting_calls
        self._most_at_once = calls_at_once
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._calls = 0
        self._stopping = False
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether there is a thread that writes."""
        return self._thread.is_alive()

    @property
    def is_behind(self) -> bool:
        """Whether `put` would be refused now."""
        return self._calls >= self._most_waiting

    async def put(self, incoming: Incoming) -> None:
        """Return when it is durable. Raises Behind and Unreachable, and whatever else `accept` raises for it alone."""
        waiting = _Waiting(incoming, len(incoming.calls) + len(incoming.rejected), asyncio.get_running_loop().create_future())
        with self._changed:
            if self._stopping:
                raise Stopping(_STOPPING)
            if self.is_behind:
                raise Behind("too many calls are waiting to be stored")
            self._calls += waiting.size
            self._waiting.append(waiting)
            self._changed.notify()
        await waiting.answer

    def stop(self, seconds: float) -> bool:
        """Take nothing more, write what is waiting, and return whether all of it was written in that time.

        What was not is told so: its sender gets 503 and sends it again.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self.alive:
            self._thread.join(seconds)
        with self._changed:
            left = [*self._waiting]
            self._waiting.clear()
        self._settle(left, Stopping(_STOPPING))
        return not left and not self.alive

    def _run(self) -> None:
        while group := self._take():
            self._write(group)

    def _take(self) -> list[_Waiting]:
        """Wait for something to write; empty once there will be nothing more."""
        group: list[_Waiting] = []
        size = 0
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            while self._waiting and (not group or size + self._waiting[0].size <= self._most_at_once):
                size += self._waiting[0].size
                group.append(self._waiting.popleft())
        return group

    def _write(self, group: list[_Waiting]) -> None:
        try:
            self._accept([waiting.incoming for waiting in group])
        except Exception as error:  # noqa: BLE001 - it is handed to whoever waits for this
            self._note(error)
            if len(group) > 1 and not isinstance(error, Unreachable):
                middle = len(group) // 2
                self._write(group[:middle])
                self._write(group[middle:])
            else:
                self._settle(group, error)
        else:
            self._note(None)
            self._settle(group, None)

    def _note(self, error: Exception | None) -> None:
        """Say when calls begin to be refused, and when they no longer are; in between senders come again and again."""
        if isinstance(error, Unreachable) and not self._is_away:
            _log.warning("calls are answered 503, since they cannot be stored: %s", error)
        elif error is None and self._is_away:
            _log.warning("calls are stored again")
        self._is_away = isinstance(error, Unreachable) or (self._is_away and error is not None)

    def _settle(self, group: list[_Waiting], error: Exception | None) -> None:
        if not group:
            return
        with self._changed:
            self._calls -= sum(waiting.size for waiting in group)
        # The loop may be closed by now, and with it every connection that could be answered.
        with suppress(RuntimeError):
            group[0].answer.get_loop().call_soon_threadsafe(_answer, group, error)


def _answer(group: list[_Waiting], error: Exception | None) -> None:
    for waiting in group:
        if waiting.answer.done():
            continue
        if error is None:
            waiting.answer.set_result(None)
        else:
            waiting.answer.set_exception(error)
