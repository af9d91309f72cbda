"""Real processes of the program: started, killed, and started again in the same folder."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final, Self

from sync.app import Durations
from sync.moesif import Limits
from tests.crash import inside

_fork = multiprocessing.get_context("forkserver")
_fork.set_forkserver_preload(
    ["tests.crash.inside", "tests.crash.warm", "uvicorn.protocols.http.h11_impl", "psycopg", "sync.serve", "sync.importing"]
)

KEY = "app-1"
BATCH = 10
"""Items of a request."""

SOON: Final = Durations(
    exchange=Limits(connect=0.5, read=1.0, total=1.5),
    margin=timedelta(seconds=2),
    sending=timedelta(seconds=4),
    leading=timedelta(seconds=3),
)
"""Rights that others can take over after seconds, where one must not wait for that."""

DEFINITIONS = """\
defaults: {every: 1 second, guard: off}
audiences:
  - name: Active
    query: trait('on') = true
  - name: Regulars
    query: event('Order Completed').count() >= 20 AND trait('on') = true
computed_traits:
  - name: Orders
    query: event('Order Completed').count()
"""


@dataclass
class Service:
    """A process that serves."""

    process: ForkServerProcess
    url: str

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def stop(self) -> int | None:
        self.process.terminate()
        self.process.join(30)
        return self.process.exitcode


@dataclass
class Folder:
    """Where the program lives: settings, definitions, and a log of all that it says."""

    path: Path
    environ: dict[str, str]
    processes: list[ForkServerProcess] = field(default_factory=list)

    @classmethod
    def made(cls, path: Path, database_url: str, moesif_url: str) -> Self:
        """Make a folder with definitions, and settings for a store and Moesif."""
        path.mkdir()
        (path / "personas.yaml").write_text(DEFINITIONS, encoding="utf-8")
        environ = {
            "SYNC_DATABASE_URL": database_url,
            "SYNC_MOESIF_URL": moesif_url,
            "SYNC_MOESIF_APPLICATION_ID": KEY,
            "SYNC_MOESIF_BATCH": str(BATCH),
            "SYNC_PORT": "0",
        }
        return cls(path, environ)

    def serve(self, *options: str) -> Service:
        """Start to serve, and return once it does."""
        said = len(self.log())
        return self._listening(self.start("serve", *options), said)

    def serve_until_silent(self, durations: Durations) -> Service:
        """Start to serve as one whose scheduler can be made to die, and return once it does."""
        said = len(self.log())
        given = (self.path, self._surroundings(), durations)
        return self._listening(self._started(_fork.Process(target=inside.serve_until_silent, args=given, daemon=True)), said)

    def work(self, stops_at: int | None = None, stops_with: int | None = None) -> Service:
        """Start a worker, several of which share what there is to do, and return once it works."""
        said = len(self.log())
        given = (self.path, self._surroundings(), SOON, stops_at, stops_with)
        process = self._started(_fork.Process(target=inside.work, args=given, daemon=True))
        while "personas-sync works" not in self.log()[said:]:
            assert process.is_alive(), f"it did not start, {process.exitcode}: {self.log()[said:]}"
            time.sleep(0.01)
        return Service(process, "")

    def run(self, *arguments: str, dies_at: int | None = None, at_commits: bool = False, seconds: float = 60) -> int | None:
        """Run a command to its end, or to its death at a step, of those around commits or of all, and return its exit code."""
        process = self._process(arguments, dies_at, at_commits)
        process.join(seconds)
        return process.exitcode

    def start(self, *arguments: str, dies_at: int = 0) -> ForkServerProcess:
        """Start a command, to be killed from outside, or to die at a step."""
        return self._process(arguments, dies_at)

    def steps(self) -> int:
        """How many steps the command took that ran last, if it was not to die."""
        return int((self.path / "steps").read_text(encoding="ascii"))

    def log(self) -> str:
        path = self.path / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()

    def _listening(self, process: ForkServerProcess, said: int) -> Service:
        while "\npersonas-sync " not in (new := "\n" + self.log()[said:]):
            assert process.is_alive(), f"it did not start, {process.exitcode}: {new}"
            time.sleep(0.01)
        return Service(process, new.partition(" listens on ")[2].partition("\n")[0])

    def _process(self, arguments: tuple[str, ...], dies_at: int | None, at_commits: bool = False) -> ForkServerProcess:
        given = (arguments, self.path, self._surroundings(), dies_at, self.path / "steps", at_commits)
        return self._started(_fork.Process(target=inside.command, args=given, daemon=True))

    def _started(self, process: ForkServerProcess) -> ForkServerProcess:
        process.start()
        self.processes.append(process)
        return process

    def _surroundings(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SYNC_")}
        return kept | {"COLUMNS": "80", "TERM": "dumb"} | self.environ
