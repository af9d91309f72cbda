"""The stand-in as a benchmark sees it: a process that is started, told how to behave, and asked what it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.peers.processors import of_process

QUIET = 600.0
"""Seconds without an answer after which a question has failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What was asked of it, as it counted."""

    requests: int
    refused: int
    rows: int
    repeated: int


class StandIn:
    """One stand-in for one tool. Ends with `stop`."""

    def __init__(self, key: str) -> None:
        command = [sys.executable, "-m", "benchmarks.peers.standin_server", key]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None, "it is a pipe"
        self.url = self._process.stdout.readline().strip()

    def cpu_seconds(self) -> float:
        """Return how long processors have worked for it."""
        return of_process(self._process.pid)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None, "it is a pipe"
        self._process.stdout.close()

    def behave(self, *, latency: float = 0.0, refused: Iterable[str] = (), held: int = 0, held_seconds: float = 30.0) -> None:
        """Answer so from now on."""
        told = {"latency_seconds": latency, "refused": [*refused], "held": held, "held_seconds": held_seconds}
        self._ask("PUT", "behaviour", json.dumps(told).encode())

    def count_anew(self) -> None:
        self._ask("DELETE", "counts")

    def counts(self) -> Counts:
        return Counts(**self._ask("GET", "counts"))

    def wait_for(self, rows: int) -> None:
        """Return once so many rows were taken since it was told to count anew."""
        self._ask("GET", f"taken?rows={rows}")

    def members(self) -> frozenset[str]:
        """Return whom it holds to be in."""
        return frozenset(self._ask("GET", "held")["true"])

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{self.url}/_told/{path}", body, method=method)
        with urllib.request.urlopen(request, timeout=QUIET) as answer:
            return json.load(answer)
