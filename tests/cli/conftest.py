"""The command line as a user has it: a folder of one's own, a store, perhaps a stand-in for Moesif."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sync.cli import main
from sync.standin import StandIn

ROOT = Path(__file__).parents[2]

DEFINITIONS = """\
defaults: {schedule: manual}
audiences:
  - name: Buyers
    query: event('Order Completed').within(30 days).count() >= 1
computed_traits:
  - name: Orders
    query: event('Order Completed').count()
"""


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        assert self.out.count("\n") == 1, f"{self.out}\n{self.err}"
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass
class CommandLine:
    """Types commands in a folder; in this process, or in one of its own where signals and pipes matter."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __call__(self, *arguments: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as surroundings, redirect_stdout(out), redirect_stderr(err):
            surroundings.chdir(self.folder)
            for name, value in self._environ().items():
                surroundings.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main(arguments)
        code = end.value.code
        return Done(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())

    def started(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a process of its own."""
        command = [sys.executable, "-m", "sync", *arguments]
        environ = os.environ | {"PYTHONPATH": str(ROOT)} | self._environ()
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        self.processes.append(subprocess.Popen(command, cwd=self.folder, env=environ, **streams))
        return self.processes[-1]

    def apart(self, *arguments: str, stdin: bytes = b"") -> Done:
        """Run to the end in a process of its own."""
        process = self.started(*arguments, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=60)
        return Done(process.returncode, out.decode(), err.decode())

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def import_calls(self, *calls: dict[str, Any]) -> None:
        """Import calls, which must all be good."""
        self.write("calls.jsonl", "".join(f"{json.dumps(call)}\n" for call in calls))
        done = self("import", "calls.jsonl")
        assert done.code == 0, done

    def _environ(self) -> dict[str, str]:
        return {"COLUMNS": "80", "TERM": "dumb"} | self.environ


def order(user_id: str, at: str, message_id: str | None = None, **properties: Any) -> dict[str, Any]:
    """Return the call of a purchase."""
    call = {"type": "track", "event": "Order Completed", "userId": user_id, "timestamp": at, "properties": properties}
    return call | ({"messageId": message_id} if message_id else {})


@pytest.fixture
def make_order() -> Any:
    return order


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Commands set up the log; the next test must not write to this one's."""
    root, ours = logging.getLogger(), logging.getLogger("sync")
    before = list(root.handlers), root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[CommandLine]:
    """A folder with nothing in it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    typed = CommandLine(folder)
    yield typed
    for process in typed.processes:
        # One that a failed test left behind.
        process.kill()
        process.communicate()


@pytest.fixture
def line(bare: CommandLine, database_url: str) -> CommandLine:
    """A store with the current schema, on each database, and two definitions."""
    bare.environ["SYNC_DATABASE_URL"] = database_url
    bare.write("personas.yaml", DEFINITIONS)
    return bare


@pytest.fixture
def sqlite_line(bare: CommandLine, sqlite_template: bytes) -> CommandLine:
    """The same on SQLite alone, for what no database has a part in."""
    bare.write("personas.db", sqlite_template)
    bare.write("personas.yaml", DEFINITIONS)
    return bare


@pytest.fixture
def standin(line: CommandLine) -> Iterator[StandIn]:
    """A stand-in for Moesif that the commands send to."""
    with StandIn.start(application_id="app-1") as running:
        line.environ |= {"SYNC_MOESIF_URL": running.url, "SYNC_MOESIF_APPLICATION_ID": "app-1"}
        yield running
