"""A service that is told to stop ends in time, whatever is on its way; told a second time, at once. Nothing is lost by either."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from typing import Any

import pytest
import requests

from sync.standin import Fault, StandIn


@pytest.fixture
def busy(line: Any, standin: StandIn) -> subprocess.Popen[bytes]:
    """A service that has a request on its way, whose answer takes half a minute to come."""
    standin.misbehave(Fault(lane="users", drip_seconds=0.5, times=10))
    process = line.started("serve", "--port", "0")
    for raw in process.stderr:
        if b"listens on " in raw:
            url = raw.decode().partition("listens on ")[2].strip()
            break
    requests.post(f"{url}/v1/identify", json={"userId": "ann", "traits": {"plan": "pro"}}, auth=("any", ""), timeout=10)
    while line("deliveries", "--json").json["items"][0]["state"] != "sending":
        time.sleep(0.05)
    process.port = int(url.rpartition(":")[2])  # type: ignore[attr-defined]
    return process


def test_told_to_stop_it_ends_within_ten_seconds_although_an_answer_is_awaited(busy: Any, line: Any) -> None:
    began = time.monotonic()

    busy.send_signal(signal.SIGTERM)
    _, err = busy.communicate(timeout=30)

    assert (busy.returncode, b"nothing is lost" in err) == (0, True)
    assert time.monotonic() - began < 10
    assert line("deliveries", "--json").json["owed"] == 1


def test_told_to_stop_it_ends_within_ten_seconds_although_somebody_has_sent_half_a_body_as_well(busy: Any, line: Any) -> None:
    with socket.create_connection(("127.0.0.1", busy.port), timeout=10) as half:
        half.sendall(b"POST /v1/track HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n{")
        time.sleep(0.5)
        began = time.monotonic()

        busy.send_signal(signal.SIGTERM)
        busy.communicate(timeout=30)

    assert busy.returncode == 0
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_a_second_time_it_ends_within_a_second(busy: Any, line: Any, number: signal.Signals) -> None:
    busy.send_signal(number)
    time.sleep(2)
    assert busy.poll() is None
    began = time.monotonic()

    busy.send_signal(number)
    busy.communicate(timeout=30)

    assert busy.returncode == 128 + number
    assert time.monotonic() - began < 1
    assert line("deliveries", "--json").json["owed"] == 1
