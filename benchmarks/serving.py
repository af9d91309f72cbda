"""Servers in processes of their own: `personas-sync serve`, and one of the same make whose handler does nothing.

    python -m benchmarks.serving

is the latter: `POST /empty` reads the request and answers as ingest does. It has everything around the handler that the real one
has.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.machine import ROOT
from benchmarks.report import Wrong
from sync.app import system_clock
from sync.web import Door, Health, Server, create_app


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    port: int
    pid: int

    def memory(self) -> int | None:
        """Return how many bytes it has in memory now; None where the system does not tell as Linux does."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return None
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else None


@contextmanager
def serving(url: str) -> Iterator[Running]:
    """Run the real server on a store."""
    with _started("sync", "serve", "--only", "web", "--port", "0", SYNC_DATABASE_URL=url) as running:
        yield running


@contextmanager
def serving_all(url: str, destination: str, definitions: Path, spool: Path) -> Iterator[Running]:
    """Run the real server with everything that it does: take calls in, with a spool, compute, and send."""
    settings = {
        "SYNC_DATABASE_URL": url,
        "SYNC_MOESIF_URL": destination,
        "SYNC_MOESIF_APPLICATION_ID": "benchmark",
        "SYNC_DEFINITIONS": str(definitions),
        "SYNC_SPOOL": str(spool),
    }
    with _started("sync", "serve", "--port", "0", **settings) as running:
        yield running


@contextmanager
def serving_nothing() -> Iterator[Running]:
    """Run a server whose handler does nothing."""
    with _started("benchmarks.serving") as running:
        yield running


@contextmanager
def _started(*words: str, **settings: str) -> Iterator[Running]:
    # Nothing of whoever runs the benchmark: their settings, and their .env in the working directory.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SYNC_")}
    with (
        tempfile.TemporaryDirectory(prefix="personas-sync-") as folder,
        subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=folder,
            env={**kept, **settings, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            yield Running(_port(process), process.pid)
        finally:
            process.terminate()


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None, "it is a pipe"
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"listens on http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise Wrong(f"the server did not start: {''.join(said)[-2000:]}")


async def _empty(request: Request) -> Response:
    await request.body()
    return Response(b'{"success":true}', media_type="application/json")


def _serve_nothing() -> None:
    door = Door(accept=lambda _batch: None, clock=system_clock, health=lambda: Health(ready=True))
    app = create_app(door, [Route("/empty", _empty, methods=["POST"])])
    server = Server(app, host="127.0.0.1", port=0)
    server.run(lambda port: print(f"listens on http://127.0.0.1:{port}", file=sys.stderr, flush=True))


if __name__ == "__main__":
    _serve_nothing()
