"""How fast what is owed leaves, beside a loop that posts bodies made beforehand to the same destination.

A first push: an audience of everybody is computed, and a sender drains what it owes into a sink (`benchmarks.sink`) in another
process, which answers after a while. The loop has as many connections and as many users a request, its bodies are ready, and it
writes nothing down. With --script, the same without latency and over one connection, the run that computes included, beside a
script that selects the ids first. Everything is held to: the sink got each user once, and the run says so.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

import requests
from sqlalchemy import select

from benchmarks import sink
from benchmarks.databases import opened
from benchmarks.population import fill_profiles
from benchmarks.report import Report, Timing, require_equal
from benchmarks.sink import Sink
from sync.app import system_clock
from sync.apply import apply
from sync.audience import Definition, Every, Kind
from sync.compute import compute
from sync.membership import Run
from sync.memory import settle_memory
from sync.moesif import Collector
from sync.payload import Mapping
from sync.send import Desk, Drain, Sender
from sync.store import Store, audiences, runs
from sync.store.schema import profiles

EVERYBODY: Final = Definition(
    kind=Kind.AUDIENCE,
    key="everybody",
    name="Everybody",
    query="event('Never').count() = 0",
    schedule=Every(timedelta(days=1)),
)

WARMING_UP: Final = 1_000
"""Users."""

ENOUGH: Final = 100_000
"""Users. A smaller backlog, which is gone in moments, is measured until so many have been told, but seven times at most."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backlogs", type=int, nargs="+", default=[10_000, 100_000], metavar="N", help="how many users are owed")
    parser.add_argument("--latency", type=float, default=0.01, help="seconds until the destination answers")
    parser.add_argument("--connections", type=int, default=4, metavar="N")
    parser.add_argument("--batch", type=int, default=100, metavar="N", help="users in a request, of both")
    parser.add_argument("--script", action="store_true", help="the first push over one connection without latency, too")


def run(arguments: argparse.Namespace, urls: Iterator[str]) -> Report:
    """Measure each size, one after the other."""
    # As every process of the program does.
    settle_memory()
    report = Report(sizes={f"backlog {number}": users for number, users in enumerate(arguments.backlogs, 1)})
    rates = [_drained(report, urls, users, arguments) for users in arguments.backlogs]
    if len(rates) > 1:
        report.must("rate at the largest backlog ÷ at the smallest", rates[-1] / rates[0], least=0.9)
    if arguments.script:
        for users in arguments.backlogs:
            _first_push(report, next(urls), users, arguments.batch)
    return report


def _drained(report: Report, urls: Iterator[str], users: int, arguments: argparse.Namespace) -> float:
    """Measure one backlog, each time in a store of its own, and return the users a second."""
    ours, loop = report.timing(f"{users:,} users: delivered", users), report.timing(f"{users:,} users: the loop", users)
    times = min(7, max(1, ENOUGH // users))
    grown = max([_drained_once(ours, loop, next(urls), users, arguments) for _ in range(times)])
    report.must(f"{users:,} users: rate ÷ the loop's", loop.median / ours.median, least=0.8)
    report.must(f"{users:,} users: memory that delivery added to the peak", grown / 2**20, unit="MB", most=50)
    report.facts[f"{users:,} users: users a second"] = round(users / ours.median)
    return users / ours.median


def _drained_once(ours: Timing, loop: Timing, url: str, users: int, arguments: argparse.Namespace) -> int:
    """Measure one backlog and the loop beside it once, and return by how many bytes the peak of memory has grown."""
    with opened(url) as store, sink.running(arguments.latency) as destination:
        made = _owing(store, destination, users, arguments)
        before = _peak()
        with ours.once():
            drain = _drain(store, destination, arguments.connections, arguments.batch)
        grown = _peak() - before
        _require_all(store, made, drain, destination, users)
        bodies = _bodies(store, arguments.batch, after=WARMING_UP)
        with loop.once():
            _post(destination, bodies, arguments.connections)
        require_equal("users that the loop told", destination.told()["users"], users)
    return grown


def _first_push(report: Report, url: str, users: int, batch: int) -> None:
    """Measure a first push, its run included, against a script over one connection without latency."""
    ours, script = report.timing(f"{users:,} users: first push", users), report.timing(f"{users:,} users: the script", users)
    with opened(url) as store, sink.running(0) as destination:
        _people(store, users)
        with ours.once():
            made = _run(store)
            drain = _drain(store, destination, 1, batch)
        _require_all(store, made, drain, destination, users)
        with script.once():
            _post(destination, _bodies(store, batch), 1)
    report.must(f"{users:,} users: first push ÷ the script", ours.median / script.median, most=1.5)


def _owing(store: Store, destination: Sink, users: int, arguments: argparse.Namespace) -> Run:
    """Make a backlog behind a small one that has been drained: a service has long written its statements for its store."""
    _people(store, WARMING_UP)
    _run(store)
    _drain(store, destination, arguments.connections, arguments.batch)
    destination.forget()
    fill_profiles(store, users, after=WARMING_UP)
    return _run(store)


def _people(store: Store, users: int) -> None:
    fill_profiles(store, users)
    apply(store, [EVERYBODY], system_clock())


def _run(store: Store) -> Run:
    with store.reading() as connection:
        stored = audiences.by_key(connection, EVERYBODY.key)
    return compute(store, stored, None, system_clock)


def _drain(store: Store, destination: Sink, connections: int, batch: int) -> Drain:
    with Collector("benchmark", destination.url, clock=system_clock) as collector:
        desk = Desk(
            store=store,
            destination=collector,
            mapping=Mapping(),
            space_id="benchmark",
            clock=system_clock,
            batch_items=batch,
        )
        return Sender(desk=desk, owner="benchmark", connections=connections).drain(timedelta(minutes=1))


def _require_all(store: Store, made: Run, drain: Drain, destination: Sink, users: int) -> None:
    told = destination.told()
    require_equal("rows and users that the sink got", (told["rows"], told["users"]), (users, users))
    require_equal("requests", drain.requests, told["requests"])
    with store.reading() as connection:
        last = connection.scalars(select(profiles.c.user_id).order_by(profiles.c.id.desc()).limit(1)).one()
        now = runs.by_id(connection, made.id)
    require_equal("what the sink got of one user", destination.user(last or ""), {EVERYBODY.key: True})
    require_equal("accepted, held and balanced", (now.accepted, now.held, now.balanced), (users, 0, True))
    destination.forget()


def _bodies(store: Store, batch: int, after: int = 0) -> list[bytes]:
    with store.reading() as connection:
        ids = list(connection.scalars(select(profiles.c.user_id).where(profiles.c.id > after).order_by(profiles.c.id)))
    portions = (ids[start : start + batch] for start in range(0, len(ids), batch))
    return [json.dumps([_told(id) for id in portion]).encode() for portion in portions]


def _told(user_id: str) -> dict[str, object]:
    return {"user_id": user_id, "modified_time": "2026-03-04T09:00:00.000Z", "metadata": {EVERYBODY.key: True}}


def _post(destination: Sink, bodies: Sequence[bytes], connections: int) -> None:
    def loop(some: Sequence[bytes]) -> None:
        with requests.Session() as session:
            headers = {"Content-Type": "application/json", "X-Moesif-Application-Id": "benchmark"}
            for body in some:
                session.post(f"{destination.url}/v1/users/batch", data=body, headers=headers, timeout=30)

    threads = [threading.Thread(target=loop, args=(bodies[number::connections],)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _peak() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
