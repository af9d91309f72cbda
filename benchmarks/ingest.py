"""How many calls the HTTP door makes durable in a second, beside what the database takes without us.

The real server, `personas-sync serve --only web`, fed over loopback by a client in another process that has its requests ready.
Batches of 100 calls, as Segment's SDKs send them, or of another size, from as many connections as single calls come from; and once
more from few, which cannot keep the server at work, since each waits for its answer before it sends again. Beside that a bare COPY
(PostgreSQL) or `executemany` (SQLite) of the very rows that the server wrote of them, in `calls` and in `deliveries`, into tables
with the same indexes and checks, one connection, one durable commit per batch; for fairness also one commit per as many as the
server had in one, and the rows of `calls` alone. The server does more than write those rows: it finds out which are new and who the
people are, and writes what was learned of them. Single calls beside a handler that does nothing, on the same server program.

All in turn, round by round. At the end the store is held to what was sent: everything, and everything once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from sqlalchemy import func, select

from benchmarks.bare import CALLS, OWED, Bare
from benchmarks.databases import opened
from benchmarks.feeding import feed, request
from benchmarks.flags import at_least_one
from benchmarks.report import Report, Timing, require, require_equal
from benchmarks.serving import Running, serving, serving_nothing
from benchmarks.traffic import BATCH, Traffic
from sync.store import Store
from sync.store.schema import calls, deliveries, rejected_calls

BATCHES: Final = "calls in batches of {size}"
FEW: Final = "calls in batches of {size} from few connections"
BARE: Final = "bare rows, a commit per {size}"
GROUPED: Final = "bare rows, a commit per as many as the server had"
ALONE: Final = "bare rows of `calls` alone, a commit per {size}"
SINGLES: Final = "single calls"
NOTHING: Final = "requests to an empty handler"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--batches", type=int, default=300, metavar="N", help="batches in a round")
    parser.add_argument(
        "--calls", type=at_least_one, default=BATCH, metavar="N", help="calls in a batch; some 900 are what the door takes"
    )
    parser.add_argument("--singles", type=int, default=5000, metavar="N", help="single calls in a round, and empty requests")
    parser.add_argument("--senders", type=int, default=32, metavar="N", help="connections that send batches at the same time")
    parser.add_argument("--few", type=int, default=8, metavar="N", help="connections that send as many batches once more")
    parser.add_argument("--clients", type=int, default=32, metavar="N", help="connections that send single calls, or nothing")


def run(arguments: argparse.Namespace, urls: Iterator[str]) -> Report:
    """Measure in rounds, then check."""
    report = Report(
        sizes={name: getattr(arguments, name) for name in ("rounds", "batches", "calls", "singles", "senders", "few", "clients")}
    )
    url = next(urls)
    with ExitStack() as stack:
        store, *others = (stack.enter_context(opened(one)) for one in (url, next(urls), next(urls), next(urls)))
        course = _Course(
            store=store,
            server=stack.enter_context(serving(url)),
            nothing=stack.enter_context(serving_nothing()),
            bare=Bare(store, others[0], CALLS, OWED),
            grouped=Bare(store, others[1], CALLS, OWED),
            alone=Bare(store, others[2], CALLS),
            size=arguments.calls,
            senders=arguments.senders,
            few=arguments.few,
            clients=arguments.clients,
        )
        course.round(arguments.senders, arguments.clients)
        course.forget()
        for _ in range(arguments.rounds):
            course.round(arguments.batches, arguments.singles)
        course.require_once()
    course.tell(report)
    return report


@dataclass(kw_only=True)
class _Course:
    """What runs, what was sent so far and how fast that went."""

    store: Store
    server: Running
    nothing: Running
    bare: Bare
    grouped: Bare
    alone: Bare
    size: int
    """How many calls there are in a batch."""
    senders: int
    few: int
    clients: int
    traffic: Traffic = field(default_factory=Traffic)
    timings: dict[str, Timing] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    """How many a second, by what and in which round."""
    groups: list[float] = field(default_factory=list)
    """How many batches the server had in one commit."""
    memory: list[int] = field(default_factory=list)
    """Of the server, in bytes, after each round."""
    client: list[float] = field(default_factory=list)
    """The share of the time for which the client had the processor."""

    def forget(self) -> None:
        """Forget what was measured, which was for warming up."""
        for kept in (self.timings, self.rates, self.groups, self.memory, self.client):
            kept.clear()

    def round(self, batches: int, singles: int) -> None:
        last = self._last_call()
        self._feed(BATCHES, self._batches(batches), self.senders, self.size)
        self.groups.append(batches / self._commits_after(last))
        self._feed(FEW, self._batches(batches), self.few, self.size)
        self._write(BARE, self.bare, self.size)
        self._write(GROUPED, self.grouped, round(self.groups[-1]) * self.size)
        self._write(ALONE, self.alone, self.size)
        alone = [self.traffic.single() for _ in range(singles)]
        self._feed(SINGLES, [request(path, body) for path, body in alone], self.clients)
        self._feed(NOTHING, [request("/empty", body) for _, body in alone], self.clients)
        for bare in (self.bare, self.grouped, self.alone):
            bare.follow(Timing(name="unreported"), self.size)
        self.memory += filter(None, [self.server.memory()])

    def _batches(self, number: int) -> list[bytes]:
        return [request("/v1/batch", self.traffic.batch(self.size)) for _ in range(number)]

    def _feed(self, name: str, requests: list[bytes], connections: int, calls_each: int = 1) -> None:
        running = self.nothing if name == NOTHING else self.server
        fed = feed(running.port, requests, connections)
        self._add(name, fed.each, len(requests) * calls_each / fed.seconds)
        self.client.append(fed.cpu / fed.seconds)

    def _write(self, name: str, bare: Bare, at_a_time: int) -> None:
        timing = Timing(name=name)
        rows = bare.follow(timing, at_a_time)
        self._add(name, timing.seconds, rows / sum(timing.seconds))

    def _add(self, name: str, each: list[float], rate: float) -> None:
        self.timings.setdefault(name, Timing(name=self._named(name))).seconds += each
        self.rates.setdefault(name, []).append(rate)

    def _named(self, name: str) -> str:
        return name.format(size=self.size)

    def _last_call(self) -> int:
        with self.store.reading() as connection:
            return connection.scalar(select(func.max(calls.c.id))) or 0

    def _commits_after(self, last: int) -> int:
        with self.store.reading() as connection:
            return connection.scalar(select(func.count(calls.c.arrival.distinct())).where(calls.c.id > last)) or 1

    def require_once(self) -> None:
        """Wrong unless everything that was sent is stored, and once, even if a batch is sent a second time."""
        again = request("/v1/batch", self.traffic.batch())
        for _ in range(2):
            feed(self.server.port, [again], 1)
        with self.store.reading() as connection:
            found = sorted(connection.scalars(select(calls.c.message_id)))
            rejected, owed = (connection.scalar(select(func.count()).select_from(one)) for one in (rejected_calls, deliveries))
        require_equal("calls stored", len(found), len(self.traffic.message_ids))
        require(found == sorted(self.traffic.message_ids), "other calls are stored than were sent")
        require_equal("calls rejected, and owed to Moesif", (rejected, owed), (0, self.traffic.forwarded))
        for bare in (self.bare, self.grouped, self.alone):
            bare.follow(Timing(name="unreported"), self.size)
            bare.require_same()

    def ratio(self, one: str, other: str) -> float:
        """Return the median over the rounds, in each of which the two ran one soon after the other."""
        return median(first / second for first, second in zip(self.rates[one], self.rates[other], strict=True))

    def tell(self, report: Report) -> None:
        report.timings += self.timings.values()
        report.facts |= {f"{self._named(name)}, a second": round(median(rates)) for name, rates in self.rates.items()}
        report.facts["batches in one commit of the server"] = round(median(self.groups), 1)
        report.facts["batches ÷ bare rows, a commit per as many as the server had"] = round(self.ratio(BATCHES, GROUPED), 2)
        report.facts[f"batches from few connections ÷ {self._named(BARE)}"] = round(self.ratio(FEW, BARE), 2)
        report.facts[f"batches ÷ {self._named(ALONE)}"] = round(self.ratio(BATCHES, ALONE), 2)
        report.facts["the client's share of one processor, most"] = round(max(self.client), 2)
        report.must(f"batches ÷ {self._named(BARE)}", self.ratio(BATCHES, BARE), least=0.5)
        report.must("single calls ÷ requests to an empty handler", self.ratio(SINGLES, NOTHING), least=0.25)
        report.must("calls in batches", median(self.rates[BATCHES]), unit="a second", least=10_000)
        report.must("single calls", median(self.rates[SINGLES]), unit="a second", least=1_000)
        report.must("a single call, 99 %", self.timings[SINGLES].percentile(99) * 1000, unit="ms", most=50)
        if len(self.memory) > 1:
            report.facts["memory of the server in MB, round by round"] = [round(one / 2**20) for one in self.memory]
            # Not the first: until then SQLite fills its page cache, 64 MB for a connection.
            half = self.memory[(len(self.memory) - 1) // 2]
            report.must("memory at the end ÷ after half of the rounds", self.memory[-1] / half, most=1.1)
