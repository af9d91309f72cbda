"""Serve: the HTTP door, the scheduler and delivery in one process, until SIGTERM or SIGINT.

Stopping goes from the outside in: no new calls, no new runs, and what is on its way to Moesif is finished; the rest stays owed.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Self

from starlette.applications import Starlette

from sync.app import SPOOL_AFTER, STALE, App
from sync.apply import apply
from sync.call import Incoming
from sync.errors import InputError, SchemaMismatch, SettingsError, SyncError, Unreachable
from sync.health import beats, health
from sync.ingest import accept
from sync.memory import frozen
from sync.purge import Retention, purge, require_room
from sync.scheduler import HEARTBEAT, Scheduler
from sync.send import Sender
from sync.settings import is_loopback
from sync.slots import next_slot
from sync.spool import Lying, Spool
from sync.stopping import until_told_to_stop
from sync.store import Store, audiences, served
from sync.store.figures import Figures, figures
from sync.web import Access, Api, ApiRoute, Door, Limits, Metrics, Program, Server, create_app, metrics_route

log = logging.getLogger(__name__)

LOOK_AT_FILE: Final = timedelta(seconds=2)
PURGE: Final = timedelta(hours=1)
WATCH: Final = 5.0
END_WITHIN: Final = 8.5
"""Seconds that what is under way has to end once this process is to stop; whoever supervises it often kills it after ten."""
LONGEST_WAIT: Final = timedelta(minutes=15)
"""For which calls wait in the spool for somebody who reads: longer than an operator lets pass without an alarm."""
LOOK_AGAIN: Final = 2.0
"""Seconds until it is looked again whether a store that was away at the start can be used."""


class Part(StrEnum):
    """What `--only` can leave a process with."""

    WEB = "web"
    WORKER = "worker"


def serve(app: App, only: Part | None, ready: Callable[[str], None]) -> None:
    """Serve until told to stop. `ready` is called with a line for people once everything runs.

    Raises SettingsError where the sources would be open to the network, another process serves the same SQLite file, or history
    be thrown away that is needed; SchemaMismatch and InvalidDefinitions at the start; a file that becomes invalid later is reported
    in the log and changes nothing.
    """
    _require_closed_door(app)
    wake, stop = threading.Event(), threading.Event()
    # The first to be entered, so that it is the last to be left.
    with _Ending() as ending, ExitStack() as stack:
        stack.enter_context(served.by_this_process(app.store))
        prepared = _prepared_if_it_can_be(app, only)
        if only is not Part.WEB:
            stack.enter_context(_working(app, wake, stop) if prepared else _working_later(app, wake, stop))
        stack.enter_context(frozen())
        if only is Part.WORKER:
            until_told_to_stop(lambda: ready("personas-sync works; no HTTP in this process"), stop)
        else:
            _serve_http(app, wake, ready, ending.begin)
        ending.begin()


class _Ending:
    """Lets what is under way end, but not for ever, and not once somebody has said a second time that it is to stop.

    What is cut off then is as after a crash, which loses nothing: a request on its way is unknown, a run did not take place.
    """

    def __init__(self) -> None:
        self._timer = threading.Timer(END_WITHIN, self._end, args=(0, "what was under way did not end in time"))
        self._timer.daemon = True
        self._kept: dict[signal.Signals, Any] = {}

    def begin(self) -> None:
        """Count the time from now, or, where that has been begun, still know what a second signal means. Main thread only."""
        if self._timer.ident is None:
            self._timer.start()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._kept[number] = signal.signal(number, lambda number, _: self._end(128 + number, "told so a second time"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for number, handler in self._kept.items():
            signal.signal(number, handler)

    def _end(self, code: int, why: str) -> None:
        try:
            log.warning("this process ends at once, %s; nothing is lost", why)
            logging.shutdown()
        finally:
            # Also where a signal came in the middle of writing a line, into which no other may be written.
            os._exit(code)


def _prepared_if_it_can_be(app: App, only: Part | None) -> bool:
    """Prepare for work, or return False where the store is away and the door can open all the same, since it has a spool."""
    if only is Part.WORKER or app.settings.spool is None:
        _prepare(app, only)
        return True
    try:
        # Senders wait meanwhile.
        with app.store.once_more(SPOOL_AFTER) as store:
            _prepare(replace(app, store=store), only)
    except SchemaMismatch:
        raise
    except Unreachable as error:
        log.warning("calls go to the spool until the store can be used: %s", error)
        return False
    return True


def _prepare(app: App, only: Part | None) -> None:
    app.store.require_current_schema()
    if only is not Part.WEB:
        load_definitions(app)
        _require_room(app)


def load_definitions(app: App) -> bool:
    """Make the store agree with the definitions file. Without a file nothing is computed, which is said; all else works."""
    if not app.settings.definitions.exists():
        log.warning("%s does not exist: calls are kept and forwarded, and no audience is computed", app.settings.definitions)
        return False
    changes = apply(app.store, app.definitions(), app.clock())
    for verb, keys in (
        ("added", [definition.key for definition in changes.added]),
        ("changed", [change.definition.key for change in changes.changed]),
        ("retired", [stored.key for stored in changes.retired]),
    ):
        if keys:
            log.info("definitions %s: %s", verb, ", ".join(keys))
    return bool(changes)


def _require_closed_door(app: App) -> None:
    if app.settings.write_keys is None and not is_loopback(app.settings.host):
        raise SettingsError(
            f"SYNC_WRITE_KEYS is not set and SYNC_HOST={app.settings.host} can be reached from the network: "
            "set SYNC_WRITE_KEYS to name=key,name=key, or listen on 127.0.0.1"
        )


def _require_room(app: App) -> None:
    """Raise SettingsError where history would be thrown away at which a definition looks, be it in a file or in the store only."""
    with app.store.reading() as connection:
        standing = audiences.standing(connection)
    require_room([one.definition for one in standing], Retention.of(app.settings))


def metrics_of(app: App, spool: Spool | None) -> Metrics:
    """Return what this process tells Prometheus, of its spool too if it has one."""
    return Metrics(lambda: _figures(app), app.clock, None if spool is None else lambda: spool.lying)


def http_app(app: App, metrics: Metrics, wake: Callable[[], None], store: Store, spool: Spool | None) -> Starlette:
    """Make the HTTP application; `wake` is called whenever something may be owed. Calls go to `store`, through a spool if any."""
    settings = app.settings

    def keep(batch: Sequence[Incoming]) -> None:
        if spool is not None and _can_wait(app, spool.lying):
            store.require_room(app.log_bytes)
        kept = accept(store, batch, app.mapping, app.clock())
        refused = sum(len(incoming.rejected) for incoming in batch)
        metrics.took_in(accepted=kept.accepted, duplicate=kept.duplicate, rejected=refused, suppressed=kept.suppressed)
        wake()

    take = keep if spool is None else spool.before(keep)
    # Where any key is taken there is one source, and nobody whom it could keep out.
    limits = Limits(source_rate=settings.source_rate if settings.write_keys else None)
    door = Door(
        accept=take,
        clock=app.clock,
        health=lambda: health(app, store, spool),
        sources=settings.write_keys,
        answered=metrics.answered,
        limited=metrics.limited,
        limits=limits,
    )
    access = Access(settings.api_token, on_loopback=is_loopback(settings.host))
    program = Program(
        store=app.store,
        clock=app.clock,
        mapping=app.mapping,
        space=settings.space,
        next_slot=next_slot,
        wake=wake,
        is_scheduled=lambda: beats(app, app.store),
    )
    return create_app(door, [metrics_route(metrics, access), ApiRoute(Api(program), access)])


def _can_wait(app: App, lying: Lying) -> bool:
    """Whether calls can wait in the spool for somebody who reads the store, so that its log does not grow.

    A larger log is better than calls that nothing computed knows of for long, or that are refused since the spool is full.
    """
    if lying.since is not None and app.clock() - lying.since > LONGEST_WAIT:
        return False
    return lying.bytes < app.settings.spool_megabytes * 1024 * 1024 // 2


def _serve_http(app: App, wake: threading.Event, ready: Callable[[str], None], stopping: Callable[[], None]) -> None:
    settings = app.settings
    with app.spooled() as (store, spool):
        metrics = metrics_of(app, spool)
        served = http_app(app, metrics, wake.set, store, spool)
        server = Server(served, host=settings.host, port=settings.port, answered=metrics.answered)
        server.run(lambda port: ready(f"personas-sync listens on http://{settings.host}:{port}"), stopping)


def _figures(app: App) -> Figures:
    with app.store.snapshot() as connection:
        return figures(connection, HEARTBEAT)


@contextmanager
def _working(app: App, wake: threading.Event, stop: threading.Event) -> Iterator[None]:
    """Compute and send in threads of their own."""
    scheduler = Scheduler(app.store, app.clock, wake.set, app.durations.leading, app.owner)
    scheduler.every(LOOK_AT_FILE, _file_watcher(app, scheduler))
    with ExitStack() as stack:
        silence = app.durations.silence
        watching = (scheduler.silence, stop, min(WATCH, silence.total_seconds() / 5), silence)
        threads = [threading.Thread(target=watch, args=watching, name="watchdog")]
        if retention := Retention.of(app.settings):
            # Not one of the scheduler's jobs: those that are no runs share a thread with its heart, which must go on beating.
            threads.append(threading.Thread(target=_keep_purging, args=(app, retention, stop), name="purge"))
        if app.settings.moesif_application_id is None:
            log.warning("SYNC_MOESIF_APPLICATION_ID is not set: everything is kept and owed, nothing is sent")
        else:
            sender = stack.enter_context(app.sender())
            threads.append(threading.Thread(target=_keep_sending, args=(sender, stop, wake), name="sender"))
        scheduler.start()
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            scheduler.stop()
            stop.set()
            wake.set()
            for thread in threads:
                thread.join()


@contextmanager
def _working_later(app: App, wake: threading.Event, stop: threading.Event) -> Iterator[None]:
    """Compute and send as soon as the store can be used."""
    thread = threading.Thread(target=_work_once_prepared, args=(app, wake, stop), name="preparing")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _work_once_prepared(app: App, wake: threading.Event, stop: threading.Event) -> None:
    prepared = False
    while not prepared and not stop.wait(LOOK_AGAIN):
        try:
            prepared = _prepared_if_it_can_be(app, None)
        except SyncError as error:
            log.critical("this process ends, since what it is to do cannot be done: %s", error)
            os.kill(os.getpid(), signal.SIGTERM)
            return
    if prepared:
        with _working(app, wake, stop):
            stop.wait()


def _keep_sending(sender: Sender, stop: threading.Event, wake: threading.Event) -> None:
    while not stop.is_set():
        try:
            sender.run(stop, wake)
        except SyncError as error:
            log.warning("sending has stopped for a moment: %s", error)
            stop.wait(1)
        except Exception:
            # A fault of ours. Giving up would let the debt grow without a word, so it is said loudly and tried again.
            log.exception("sending has failed and is begun anew")
            stop.wait(5)


def _keep_purging(app: App, retention: Retention, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            _purge(app, retention, stop)
        except SyncError as error:
            log.warning("history is not purged, which is tried again in an hour: %s", error)
        except Exception:
            log.exception("purging has failed and is tried again in an hour")
        stop.wait(PURGE.total_seconds())


def _purge(app: App, retention: Retention, stop: threading.Event) -> None:
    gone: Counter[str] = Counter()
    for step in purge(app.store, retention, app.clock(), stop.wait):
        gone[step.table] += step.rows
        if stop.is_set():
            break
    for table, rows in gone.items():
        log.info("purged %d of %s", rows, table)


def _file_watcher(app: App, scheduler: Scheduler) -> Callable[[], None]:
    seen = _stamp(app)

    def look() -> None:
        nonlocal seen
        stamp = _stamp(app)
        if stamp == seen:
            return
        seen = stamp
        try:
            if load_definitions(app):
                scheduler.rebuild()
        except InputError as error:
            log.error(  # noqa: TRY400 - a traceback would tell the user nothing
                "the definitions have faults, so those before stay in force: %s", error
            )
        except SyncError as error:
            log.warning("the definitions cannot be applied now: %s", error)
            seen = ()

    return look


def _stamp(app: App) -> tuple[tuple[str, int, int], ...]:
    path = app.settings.definitions
    files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path] if path.exists() else []
    return tuple((str(file), (status := file.stat()).st_mtime_ns, status.st_size) for file in files)


def watch(silence: Callable[[], float], stop: threading.Event, every: float = WATCH, stale: timedelta = STALE) -> None:
    """End the process when the scheduler's heart has stopped, so that whoever supervises it starts a new one.

    Not when the store cannot be told of it: a new process could not do so either, and calls may be going to the spool.
    """
    while not stop.wait(every):
        silent = silence()
        if silent >= stale.total_seconds():
            log.critical("the scheduler has been silent for %d seconds; this process ends so that it can be started anew", silent)
            os.kill(os.getpid(), signal.SIGTERM)
            return
