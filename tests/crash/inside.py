"""What goes on inside of a process that is to be killed: the real program, in a folder of its own.

Such a process is forked from one that has imported everything, so that a hundred of them can be started in half a minute.
"""

from __future__ import annotations

import ctypes
import faulthandler
import itertools
import logging
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from sync.app import Durations, opened
from sync.cli import main
from sync.cli.logs import log_to_stderr
from sync.cli.output import note
from sync.serve import Part, serve
from sync.settings import from_folder
from sync.store.schema import claims

WHERE_ARE_YOU: Final = signal.SIGUSR1
"""Has a worker write down what its threads are at."""
LOSE_THE_SCHEDULER: Final = signal.SIGUSR2
"""Has the thread die of one that `serve_until_silent` runs."""


def command(
    arguments: tuple[str, ...], folder: Path, environ: Mapping[str, str], dies_at: int | None, steps: Path, at_commits: bool
) -> None:
    """Type one command, and die at its n-th step, of those around commits alone if so wanted; without a number, count the steps."""
    _settle_in(folder, environ)
    if dies_at is None:
        _count(steps)
    else:
        die_at(dies_at, at_commits=at_commits)
    main(arguments)


def serve_until_silent(folder: Path, environ: Mapping[str, str], durations: Durations) -> None:
    """Do what `serve` does, until a signal has the scheduler's thread die, as by an error of APScheduler's own."""
    _settle_in(folder, environ)
    signal.signal(LOSE_THE_SCHEDULER, lambda *_: threading.Thread(target=_end_scheduler).start())
    settings = from_folder(os.environ, folder)
    log_to_stderr(logging.INFO, settings.log_format)
    with opened(settings) as app:
        serve(replace(app, durations=durations), None, note)


def _end_scheduler() -> None:
    """Raise something in its thread, which it meets when it is woken next; again, where a job's submission has met it."""
    [thread] = [one for one in threading.enumerate() if one.name == "APScheduler"]
    while thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
        thread.join(2)
    note("the scheduler's thread has died")


def work(folder: Path, environ: Mapping[str, str], durations: Durations, stops_at: int | None, stops_with: int | None) -> None:
    """Do what `serve --only worker` does, with rights that end soon; stop as if a hypervisor had stopped the machine.

    It stops at its n-th step once it works, or with what its n-th claim gave it in hand.
    """
    _settle_in(folder, environ)
    # For one that does not end: what each of its threads is at, whoever has the interpreter.
    faulthandler.register(WHERE_ARE_YOU)
    settings = from_folder(os.environ, folder)
    log_to_stderr(logging.INFO, settings.log_format)
    with opened(settings) as app:
        if not app.store.on_sqlite:
            _end_idle_transactions(app.store.engine, durations)

        def ready(line: str) -> None:
            note(line)
            if stops_at is not None:
                die_at(stops_at, signal.SIGSTOP)
            if stops_with is not None:
                _stop_with_claim(stops_with)

        serve(replace(app, durations=durations), Part.WORKER, ready)


def _end_idle_transactions(engine: Engine, durations: Durations) -> None:
    """Let the locks of one that was stopped within a transaction go as soon as its rights do."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.execute(f"SET idle_in_transaction_session_timeout = '{durations.leading.total_seconds():.0f}s'")
        connection.commit()


def die_at(step: int, how: signal.Signals = signal.SIGKILL, *, at_commits: bool = False) -> None:
    """Let the process kill itself at its n-th step from now on, or do something else to itself.

    A step is what a database's transactions are made of: before and after a statement, before a commit, and before the connection
    goes back, which is after the commit. Those around commits are fewer, and what is stored is not the same at any two of them.
    """
    count = itertools.count(1)

    def taken(*_: Any, **__: Any) -> None:
        if next(count) == step:
            os.kill(os.getpid(), how)

    if at_commits:
        _around_each_commit(taken)
    else:
        _at_each_step(taken)


def _stop_with_claim(number: int) -> None:
    """Let the process stop once its n-th transaction that took anything has been committed, and nothing of it been sent."""
    count, here = itertools.count(1), threading.local()

    def executed(_connection: Any, cursor: Any, statement: str, told: Any, *_: Any) -> None:
        takes_calls = statement.startswith("UPDATE deliveries") and "attempts + " in statement and cursor.rowcount
        # Their rows go by COPY, which no event tells of.
        makes_claims = "nextval" in statement and claims.name in told.values() and told["number"]
        if takes_calls or makes_claims:
            here.has_claimed = True

    def returned(*_: Any) -> None:
        if getattr(here, "has_claimed", False):
            here.has_claimed = False
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGSTOP)

    event.listen(Engine, "after_cursor_execute", executed)
    event.listen(Pool, "checkin", returned)


def _count(steps: Path) -> None:
    count = itertools.count(1)
    _at_each_step(lambda *_, **__: steps.write_text(str(next(count)), encoding="ascii"))


def _at_each_step(taken: Any) -> None:
    for target, names in ((Engine, ("before_cursor_execute", "after_cursor_execute", "commit")), (Pool, ("checkin",))):
        for name in names:
            event.listen(target, name, taken)


def _around_each_commit(taken: Any) -> None:
    """Before each, and after it: when its connection goes back or begins the next transaction."""

    def ending(connection: Any) -> None:
        taken()
        connection.info["has_committed"] = True

    def going_on(connection: Any) -> None:
        if connection.info.pop("has_committed", False):
            taken()

    event.listen(Engine, "commit", ending)
    event.listen(Engine, "begin", going_on)
    event.listen(Pool, "checkin", lambda _connection, record: going_on(record))


def _settle_in(folder: Path, environ: Mapping[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    _say_in(folder / "log")
    faulthandler.enable()


def _say_in(path: Path) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
