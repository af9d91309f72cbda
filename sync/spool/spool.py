"""Take calls in for the store while it is away, and give them to it when it is back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sync.call import Incoming
from sync.errors import Unreachable
from sync.spool.lying import Lying, lying, set_aside_in
from sync.spool.record import Damaged, calls_in, first_instant, line_of, read_line
from sync.spool.segments import SEGMENT_BYTES, Segments, lines_of

log = logging.getLogger(__name__)

AGAIN: Final = 0.5
"""Seconds until a store that was away is tried again."""
ASKED_AGAIN: Final = 1.0
"""Seconds for which it is believed that something can be written, or not: whoever asks may ask without a rest."""
HAND_OVER_BYTES: Final = 1024 * 1024
"""So little is put into the store while new calls wait; else, with calls coming all the time, the spool would never be empty."""
_CALLS: Final = 1_000
"""Put into the store in one transaction, and of not much more than a segment's bytes; a single request may exceed either."""

Accept = Callable[[Sequence[Incoming]], None]
"""Makes calls durable in the store, all or nothing; raises Unreachable where it is worth trying again."""


class Spool:
    """One process's spool. `take` belongs to one thread; from `before` until it is closed it drains in a thread of its own."""

    def __init__(self, folder: Path, most_bytes: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raises SettingsError where the folder cannot be used, or is another process's."""
        self._monotonic = monotonic
        self._could_take, self._try_again = True, 0.0
        """Whether a call could be written when that was tried last, and when it is tried again."""
        self._segments = Segments.at(folder, most_bytes)
        self._set_aside = set_aside_in(folder)
        self._lying = lying(self._segments.known, self._set_aside)
        self._changes = threading.Lock()
        """Held to look whether anything lies here, and to change what does."""
        self._done = 0
        """How far the first segment is in the store, in bytes."""
        self._filled, self._stop = threading.Event(), threading.Event()
        self._drainer: threading.Thread | None = None

    def before(self, accept: Accept) -> Accept:
        """Begin to drain into the store, and return what takes calls in from now on.

        That raises Unreachable where neither the store nor the spool can take them, and whatever else `accept` raises.
        """

        def take(batch: Sequence[Incoming]) -> None:
            if self._is_empty() and self._stored(batch, accept):
                return
            self._keep(batch)

        self._drainer = threading.Thread(target=self._drain, args=(accept,), name="spool")
        self._filled.set()
        self._drainer.start()
        return take

    @property
    def lying(self) -> Lying:
        """What lies here now."""
        return self._lying

    def can_take(self) -> bool:
        """Whether a call could be written here; found out by writing something else, however often it is asked. For any thread."""
        if self._monotonic() >= self._try_again:
            self._try_again = self._monotonic() + ASKED_AGAIN
            self._could_take = self._segments.can_append(self._lying.bytes)
        return self._could_take

    def close(self) -> None:
        """Stop draining; what lies here stays, and the next process finds it."""
        self._stop.set()
        self._filled.set()
        if self._drainer is not None:
            self._drainer.join()
        self._segments.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ── the way in ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_empty(self) -> bool:
        with self._changes:
            return not self._segments.known

    def _stored(self, batch: Sequence[Incoming], accept: Accept) -> bool:
        try:
            accept(batch)
        except Unreachable as error:
            log.warning("calls go to the spool %s until the store takes them: %s", self._segments.folder, error)
            return False
        return True

    def _keep(self, batch: Sequence[Incoming]) -> None:
        lines = [line_of(incoming) for incoming in batch]
        calls = sum(len(incoming.calls) + len(incoming.rejected) for incoming in batch)
        with self._changes:
            try:
                self._segments.append(lines, calls, first_instant(batch[0]))
            except OSError as error:
                log.error("the spool %s cannot be written: %s", self._segments.folder, error.strerror)  # noqa: TRY400 - no fault of ours
                raise Unreachable(f"neither the store nor the spool can be written: {error.strerror}") from error
            finally:
                self._sum_up()
        self._filled.set()

    def _sum_up(self) -> None:
        self._lying = lying(self._segments.known, self._set_aside)

    # ── the way out ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _drain(self, accept: Accept) -> None:
        while not self._stop.is_set():
            self._filled.wait()
            try:
                self._drain_all(accept)
            except Unreachable:
                # Said when it began; how long it lasts is among the metrics.
                self._stop.wait(AGAIN)
            except Exception as error:  # noqa: BLE001 - it is said, and tried again
                # Giving up would let the spool grow without a word. The message may hold somebody's data.
                log.error("the spool %s cannot be drained: %s", self._segments.folder, type(error).__name__)  # noqa: TRY400
                self._stop.wait(AGAIN)

    def _drain_all(self, accept: Accept) -> None:
        """Put one segment after another into the store; the last ones while new calls wait, once the store is known to be back."""
        while not self._is_drained() and self._put_first(accept):
            with self._changes:
                self._remove_first()
                if self._hands_over() and self._put_first(accept):
                    self._remove_first()

    def _is_drained(self) -> bool:
        with self._changes:
            if not self._segments.known:
                self._filled.clear()
            elif len(self._segments.known) == 1:
                self._segments.seal()
            return not self._segments.known

    def _hands_over(self) -> bool:
        """Whether what is left is so little that new calls may wait for it."""
        known = self._segments.known
        if len(known) != 1 or known[0].size > HAND_OVER_BYTES:
            return False
        self._segments.seal()
        return True

    def _remove_first(self) -> None:
        self._segments.remove_first()
        self._done = 0
        self._sum_up()
        if not self._segments.known:
            log.info("the store has taken all that lay in the spool")

    def _put_first(self, accept: Accept) -> bool:
        """Put the first segment into the store, from where it was left; return whether all of it is there."""
        for lines, end in _groups(self._segments.known[0].path, self._done):
            whole = self._whole(lines)
            readable, damaged = _read(whole)
            refused = [line_of(incoming) for incoming in _refused(readable, accept)]
            self._put_aside([*damaged, *(line.removesuffix(b"\n") for line in refused)])
            self._done = end
            if self._stop.is_set():
                return False
        return True

    def _whole(self, lines: Sequence[bytes]) -> list[bytes]:
        """Leave out what a dying process did not finish writing: its sender was never told that it was taken."""
        torn = [line for line in lines if not line.endswith(b"\n")]
        if torn:
            log.warning("the last %d bytes of a spooled file were never finished, nor answered with success", len(torn[0]))
        return [line.removesuffix(b"\n") for line in lines if line.endswith(b"\n")]

    def _put_aside(self, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        self._segments.set_aside(lines)
        self._set_aside += len(lines)
        log.error(
            "%d spooled requests are damaged or cannot be stored; they are kept in %s/set-aside", len(lines), self._segments.folder
        )


def _groups(path: Path, start: int) -> Iterator[tuple[list[bytes], int]]:
    """Yield the lines of a segment in portions of about as much as goes into a transaction, each with the offset behind it."""
    group: list[bytes] = []
    calls = end = 0
    for line, end in lines_of(path, start):
        group.append(line)
        calls += calls_in(line)
        if calls >= _CALLS or end - start >= SEGMENT_BYTES:
            yield group, end
            group, calls, start = [], 0, end
    if group:
        yield group, end


def _read(lines: Sequence[bytes]) -> tuple[list[Incoming], list[bytes]]:
    """Return what can be read, and the lines that are damaged."""
    readable, damaged = [], []
    for line in lines:
        try:
            readable.append(read_line(line))
        except Damaged:
            damaged.append(line)
    return readable, damaged


def _refused(batch: Sequence[Incoming], accept: Accept) -> list[Incoming]:
    """Give a batch to the store; return what it cannot take for another reason than being away, found by halving."""
    if not batch:
        return []
    try:
        accept(batch)
    except Unreachable:
        raise
    except Exception as error:  # noqa: BLE001 - one that nobody foresaw must not hold up the others
        if len(batch) == 1:
            # The message may hold somebody's data.
            log.error("the store cannot take a spooled request: %s", type(error).__name__)  # noqa: TRY400
            return [*batch]
        middle = len(batch) // 2
        return _refused(batch[:middle], accept) + _refused(batch[middle:], accept)
    return []
