"""The part of the benchmark `compute` that pushes every user once: `personas-sync sync` in a process of its own, for its memory.

The audience is everybody, so that as many are pushed as there are users. The stand-in is another process; it is asked afterwards
what it holds.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import ROOT
from benchmarks.report import Report, require, require_equal
from benchmarks.shop import Shop

EVERYBODY: Final = "everybody"
SAMPLE: Final = 1000
"""Of how many users the stand-in is asked what it holds."""

_DEFINITIONS: Final = """\
audiences:
  - name: {name}
    key: {key}
    query: {query}
    every: 1 second
  - name: Everybody
    key: {everybody}
    query: event('Never').count() = 0
    every: 1 day
"""

_STANDIN: Final = "from sync.standin import run; run('127.0.0.1', 0, ready=lambda url: print(url, flush=True))"


def measure(report: Report, shop: Shop, url: str) -> None:
    with tempfile.TemporaryDirectory(prefix="personas-sync-") as folder, _standin() as standin:
        Path(folder, "personas.yaml").write_text(_definitions(shop), encoding="utf-8")
        with report.timing("push: everybody, once").once():
            told = _pushed(Path(folder), {"SYNC_DATABASE_URL": url, "SYNC_MOESIF_URL": standin})
        peak = json.loads(Path(folder, "cost").read_text(encoding="utf-8"))["peak_bytes"]
        _require_all(shop, told, standin)
    report.facts["requests of the push"] = told["requests"]
    report.must("memory of the first push of everybody, most", peak / 2**20, unit="MB", most=200)


def _definitions(shop: Shop) -> str:
    asked = shop.asked.definition
    return _DEFINITIONS.format(name=asked.name, key=asked.key, query=asked.query, everybody=EVERYBODY)


def _pushed(folder: Path, settings: dict[str, str]) -> dict[str, Any]:
    # Nothing of whoever runs the benchmark: their settings, and their .env in the working directory.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SYNC_")}
    environment = {**kept, **settings, "SYNC_MOESIF_APPLICATION_ID": "benchmark", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.cost", "cost", sys.executable, "-m", "sync", "sync", EVERYBODY, "--json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"the push ended with {done.returncode}: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _require_all(shop: Shop, told: dict[str, Any], standin: str) -> None:
    run = told["runs"][0]
    require_equal("users pushed, and accepted", (run["entered"], run["accepted"], told["still_owed"]), (shop.users, shop.users, 0))
    require_equal("users that the stand-in took", _asked(standin, "requests")["users"]["rows"], shop.users)
    for id in random.Random(4).choices(range(1, shop.users + 1), k=SAMPLE):
        held = _asked(standin, f"users/user-{id}")
        require_equal(f"what the stand-in holds of user {id}", held["metadata"].get(EVERYBODY), True)


def _asked(standin: str, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{standin}/_standin/{path}") as answer:
        told: dict[str, Any] = json.load(answer)
        return told


@contextmanager
def _standin() -> Iterator[str]:
    """Run a stand-in in a process of its own, and yield its URL."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", _STANDIN], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None, "it is a pipe"
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
