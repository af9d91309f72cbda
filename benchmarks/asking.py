"""Somebody who reads a store for long: one transaction, in which an audience's query is asked over everyone again and again.

    python -m benchmarks.asking URL SECONDS [--idle]

prints a line once the first answer is there, and another one with how many there were when it is over. That is what a query that
takes so long does: it keeps a processor busy, and SQLite's write-ahead log from beginning anew. With --idle it asks once and then
holds its transaction open, as a forgotten shell does. In one transaction every answer must be the same. A process of its own, as
a command beside a service is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Select

from benchmarks.audiences import REVENUE
from benchmarks.databases import opened
from benchmarks.machine import ROOT
from benchmarks.report import require, require_equal
from sync.app import system_clock
from sync.language.parse import parse_audience
from sync.store import ledger
from sync.store.compiler import compile_audience


@contextmanager
def asking(url: str, seconds: float, *, idle: bool) -> Iterator[subprocess.Popen[str]]:
    """Let somebody begin to read, from another process, and wait until they do."""
    command = [sys.executable, "-m", "benchmarks.asking", url, str(seconds), *(["--idle"] if idle else [])]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None, "it is a pipe"
        try:
            require(bool(process.stdout.readline()), "whoever is to read did not begin")
            yield process
        finally:
            process.terminate()


def answers_of(process: subprocess.Popen[str]) -> int:
    """Wait until it is over, and return how many answers there were."""
    told, _ = process.communicate()
    require_equal("what whoever read ended with", process.returncode, 0)
    return int(told)


def _ask(url: str, seconds: float, *, idle: bool) -> int:
    found = compile_audience(parse_audience(REVENUE.definition.query), system_clock())
    with opened(url) as store, store.snapshot() as connection:
        first, answers, until = _size(connection, found), 1, time.monotonic() + seconds
        print(first, flush=True)
        while (left := until - time.monotonic()) > 0:
            if idle:
                time.sleep(left)
            require_equal("the same question in one transaction", _size(connection, found), first)
            answers += 1
    return answers


def _size(connection: Connection, found: Select[Any]) -> int:
    size, _ = ledger.preview(connection, found, 1)
    return size


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asking", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--idle", action="store_true")
    arguments = parser.parse_args()
    print(_ask(arguments.url, arguments.seconds, idle=arguments.idle))


if __name__ == "__main__":
    _main()
