"""Floods: bombs, connections that only sit there, and a source that sends all it can; whoever behaves is served all the while."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import socket
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from sync.web import Limits
from sync.web.answers import Refused
from sync.web.body import Room, read_body

CALL = {"userId": "ann", "event": "x"}
BOMB = b" " * 100_000_000

MANY = """
import base64, select, socket, sys, time
requests = [
    b"POST /v1/track HTTP/1.1\\r\\nHost: h\\r\\nAuthorization: Basic " + base64.b64encode(key.encode() + b":")
    + b'\\r\\nContent-Length: 28\\r\\n\\r\\n{"userId": "f", "event":"x"}'
    for key in sys.argv[3:]
]
connections = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(8)]
asked = {one: requests[number % len(requests)] * 20 for number, one in enumerate(connections)}
found = dict.fromkeys(connections, b"")
for one in connections:
    one.sendall(asked[one])
answered, ends = 0, time.monotonic() + float(sys.argv[2])
while time.monotonic() < ends:
    for one in select.select(connections, [], [], 0.1)[0]:
        found[one] += one.recv(65536)
        if found[one].count(b"HTTP/1.1 ") == 20:
            found[one] = b""
            answered += 20
            one.sendall(asked[one])
print(answered)
"""


def refusal(body: bytes, encoding: bytes) -> Refused:
    """Read a body as the door does; return how it is refused."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    with Room(Limits()).hold() as held, pytest.raises(Refused) as refused:
        asyncio.run(read_body(receive, {b"content-encoding": encoding}, held, limit=500_000, seconds=5))  # type: ignore[arg-type]
    return refused.value


@pytest.mark.parametrize(("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_a_bomb_of_100_mb_costs_neither_time_nor_memory(encoding: bytes, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(BOMB)

    # The least of some: what else the machine does makes each dearer.
    assert min(seconds_to_refuse(packed, encoding) for _ in range(5)) < 0.01

    tracemalloc.start()
    assert refusal(packed, encoding).answer.status == 413
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000


def seconds_to_refuse(body: bytes, encoding: bytes) -> float:
    """Return the seconds of a processor that it takes."""
    begun = time.thread_time()
    refusal(body, encoding)
    return time.thread_time() - begun


@contextmanager
def sitting(port: int, sent: bytes, times: int) -> Iterator[list[socket.socket]]:
    """Hold connections on which a request begins and never ends."""
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(times)]
        for one in opened:
            one.sendall(sent)
        yield opened


def timed(place: Any, times: int, key: str = "key-of-web", pause: float = 0.0) -> list[float]:
    """Post calls one after the other that must be taken; return the seconds that each took, shortest first."""
    found = []
    with requests.Session() as session:
        for _ in range(times):
            begun = time.monotonic()
            answer = session.post(f"{place.url}/v1/track", json=CALL | {"writeKey": key}, timeout=10)
            found.append(time.monotonic() - begun)
            assert answer.status_code == 200, answer.text
            time.sleep(pause)
    return sorted(found)


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v1/track HTTP/1.1\r\nX-Slow: ", b"POST /v1/track HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n{"],
    ids=["silent", "half a head", "half a body"],
)
def test_200_slow_connections_keep_nobody_from_being_served_and_are_closed_in_time(serve: Any, sent: bytes) -> None:
    place = serve(limits=Limits(body_seconds=1.5), header_seconds=1.5)
    with sitting(place.port, sent, 200) as slow:
        seconds = timed(place, 50)

        assert seconds[-2] < 0.5
        assert not [one for one in slow if not closes(one)]


def closes(connection: socket.socket) -> bool:
    """Whether the other side ends the connection, perhaps after an answer, before our patience is over."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_a_source_that_sends_all_it_can_leaves_the_others_their_pace(serve: Any) -> None:
    place = serve(limits=Limits(source_rate=40.0), sources={"web": "key-of-web", "app": "key-of-app"})
    before = memory()
    with subprocess.Popen(
        [sys.executable, "-c", MANY, str(place.port), "4", "key-of-web"], stdout=subprocess.PIPE, text=True
    ) as flood:
        assert flood.stdout is not None
        wait_until(lambda: len(place.asked) > 200)
        seconds = timed(place, 60, "key-of-app")
        answered = int(flood.stdout.read())

    taken = sum(call.user_id == "f" for call in place.calls)
    assert seconds[-2] < 0.5
    assert answered > 400
    assert 80 <= taken <= 40 * (2 + 8)
    assert memory() - before < 100_000_000


def wait_until(done: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not done():
        assert time.monotonic() < ends
        time.sleep(0.01)


def memory() -> int:
    """Return how much this process, the server's, has in memory; 0 where the system does not tell as Linux does."""
    path = Path("/proc/self/statm")
    return int(path.read_text(encoding="ascii").split()[1]) * 4096 if path.exists() else 0


def kept_open(stack: ExitStack, port: int) -> http.client.HTTPConnection:
    """Send a call, and keep the connection for the next one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    stack.callback(connection.close)
    assert sent_over(connection) == 200
    return connection


def sent_over(connection: http.client.HTTPConnection) -> int:
    connection.request("POST", "/v1/track", json.dumps(CALL | {"writeKey": "key-of-web"}), {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_of_too_many_connections_the_one_is_closed_that_was_idle_longest(serve: Any) -> None:
    place = serve(connections=3)
    with ExitStack() as stack:
        first, second, third = (kept_open(stack, place.port) for _ in range(3))
        assert sent_over(first) == 200

        fourth = kept_open(stack, place.port)

        assert closes(second.sock)
        assert [sent_over(one) for one in (first, third, fourth)] == [200, 200, 200]


def test_where_all_connections_are_at_work_whoever_comes_is_told_when_to_come_again(serve: Any) -> None:
    place = serve(connections=3)
    with sitting(place.port, b"POST /v1/track HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n{", 3):
        time.sleep(0.2)
        answer = requests.post(f"{place.url}/v1/track", json=CALL, headers={"origin": "https://shop.example"}, timeout=10)

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_connections")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
