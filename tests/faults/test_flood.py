"""Slow connections and a flood at once, against the whole program on each database: whoever behaves is served all the while."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests
from sqlalchemy import func, select

from sync.store import Store
from sync.store import schema as t
from tests.crash.kills import wait_until
from tests.crash.life import Folder
from tests.faults.outages import megabytes
from tests.web.test_floods import MANY, sitting, timed

SLOW = {
    b"": 66,
    b"POST /v1/track HTTP/1.1\r\nX-Slow: ": 67,
    b"POST /v1/track HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n{": 67,
}
"""What comes of a request that never ends, and over how many connections."""
CALLS = 100


@contextmanager
def slow_ones(port: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [one for sent, times in SLOW.items() for one in stack.enter_context(sitting(port, sent, times))]


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True


def stored(store: Store, source: str) -> int | None:
    """Return how many calls of a source are stored."""
    with store.reading() as connection:
        return connection.scalar(select(func.count()).select_from(t.calls).where(t.calls.c.source == source))


@contextmanager
def flood(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Send all that can be sent, half of it with a key that nobody has, half as a source that is held to its rate."""
    arguments = [sys.executable, "-c", MANY, str(port), "60", "key-of-nobody", "key-of-web"]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def refused(url: str) -> list[float]:
    """Return how many requests were answered that their key is not known, and that their source sends too much."""
    lines = requests.get(f"{url}/metrics", timeout=20).text.splitlines()
    return [
        sum(float(line.split(" ")[1]) for line in lines if line.startswith(f'personas_sync_answers_total{{status="{status}"}}'))
        for status in (401, 429)
    ]


def test_200_slow_connections_and_a_flood_of_what_is_refused_leave_a_good_source_its_pace(folder: Folder, store: Store) -> None:
    del folder.environ["SYNC_SPOOL"]
    folder.environ |= {"SYNC_WRITE_KEYS": "web=key-of-web,app=key-of-app", "SYNC_SOURCE_RATE": "25"}
    service = folder.serve()
    port = int(service.url.rpartition(":")[2])
    with flood(port) as flooding:
        wait_until(lambda: all(refused(service.url)), "no flood has come")
        with slow_ones(port) as slow:
            before = refused(service.url)
            seconds = timed(service, CALLS, "key-of-app", pause=0.03)
            meanwhile = [after - first for first, after in zip(before, refused(service.url), strict=True)]

            assert all(is_open(one) for one in slow)
        assert flooding.poll() is None

    assert seconds[-2] < 0.5
    assert all(meanwhile)
    assert sum(meanwhile) > 10 * CALLS
    assert megabytes(Path(f"/proc/{service.process.pid}/status"), "VmHWM") <= 512
    assert stored(store, "app") == CALLS
    assert service.stop() == 0
