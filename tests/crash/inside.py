"""What goes on inside of a process that is to be killed: the real program, in a folder of its own.

Such a process is forked from one that has imported everything, so that a hundred of them can be started in half a minute.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from sync.cli import main


def command(arguments: tuple[str, ...], folder: Path, environ: Mapping[str, str], dies_at: int | None, steps: Path) -> None:
    """Type one command, and die at its n-th step; without a number, count the steps."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    _say_in(folder / "log")
    faulthandler.enable()
    if dies_at is None:
        _count(steps)
    else:
        die_at(dies_at)
    main(arguments)


def die_at(step: int) -> None:
    """Let the process kill itself at its n-th step from now on.

    A step is what a database's transactions are made of: before and after a statement, before a commit, and before the connection
    goes back, which is after the commit.
    """
    count = itertools.count(1)

    def taken(*_: Any, **__: Any) -> None:
        if next(count) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    _at_each_step(taken)


def _count(steps: Path) -> None:
    count = itertools.count(1)
    _at_each_step(lambda *_, **__: steps.write_text(str(next(count)), encoding="ascii"))


def _at_each_step(taken: Any) -> None:
    for target, names in ((Engine, ("before_cursor_execute", "after_cursor_execute", "commit")), (Pool, ("checkin",))):
        for name in names:
            event.listen(target, name, taken)


def _say_in(path: Path) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
