"""A SQLite file is served by one process at a time; commands that come and go run beside it."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest


def serving(line: Any, *only: str) -> subprocess.Popen[bytes]:
    """Start to serve, and wait until it does, or has ended."""
    process = line.started("serve", "--port", "0", *only)
    for raw in process.stderr:
        if b"listens on" in raw or b"no HTTP in this process" in raw:
            break
    return process


@pytest.mark.parametrize("only", [(), ("--only", "web"), ("--only", "worker")], ids=["all", "web", "worker"])
def test_a_second_server_of_a_sqlite_file_ends_at_once_and_says_who_serves_it(sqlite_line: Any, only: tuple[str, ...]) -> None:
    first = serving(sqlite_line)

    second = sqlite_line.apart("serve", "--port", "0", *only)

    assert second.code == 3
    assert f"SYNC_DATABASE_URL: process {first.pid} on {socket.gethostname()} serves sqlite:///personas.db" in second.err
    assert "stop that one, or use PostgreSQL" in second.err
    assert first.poll() is None


def test_the_same_file_by_another_name_is_the_same_file(sqlite_line: Any) -> None:
    serving(sqlite_line, "--only", "worker")
    Path(sqlite_line.folder, "link.db").symlink_to("personas.db")

    codes = []
    for name in (f"/{sqlite_line.folder}/personas.db", "link.db", "../folder/personas.db"):
        sqlite_line.environ["SYNC_DATABASE_URL"] = f"sqlite:///{name}"
        codes.append(sqlite_line.apart("serve", "--only", "worker").code)

    assert codes == [3, 3, 3]


def test_other_commands_run_beside_a_server(sqlite_line: Any, make_order: Any) -> None:
    serving(sqlite_line)

    sqlite_line.import_calls(make_order("ann", "2026-01-10T00:00:00Z"))
    computed = sqlite_line("compute", "buyers", "--at", "2026-01-11")
    members = sqlite_line("members", "buyers", "--json")

    assert computed.code == 0
    assert [json.loads(one)["user_id"] for one in members.lines] == ["ann"]


def test_a_server_that_was_killed_keeps_nobody_out(sqlite_line: Any) -> None:
    first = serving(sqlite_line)
    first.kill()
    first.wait()

    second = serving(sqlite_line)

    assert second.poll() is None
