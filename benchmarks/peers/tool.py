"""A tool that is measured, as the benchmark handles it: begun anew, told to sync, killed, and asked how much it keeps.

Knows how a tool that a clock starts is run: a process for each sync, its start included in what it costs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import text

from benchmarks.audiences import ORDERED
from benchmarks.databases import programs
from benchmarks.machine import ROOT
from benchmarks.peers.environments import Environment
from benchmarks.peers.processors import Server
from benchmarks.peers.standin import StandIn
from benchmarks.peers.world import World

_HERE: Final = Path(__file__).parent

PATIENCE: Final = 900.0
"""Seconds after which a sync has failed."""


_TABLE_BYTES: Final = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
FROM pg_class WHERE relnamespace = to_regnamespace(:schema) AND relkind = 'r'
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """How all tools are set, as far as they can be."""

    name: str
    latency: float
    """Seconds that the stand-in lets pass before it answers."""
    batch: int | None
    """Users in a request; None is the tool's own default."""
    connections: int | None
    """Requests at a time; None is the tool's own default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a sync took: of its own processes, and of the database server."""

    seconds: float
    cpu_seconds: float
    server_seconds: float
    peak_bytes: int


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each thing; of memory, the most."""
    return Cost(
        seconds=statistics.median(cost.seconds for cost in costs),
        cpu_seconds=statistics.median(cost.cpu_seconds for cost in costs),
        server_seconds=statistics.median(cost.server_seconds for cost in costs),
        peak_bytes=max(cost.peak_bytes for cost in costs),
    )


class Tool(Protocol):
    """What is measured."""

    name: str

    def begin(self, setting: Setting) -> StandIn:
        """Be as on the first day, and return a stand-in that holds nothing."""

    def start(self, *, with_faults: bool = False) -> None:
        """Begin a sync as of the world's instant; `with_faults` if something may have to be waited for and tried again."""

    def finish(self) -> Cost:
        """Wait until the sync has ended, whether or not everything was accepted."""

    def idle(self, times: int) -> Cost:
        """Sync so many times where nothing has changed, and return what one of them took."""

    def instant(self) -> datetime:
        """Return as of when the last sync was."""

    def kill(self) -> None:
        """End the sync that was started, without a word to it."""

    def mend(self) -> None:
        """Do what a person does after rejected users were mended, beside waiting for the next sync."""

    def state_bytes(self) -> int:
        """Return how much the tool keeps on disk, the events aside."""

    def end(self) -> None:
        """End all that runs."""


class Scheduled:
    """A tool that cron starts: a command in a folder of its own, told everything by its environment."""

    def __init__(
        self, name: str, command: Sequence[str], world: World, server: Server, environment: Environment, folder: Path
    ) -> None:
        self.name = name
        self._command, self._python = command, environment
        self._world, self._server = world, server
        self._folder = folder / name
        self._standin: StandIn | None = None

    def begin(self, setting: Setting) -> StandIn:
        self.end()
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(_HERE / "sql", self._folder)
        shutil.copytree(_HERE / self.name, self._folder, dirs_exist_ok=True)
        self._unused = _size(self._folder)
        with self._world.store.writing() as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {self.name} CASCADE"))
            connection.execute(text(f"CREATE SCHEMA {self.name}"))
        self._setting, self._standin = setting, StandIn(ORDERED.definition.key)
        self._standin.behave(latency=setting.latency)
        return self._standin

    def start(self, *, with_faults: bool = False) -> None:
        self._instant = self._world.now
        command = [sys.executable, str(ROOT / "benchmarks" / "cost.py"), "cost.json", *self._command]
        self._before = self._server.seconds()
        log = (self._folder / "log").open("ab")
        # A session of its own, so that all of it can be killed.
        self._process = subprocess.Popen(
            command, cwd=self._folder, env=self._environment(), stdout=log, stderr=log, start_new_session=True
        )
        log.close()

    def finish(self) -> Cost:
        code = self._process.wait(PATIENCE)
        if code:
            print(f"{self.name} ended with {code}: {self._last_words()}", file=sys.stderr)
        server = self._server.seconds() - self._before
        told = json.loads((self._folder / "cost.json").read_text(encoding="utf-8"))
        return Cost(server_seconds=server, **told)

    def idle(self, times: int) -> Cost:
        return median([self._once() for _ in range(times)])

    def instant(self) -> datetime:
        return self._instant

    def kill(self) -> None:
        # The sync may be over by now.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def mend(self) -> None:
        """Do what the tool's folder has for that; by most nothing is done, since the next sync tries again."""
        if (self._folder / "mend.sh").exists():
            subprocess.run(["./mend.sh"], cwd=self._folder, env=self._environment(), check=False)

    def state_bytes(self) -> int:
        with self._world.store.reading() as connection:
            tables = connection.execute(text(_TABLE_BYTES), {"schema": self.name}).scalar_one()
        return int(tables) + _size(self._folder) - self._unused

    def end(self) -> None:
        if self._standin is not None:
            self._standin.stop()
            self._standin = None

    def _last_words(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")[-300:]

    def _once(self) -> Cost:
        self.start()
        return self.finish()

    def _environment(self) -> Mapping[str, str]:
        assert self._standin is not None, "it has begun"
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TZ")}
        setting = {"BATCH": self._setting.batch, "CONNECTIONS": self._setting.connections}
        return {
            **kept,
            **{name: str(value) for name, value in setting.items() if value is not None},
            "HOME": str(self._folder),
            "PATH": f"{self._python.folder}:{programs() or ''}:{kept.get('PATH', '')}",
            "SHOP_URL": self._world.libpq_url(),
            **self._world.libpq_environment(),
            # A schema for each tool, so that none needs to name its own.
            "PGOPTIONS": f"-c search_path={self.name}",
            "NOW": self._world.now.isoformat(),
            "MOESIF_URL": self._standin.url,
        }


def _size(folder: Path) -> int:
    ours = {"log", "cost.json"}
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name not in ours)
