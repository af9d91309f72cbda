"""Starts the program that it is beside, as often as it is told to: once it is imported, each start takes no time.

Each line of standard input is a command; standard output has its process, or its exit code where that is to be waited for.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import psycopg  # noqa: F401 - so that no child has to
import uvicorn.protocols.http.h11_impl  # noqa: F401

import sync.importing
import sync.serve  # noqa: F401
from sync.cli import main


def become(words: list[str], folder: str, environ: dict[str, str]) -> None:
    """Be the program, to the end."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    code: Any = 70
    try:
        main(words)
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)


for line in sys.stdin:
    wanted = json.loads(line)
    wait = wanted.pop("wait")
    process = os.fork()
    if not process:
        become(**wanted)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) if wait else process, flush=True)
