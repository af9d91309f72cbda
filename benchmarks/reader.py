"""What taking calls in suffers while somebody reads the store for long, and whether SQLite's write-ahead log stays bounded.

The real server, `personas-sync serve` with a spool, which takes calls in, computes two audiences and sends to a sink
(`benchmarks.sink`), is fed in batches at a steady rate over loopback. First alone; then while a long audience query is under
way in another process (`benchmarks.asking`): one transaction, in which the same query is asked again and again, which keeps a
processor busy and the log from beginning anew; with --idle nothing is asked after the first time. At last until all that
lay in the spool is in the store. How long a batch took counts from when it was due.

At the end the store is held to what was answered 200: everything, and everything once. On PostgreSQL there is no such log, and
nothing goes to the spool; it is the same otherwise.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import make_url, select

from benchmarks import sink
from benchmarks.asking import answers_of, asking
from benchmarks.databases import opened
from benchmarks.flags import at_least_one
from benchmarks.report import Report, require, require_equal
from benchmarks.serving import serving_all
from benchmarks.steady import Pace, Sent, sending
from sync.store import Store, wal
from sync.store.schema import calls

WARM: Final = "warming up"
ALONE: Final = "alone"
COMING: Final = "while the reader starts"
READING: Final = "while somebody reads"
DRAINING: Final = "while the spool is drained"
OVER: Final = "after the end"

_DEFINITIONS: Final = """\
defaults: {every: 5 seconds, guard: off}
audiences:
  - name: Ordered Last 30 Days
    query: event('Order Completed').within(30 days).count() >= 1
  - name: Spent 80 Last 60 Days
    query: event('Order Completed').within(60 days).sum(property('revenue')) >= 80
"""
_MEGABYTE: Final = 2**20
_LOOK_AGAIN: Final = 0.05
"""Seconds between two looks at the log and the spool."""
_DRAINED_WITHIN: Final = 900.0
"""Seconds after which a spool that has not been drained is taken for one that never will be."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=at_least_one, default=300, metavar="N", help="for which somebody reads")
    parser.add_argument("--alone", type=int, default=60, metavar="N", help="seconds before that")
    parser.add_argument("--warm", type=int, default=5, metavar="N", help="seconds before those, which are not measured")
    parser.add_argument("--rate", type=at_least_one, default=1000, metavar="N", help="calls a second")
    parser.add_argument("--batch", type=at_least_one, default=10, metavar="N", help="calls in a batch")
    parser.add_argument("--connections", type=at_least_one, default=8, metavar="N")
    parser.add_argument("--idle", action="store_true", help="hold the transaction open, and ask nothing more")


def run(arguments: argparse.Namespace, urls: Iterator[str]) -> Report:
    """Send all the time, let somebody read meanwhile, then check."""
    report = Report(
        sizes={name: getattr(arguments, name) for name in ("seconds", "rate", "batch", "connections")},
        subject="idle" if arguments.idle else "asking",
    )
    url = next(urls)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="personas-sync-", dir=arguments.folder)))
        (folder / "personas.yaml").write_text(_DEFINITIONS, encoding="utf-8")
        destination = stack.enter_context(sink.running(0.01))
        server = stack.enter_context(serving_all(url, destination.url, folder / "personas.yaml", folder / "spool"))
        pace = Pace(port=server.port, rate=arguments.rate, batch=arguments.batch, connections=arguments.connections)
        client = stack.enter_context(sending(pace))
        seen = stack.enter_context(_watching(url, folder / "spool"))
        time.sleep(arguments.warm)
        seen.begin(ALONE)
        time.sleep(arguments.alone)
        seen.begin(COMING)
        with asking(url, arguments.seconds, idle=arguments.idle) as reader:
            seen.begin(READING)
            report.facts["answers that the reader got"] = answers_of(reader)
        seen.begin(DRAINING)
        seen.wait_until_drained()
        seen.end()
        sent = client.stop()
        # What was on its way then may have come behind something in the spool.
        seen.wait_until_drained()
        store = stack.enter_context(opened(url))
        _tell(report, seen, sent, store)
    return report


@dataclass(kw_only=True)
class _Seen:
    """When each phase began, and how large log and spool were in it."""

    log: str | None
    """The file whose log it is; None where there is no such log."""
    spool: Path
    phase: str = WARM
    began: dict[str, float] = field(default_factory=dict)
    ended: float = 0.0
    log_bytes: dict[str, int] = field(default_factory=dict)
    """The most, by phase."""
    spool_bytes: int = 0
    """The most."""
    spooled_at: float | None = None
    """When something lay there for the first time."""

    def begin(self, phase: str) -> None:
        self.phase = phase
        self.began[phase] = time.monotonic()

    def end(self) -> None:
        self.ended = time.monotonic()

    def wait_until_drained(self) -> None:
        until = time.monotonic() + _DRAINED_WITHIN
        while _bytes_in(self.spool):
            require(time.monotonic() < until, f"the spool was not drained within {_DRAINED_WITHIN:.0f} seconds")
            time.sleep(_LOOK_AGAIN)

    def look(self) -> None:
        self.log_bytes[self.phase] = max(self.log_bytes.get(self.phase, 0), wal.size(self.log))
        lying = _bytes_in(self.spool)
        self.spool_bytes = max(self.spool_bytes, lying)
        if lying and self.spooled_at is None:
            self.spooled_at = time.monotonic()

    def phase_of(self, instant: float) -> str:
        """Return in which phase an instant was."""
        if instant >= self.ended:
            return OVER
        return next((phase for phase, began in reversed(self.began.items()) if instant >= began), WARM)


@contextmanager
def _watching(url: str, spool: Path) -> Iterator[_Seen]:
    """Look at log and spool all the time."""
    parsed = make_url(url)
    seen = _Seen(log=parsed.database if parsed.get_backend_name() == "sqlite" else None, spool=spool)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_AGAIN):
            seen.look()

    thread = threading.Thread(target=watch, name="watching")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _bytes_in(spool: Path) -> int:
    """Return how much lies in a spool, by the names and sizes of its files: to read them would cost what is measured."""
    found = 0
    for file in spool.glob("*.spool"):
        # It may be drained at this moment.
        with suppress(FileNotFoundError):
            found += file.stat().st_size
    return found


def _tell(report: Report, seen: _Seen, sent: Sent, store: Store) -> None:
    timings = {phase: report.timing(f"a batch {phase}") for phase in (ALONE, READING, DRAINING)}
    for due, seconds in zip(sent.due, sent.each, strict=True):
        if timing := timings.get(seen.phase_of(due)):
            timing.seconds.append(seconds)
    alone, reading = timings[ALONE].percentile(99), timings[READING].percentile(99)
    report.must("a batch while somebody reads, 99 %", reading * 1000, unit="ms", most=50)
    if seen.log:
        report.must("the write-ahead log, most", max(seen.log_bytes.values()) / _MEGABYTE, unit="MB", most=64)
    report.must("calls answered 200 and not stored", missing(store, sent.taken), unit="calls", most=0)
    others = sum(sent.statuses.values()) - len(sent.taken)
    report.must("calls answered otherwise", others, unit="calls", most=0)
    report.facts["calls answered 200"] = len(sent.taken)
    report.facts["99 % while somebody reads ÷ alone"] = round(reading / alone, 2)
    _tell_sizes(report, seen)
    report.facts["the client's share of one processor"] = round(sent.cpu, 2)


def _tell_sizes(report: Report, seen: _Seen) -> None:
    if seen.log:
        for phase in (ALONE, READING, DRAINING):
            report.facts[f"MB of the log {phase}, most"] = round(seen.log_bytes.get(phase, 0) / _MEGABYTE, 1)
    report.facts["MB in the spool, most"] = round(seen.spool_bytes / _MEGABYTE, 1)
    if seen.spooled_at is not None:
        report.facts["seconds of reading until calls went to the spool"] = round(seen.spooled_at - seen.began[READING], 1)
        report.facts["seconds until the spool was drained"] = round(seen.ended - seen.began[DRAINING], 1)


def missing(store: Store, message_ids: Sequence[str]) -> int:
    """Return how many calls are not stored of those that must be; Wrong where one is stored twice."""
    with store.reading() as connection:
        stored = list(connection.scalars(select(calls.c.message_id)))
    require_equal("message ids that are stored twice", len(stored) - len(set(stored)), 0)
    return len(set(message_ids) - set(stored))
