"""Commands as processes of their own: signals, pipes, and those that stay up."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from sync.standin import Fault, StandIn


def test_a_reader_that_goes_away_is_no_error(line: Any, make_order: Any) -> None:
    line.import_calls(*(make_order(f"user-{number:05}", "2026-01-10T00:00:00Z") for number in range(5000)))
    line("compute", "--at", "2026-01-11")

    process = line.started("members", "buyers", "--json")
    first = process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()

    assert json.loads(first)["user_id"] == "user-00000"
    assert (process.wait(30), err) == (141, b"")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full, which Linux has")
def test_output_that_cannot_be_written_is_said(bare: Any) -> None:
    with Path("/dev/full").open("wb") as full:
        process = bare.started("config", stdout=full)
        _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (74, b"personas-sync: No space left on device\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_sync_says_that_nothing_is_lost_and_the_next_one_finishes(
    line: Any, standin: StandIn, make_order: Any, number: signal.Signals, code: int
) -> None:
    line.import_calls(*(make_order(f"user-{number}", "2026-01-10T00:00:00Z") for number in range(2000)))
    standin.misbehave(Fault(lane="users", delay_seconds=0.5, times=1000))
    process = line.started("sync", "buyers", "--at", "2026-01-11")
    while not standin.requests.get("users") or not standin.users():
        assert process.poll() is None
        time.sleep(0.02)

    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    standin.behave()
    after = line("sync", "buyers", "--at", "2026-01-11", "--json")

    assert (process.returncode, err.splitlines()[-1]) == (code, b"personas-sync: interrupted; nothing is lost")
    assert after.code == 0
    assert sum(document["metadata"]["buyers"] is True for document in standin.users().values()) == 2000


def test_serve_takes_calls_and_stops_cleanly(line: Any, standin: StandIn) -> None:
    process = line.started("serve", "--port", "0")
    url = listening(process, "personas-sync listens on ")

    answer = requests.post(f"{url}/v1/identify", json={"userId": "ann", "traits": {"plan": "pro"}}, auth=("any", ""), timeout=10)
    while "ann" not in standin.users():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert (answer.status_code, process.returncode) == (200, 0)
    assert standin.users()["ann"]["metadata"] == {"plan": "pro"}


def test_the_stand_in_says_how_to_point_at_it(bare: Any) -> None:
    process = bare.started("stand-in", "--port", "0", "--application-id", "app-9", "--type-lock", stderr=subprocess.STDOUT)
    lines = [process.stdout.readline().decode().strip() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    url = lines[1].removeprefix("export SYNC_MOESIF_URL=")
    assert url.startswith("http://127.0.0.1:")
    assert lines[2] == "export SYNC_MOESIF_APPLICATION_ID=app-9"
    assert process.returncode == 0


def test_a_name_that_the_terminal_cannot_write_is_shown_as_escapes(line: Any, make_order: Any) -> None:
    line.import_calls(make_order("zoë", "2026-01-10T00:00:00Z"))
    line("compute", "--at", "2026-01-11")
    line.environ["PYTHONIOENCODING"] = "ascii"

    assert line.apart("members", "buyers").out == "2026-01-11T00:00:00Z  zo\\xeb\n"


def listening(process: subprocess.Popen[bytes], before: str) -> str:
    """Wait for the line that says where a process listens, and return the address."""
    assert process.stderr is not None
    for raw in process.stderr:
        if before in raw.decode():
            return raw.decode().partition(before)[2].strip()
    raise AssertionError("it ended without listening")
