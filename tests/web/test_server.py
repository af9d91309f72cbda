"""Starting and stopping."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from sync.call import Incoming
from sync.errors import SettingsError
from sync.web import Door, Health, Limits, Server, create_app

TRACK = {"userId": "ann", "event": "x", "writeKey": "k"}


def server(accept: Callable[[Sequence[Incoming]], None] = lambda _: None, port: int = 0, **options: Any) -> Server:
    door = Door(
        accept=accept,
        clock=lambda: datetime(2024, 5, 1, tzinfo=UTC),
        health=lambda: Health(ready=True),
        limits=options.pop("limits", Limits()),
    )
    return Server(create_app(door), host="127.0.0.1", port=port, **options)


def post(port: int) -> requests.Response:
    return requests.post(f"http://127.0.0.1:{port}/v1/track", json=TRACK, timeout=10)


def test_a_port_that_is_taken_is_a_setting_to_be_changed() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        with pytest.raises(SettingsError, match="SYNC_PORT"):
            server(port=other.getsockname()[1]).start()


def test_to_read_a_call_takes_no_memory_for_all_that_might_have_come() -> None:
    with server() as running:
        for _ in range(3):
            post(running.port)
        tracemalloc.start()
        try:
            post(running.port)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            post(running.port)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert most - before < 128 * 1024


def test_a_request_underway_is_answered_before_the_server_stops() -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def hang(_incoming: Sequence[Incoming]) -> None:
        hangs.set()
        go_on.wait(10)

    running = server(hang)
    port = running.start()
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(post, port)
        hangs.wait(5)
        stopped = pool.submit(running.stop)
        time.sleep(0.3)
        go_on.set()

        assert answer.result().status_code == 200
        stopped.result(10)
    with pytest.raises(requests.ConnectionError):
        post(port)


def test_a_store_that_hangs_does_not_keep_the_server_from_stopping() -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def hang(_incoming: Sequence[Incoming]) -> None:
        hangs.set()
        go_on.wait(30)

    running = server(hang, stop_seconds=1, limits=Limits(stop_seconds=0.2))
    port = running.start()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, port)
        hangs.wait(5)
        begun = time.monotonic()
        running.stop()

        assert time.monotonic() - begun < 5
        failed = answer.exception(10) or answer.result().status_code >= 500
        go_on.set()
        assert failed


PROGRAM = """
from datetime import UTC, datetime
from sync.web import Door, Health, Server, create_app
door = Door(accept=lambda _: None, clock=lambda: datetime(2024, 5, 1, tzinfo=UTC), health=lambda: Health(ready=True))
server = Server(create_app(door), host="127.0.0.1", port={port})
server.run()
print("stopped cleanly")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(number: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = subprocess.Popen([sys.executable, "-c", PROGRAM.format(port=port)], stdout=subprocess.PIPE, text=True)
    answered = 0
    for _ in range(100):
        try:
            answered = post(port).status_code
            break
        except requests.ConnectionError:
            time.sleep(0.1)

    program.send_signal(number)
    said, _ = program.communicate(timeout=15)

    assert (answered, program.returncode, said) == (200, 0, "stopped cleanly\n")
