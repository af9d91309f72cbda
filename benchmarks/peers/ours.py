"""The running service among the peers: personas-sync, told by its clock that time has passed.

Its audience is computed every second. To sync as of an instant the clock is set to it, and at the next full second the service's
own scheduler finds a slot due. A sync lasts from when the run began, by its own record, until the ledger says that all of it was
answered, and costs what the service and its connections to the database used from before to a moment later.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final, LiteralString

import psycopg
from sqlalchemy import text

from benchmarks.audiences import ORDERED
from benchmarks.machine import ROOT
from benchmarks.peers.processors import Server, forget_peak, of_process, peak_of
from benchmarks.peers.standin import StandIn
from benchmarks.peers.tool import PATIENCE, Cost, Setting
from benchmarks.peers.world import World
from benchmarks.report import require
from sync.app import system_clock
from sync.store.types import from_micros, to_micros

OURS: Final = "personas-sync"

CREEPING: Final = 1_000
RUNNING: Final = 1_000_000
"""Paces of the service's clock, in microseconds a second."""

AFTERWARDS: Final = 0.2
"""Seconds after the end of a sync whose work is counted, too."""

PASSED: Final = 0.1
"""Seconds after which a tick that has found nothing has passed; most are not written down."""

_DEFINITIONS: Final = f"""\
audiences:
  - name: {ORDERED.definition.name}
    key: {ORDERED.definition.key}
    query: {ORDERED.definition.query}
    every: 1 second
    guard: off
    enabled: {{enabled}}
"""

_TABLES: Final = ("memberships", "claims", "changes", "runs", "audiences", "deliveries", "lanes", "leases", "heartbeats")

_STANDS: Final = "SELECT true FROM heartbeats"
_LAST_ASKED: Final = """
SELECT extract(epoch FROM max(state_change)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_SETTLED: Final = """
SELECT computed_at >= %s AND NOT EXISTS (SELECT 1 FROM memberships WHERE state NOT IN ('settled', 'rejected')) FROM audiences
"""


class Ours:
    """The running service."""

    name = OURS

    def __init__(self, world: World, poll: psycopg.Connection[Any], server: Server, folder: Path) -> None:
        """`poll` is a connection whose work the server's does not count."""
        self._world, self._poll, self._server = world, poll, server
        self._folder = folder / "ours"
        self._folder.mkdir()
        self._service: subprocess.Popen[str] | None = None
        self._standin: StandIn | None = None

    def begin(self, setting: Setting) -> StandIn:
        self.end()
        with self._world.store.writing() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(_TABLES)} CASCADE"))
        self._setting, self._standin = setting, StandIn(ORDERED.definition.key)
        self._standin.behave(latency=setting.latency)
        self._define(enabled=False)
        self._launch()
        self._is_new = True
        return self._standin

    def start(self, *, with_faults: bool = False) -> None:
        if with_faults or self._service is None:
            self._start_anew()
            return
        service, self._launched = self._running(), None
        forget_peak(service.pid)
        self._cpu, self._before = of_process(service.pid), self._server.seconds()
        self._set(CREEPING)
        if self._is_new:
            self._define(enabled=True)
            self._is_new = False

    def finish(self) -> Cost:
        service = self._running()
        ended = self._settled()
        time.sleep(AFTERWARDS)
        return Cost(
            seconds=ended - (self._launched or self._began()),
            cpu_seconds=of_process(service.pid) - self._cpu,
            server_seconds=self._server.seconds() - self._before,
            peak_bytes=peak_of(service.pid),
        )

    def idle(self, times: int) -> Cost:
        """Let the service run for so many seconds, in which it computes as often."""
        service = self._running()
        self._set(RUNNING)
        # The slot of the second in which the clock was set may be taken already.
        time.sleep(1)
        forget_peak(service.pid)
        cpu, server, began = of_process(service.pid), self._server.seconds(), _next_second()
        seconds = [self._tick(began + number) for number in range(times)]
        time.sleep(max(0.0, began + times - time.monotonic()))
        told = Cost(
            seconds=statistics.median(seconds),
            cpu_seconds=(of_process(service.pid) - cpu) / times,
            server_seconds=(self._server.seconds() - server) / times,
            peak_bytes=peak_of(service.pid),
        )
        self._world.move_to(self.instant())
        self._set(CREEPING)
        return told

    def instant(self) -> datetime:
        found = self._poll.execute("SELECT computed_at FROM audiences").fetchone()
        assert found is not None, "it is defined"
        return from_micros(found[0])

    def kill(self) -> None:
        self._running().kill()
        self._forget_service()

    def mend(self) -> None:
        command = [sys.executable, "-m", "sync", "deliveries", "retry", "--all"]
        done = subprocess.run(command, cwd=self._folder, env=self._environment(), capture_output=True, text=True, check=False)
        require(done.returncode == 0, f"deliveries retry ended with {done.returncode}: {done.stderr[-2000:]}")

    def state_bytes(self) -> int:
        statement = text("SELECT sum(pg_total_relation_size(name::regclass))::bigint FROM unnest(CAST(:names AS text[])) AS name")
        with self._world.store.reading() as connection:
            return int(connection.execute(statement, {"names": [*_TABLES]}).scalar_one())

    def end(self) -> None:
        if self._service is not None:
            self._service.terminate()
            self._forget_service()
        if self._standin is not None:
            self._standin.stop()
            self._standin = None

    def _start_anew(self) -> None:
        """Sync by a service that begins as of the world's instant, with a clock that runs: what waits does so by that clock."""
        if self._service is not None:
            self._service.terminate()
            self._forget_service()
        self._cpu, self._before, self._launched = 0.0, self._server.seconds(), time.monotonic()
        self._launch(RUNNING)

    # ── the process ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _launch(self, pace: int = CREEPING) -> None:
        command = [sys.executable, "-m", "benchmarks.peers.our_service"]
        with (self._folder / "log").open("ab") as log:
            self._service = subprocess.Popen(
                command, cwd=self._folder, env=self._environment(), stdin=PIPE, stdout=PIPE, stderr=log, text=True
            )
        self._set(pace)
        _until(lambda: self._asked(_STANDS), "the service has begun")

    def _running(self) -> subprocess.Popen[str]:
        require(self._service is not None and self._service.poll() is None, f"the service has ended; see {self._folder / 'log'}")
        assert self._service is not None, "it was launched"
        return self._service

    def _forget_service(self) -> None:
        assert self._service is not None, "it was launched"
        self._service.wait(PATIENCE)
        for pipe in (self._service.stdin, self._service.stdout):
            assert pipe is not None, "they are pipes"
            pipe.close()
        self._service = None

    def _set(self, pace: int) -> None:
        """Set the service's clock to the world's instant, from which it goes on at a pace."""
        service, micros = self._running(), to_micros(self._world.now)
        assert service.stdin is not None, "it is a pipe"
        assert service.stdout is not None, "it is a pipe"
        service.stdin.write(f"{pace} {micros}\n")
        service.stdin.flush()
        self._clock = micros, pace, float(service.stdout.readline())

    def _environment(self) -> dict[str, str]:
        assert self._standin is not None, "it has begun"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SYNC_")}
        setting = {"SYNC_MOESIF_BATCH": self._setting.batch, "SYNC_MOESIF_CONNECTIONS": self._setting.connections}
        return {
            **kept,
            **{name: str(value) for name, value in setting.items() if value is not None},
            "SYNC_DATABASE_URL": self._world.url,
            "SYNC_MOESIF_URL": self._standin.url,
            "SYNC_MOESIF_APPLICATION_ID": "benchmark",
            "PYTHONPATH": str(ROOT),
        }

    # ── when ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _define(self, *, enabled: bool) -> None:
        text = _DEFINITIONS.format(enabled=str(enabled).lower())
        new = self._folder / "personas.new"
        new.write_text(text, encoding="utf-8")
        new.replace(self._folder / "personas.yaml")

    def _began(self) -> float:
        """Return when the run began that the clock's last setting brought about; the setting itself, where nothing changed."""
        micros, pace, at = self._clock
        found = self._poll.execute("SELECT min(started_at) FROM runs WHERE started_at >= %s", (micros,)).fetchone()
        return at if found is None or found[0] is None else at + (found[0] - micros) / pace

    def _settled(self) -> float:
        """Return when everything that the world's instant brings about had been answered."""
        return _until(lambda: self._asked(_SETTLED, to_micros(self._world.now)), "everything is settled")

    def _tick(self, due: float) -> float:
        """Return how long after it was due the service had asked the database the last thing, where there was nothing to find."""
        second = round(system_clock().timestamp() + due - time.monotonic())
        time.sleep(max(0.0, due + PASSED - time.monotonic()))
        # On a busy machine it may not have begun by then.
        _until(lambda: self._last_asked() > second, "a tick has begun")
        return self._last_asked() - second

    def _last_asked(self) -> float:
        """Return when anybody last ended a question to the database, in seconds since 1970."""
        found = self._poll.execute(_LAST_ASKED).fetchone()
        assert found is not None, "it is connected"
        return float(found[0])

    def _asked(self, question: LiteralString, *values: int) -> bool:
        row = self._poll.execute(question, values).fetchone()
        return row is not None and bool(row[0])


def _until(holds: Callable[[], bool], what: str) -> float:
    """Ask often at first and ever less often; return when it held."""
    began = time.monotonic()
    while not holds():
        waited = time.monotonic() - began
        require(waited < PATIENCE, f"waited {PATIENCE:.0f} s in vain until {what}")
        time.sleep(max(0.001, waited / 50))
    return time.monotonic()


def _next_second() -> float:
    """Return when the machine's clock begins its next second, by the monotonic one."""
    return time.monotonic() + 1 - system_clock().microsecond / 1_000_000
