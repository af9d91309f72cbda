"""How long the command takes to start: `personas-sync --version`, `--help`, the help of a command, each in a process of its own.

Beside it how long Python takes to start and do nothing. Files are in the system's cache, as they are from the second time on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.machine import ROOT
from benchmarks.report import Report, require

PYTHON: Final = "python -c pass"
_WORDS: Final = {
    PYTHON: ("-c", "pass"),
    "personas-sync --version": ("-m", "sync", "--version"),
    "personas-sync --help": ("-m", "sync", "--help"),
    "personas-sync sync --help": ("-m", "sync", "sync", "--help"),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--times", type=int, default=11, metavar="N")


def run(arguments: argparse.Namespace, _urls: Iterator[str]) -> Report:
    """Start each command in turn, so many times."""
    report = Report(sizes={"times": arguments.times})
    timings = {name: report.timing(name) for name in _WORDS}
    for name, words in _WORDS.items():
        _started(name, words)
    for _ in range(arguments.times):
        for name, words in _WORDS.items():
            with timings[name].once():
                _started(name, words)
    for name, timing in timings.items():
        if name != PYTHON:
            report.must(name, timing.median * 1000, unit="ms", most=300)
    return report


def _started(name: str, words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"{name} ended with {done.returncode}: {done.stderr[-2000:]}")
