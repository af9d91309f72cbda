"""A client that sends calls in batches at a steady rate, whatever the answers take, until it is told to stop.

    python -m benchmarks.steady '{"port": 8400, "rate": 1000, "batch": 10, "connections": 8}'

says so once it begins, stops when its standard input ends, and prints as JSON when each batch was due, how long after that it was
answered, which statuses came back, and the message ids of what was answered 200. A batch that is due while every connection waits
for an answer counts from when it was due: what a server that stands still does to its senders is not left out. A process of its
own, so that what it computes is not the server's.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Final

from benchmarks.feeding import Connection, request
from benchmarks.machine import ROOT
from benchmarks.report import require
from benchmarks.traffic import Traffic

_SUCCESS: Final = "200"


@dataclass(kw_only=True)
class Sent:
    """What came of it."""

    due: list[float] = field(default_factory=list)
    """Instants of the monotonic clock, which all processes of a machine share, in the order of the answers."""
    each: list[float] = field(default_factory=list)
    """How many seconds after it was due each was answered."""
    statuses: dict[str, int] = field(default_factory=dict)
    """How many calls were answered by it."""
    taken: list[str] = field(default_factory=list)
    """The message ids of what was answered 200."""
    cpu: float = 0.0
    """Of the client: the share of one processor that it had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """What is sent, and where to."""

    port: int
    rate: float
    """Calls a second."""
    batch: int
    connections: int


class Client:
    """The client, as whoever has started it sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stop(self) -> Sent:
        """Let it wait for the answers that are still to come, and tell."""
        told, _ = self._process.communicate()
        return Sent(**json.loads(told))


@contextmanager
def sending(pace: Pace) -> Iterator[Client]:
    """Begin to send from another process, and wait until it does."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.steady", json.dumps(asdict(pace))],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None, "it is a pipe"
        try:
            require(bool(process.stdout.readline()), "the client did not begin")
            yield Client(process)
        finally:
            process.terminate()


@dataclass(kw_only=True)
class _Batch:
    due: float
    ids: list[str]
    whole: bytes


def _send(pace: Pace) -> Sent:
    traffic, sent, selector = Traffic(), Sent(), selectors.DefaultSelector()
    free = deque(Connection(pace.port) for _ in range(pace.connections))
    underway: dict[Connection, _Batch] = {}
    for one in free:
        selector.register(one.socket, selectors.EVENT_READ, one)
    selector.register(sys.stdin, selectors.EVENT_READ)
    began, stopped = time.monotonic(), False
    print("sends", flush=True)
    following = _batch(traffic, pace, began)
    while underway or not stopped:
        while free and not stopped and following.due <= time.monotonic():
            one = free.popleft()
            one.send(following.whole)
            underway[one] = following
            # While nobody waits for it.
            following = _batch(traffic, pace, following.due + pace.batch / pace.rate)
        patience = max(0.0, following.due - time.monotonic()) if free and not stopped else None
        for key, _ in selector.select(patience):
            if key.data is None:
                stopped = True
                selector.unregister(sys.stdin)
            elif status := key.data.receive():
                _note(sent, underway.pop(key.data), status)
                free.append(key.data)
    sent.cpu = time.process_time() / (time.monotonic() - began)
    return sent


def _batch(traffic: Traffic, pace: Pace, due: float) -> _Batch:
    before = len(traffic.message_ids)
    whole = request("/v1/batch", traffic.batch(pace.batch))
    return _Batch(due=due, ids=traffic.message_ids[before:], whole=whole)


def _note(sent: Sent, batch: _Batch, status: str) -> None:
    sent.due.append(batch.due)
    sent.each.append(time.monotonic() - batch.due)
    sent.statuses[status] = sent.statuses.get(status, 0) + len(batch.ids)
    if status == _SUCCESS:
        sent.taken += batch.ids


if __name__ == "__main__":
    print(json.dumps(asdict(_send(Pace(**json.loads(sys.argv[1]))))))
