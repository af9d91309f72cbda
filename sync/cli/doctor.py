"""The command `doctor`: whether everything is as it must be, a line for each thing, and what to do where it is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import typer

from sync.cli.options import JsonFlag
from sync.cli.output import clean, count, say, say_json, shown_at
from sync.cli.session import settings
from sync.errors import InputError, SettingsError, SyncError, Unreachable

if TYPE_CHECKING:
    from sync.app import App
    from sync.settings import Settings

SLACK: Final = timedelta(minutes=2)
"""How far back the clock may be of a call that came in before it is worth a word."""

APART: Final = timedelta(seconds=2)
"""How far this machine's clock may be from the database's, by which processes on several machines are to agree."""


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARN = "warn"
    FAULT = "fault"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What was found about one thing."""

    name: str
    state: State
    message: str
    advice: str = ""
    exit_code: int = 0


def doctor(json: JsonFlag = False) -> None:
    """Look at settings, store, schema, definitions, key, Moesif and clock; say what to do about each fault.

    The exit code is that of the gravest fault: 5 something cannot be reached, 3 a setting, 2 a definition.
    """
    findings = []
    for finding in _examined():
        findings.append(finding)
        if not json:
            advice = f"\n       {finding.advice}" if finding.advice else ""
            say(f"{finding.state:<5}  {finding.name}: {clean(finding.message)}{advice}")
    if json:
        checks = [
            {"name": one.name, "state": one.state.value, "message": one.message, "advice": one.advice or None} for one in findings
        ]
        say_json({"ok": all(one.state is not State.FAULT for one in findings), "checks": checks})
    raise typer.Exit(max(finding.exit_code for finding in findings))


def _examined() -> Iterator[Finding]:
    from sync.app import opened

    try:
        given = settings()
    except SettingsError as error:
        yield _fault("settings", str(error).replace("\n", " "), "personas-sync config shows the rest once this is mended", error)
        return
    state, message = (State.WARN, count(len(given.warnings), "warning") + ", above") if given.warnings else (State.OK, "in order")
    yield Finding(name="settings", state=state, message=message)
    with opened(given) as app:
        usable = False
        for finding in _store(app):
            usable = finding.state is not State.FAULT
            yield finding
        yield _definitions(app)
        yield _spool(given)
        yield from _moesif(app, given)
        if usable:
            yield looked_at_clock(app)


def _store(app: App) -> Iterator[Finding]:
    """Look at the store, then, if it can be used, at its schema."""
    from sync.store import migrate
    from sync.store.engine import OLDEST_SQLITE, has_mended_log

    if app.store.on_sqlite:
        oldest, version = ".".join(map(str, OLDEST_SQLITE)), sqlite3.sqlite_version_info
        rest = "" if has_mended_log(version) else "; 3.51.3 mended a rare fault that can damage a file: take it when you can"
        state = State.OK if version >= OLDEST_SQLITE else State.FAULT
        advice = "" if state is State.OK else f"use a Python with SQLite {oldest} or newer, or PostgreSQL"
        yield Finding(
            name="sqlite",
            state=state,
            message=f"version {sqlite3.sqlite_version}, {oldest} or newer is needed{rest}",
            advice=advice,
            exit_code=0 if state is State.OK else Unreachable.exit_code,
        )
    try:
        with app.store.snapshot() as connection:
            found = migrate.revision(connection)
        yield Finding(name="store", state=State.OK, message=app.store.name)
        app.store.require_current_schema()
    except SyncError as error:
        name = "schema" if type(error).__name__ == "SchemaMismatch" else "store"
        yield _fault(
            name, str(error), "" if name == "schema" else "look at SYNC_DATABASE_URL, and whether the database is up", error
        )
        return
    yield Finding(name="schema", state=State.OK, message=f"revision {found}")


def _definitions(app: App) -> Finding:
    path = app.settings.definitions
    if not path.exists():
        advice = "personas-sync init writes one; without it calls are kept and forwarded, and no audience is computed"
        return Finding(name="definitions", state=State.WARN, message=f"there is no {path}", advice=advice)
    try:
        found = app.definitions()
    except InputError as error:
        return _fault("definitions", str(error).replace("\n", " "), "personas-sync definitions check lists every fault", error)
    return Finding(name="definitions", state=State.OK, message=f"{count(len(found), 'definition')} in {path}")


def _spool(given: Settings) -> Finding:
    """Look whether calls could be written there, and whether some wait in files, of a process that serves or of one that died."""
    from sync.spool import SET_ASIDE, look, try_out

    folder = given.spool
    if folder is None:
        advice = "SYNC_SPOOL names a folder for calls that come while the store is away; without it their senders are told 503"
        return Finding(name="spool", state=State.OK, message="none", advice=advice)
    try:
        try_out(folder)
        found = look(folder)
    except OSError as error:
        wrong = SettingsError(f"SYNC_SPOOL: the folder {folder} cannot be used: {error.strerror}")
        return _fault("spool", str(wrong), "name a folder that serve may read and write", wrong)
    if found.set_aside:
        advice = "look why; to try them again stop serve, rename that file to 00000001.spool and start it, or remove it"
        message = f"{count(found.set_aside, 'request')} could not be read or stored and lie in {folder / SET_ASIDE}"
        return Finding(name="spool", state=State.WARN, message=message, advice=advice)
    if found.bytes:
        advice = "serve puts them into the store as soon as it can; is it running, and is the store up?"
        since = f" since {shown_at(found.since)}" if found.since else ""
        return Finding(name="spool", state=State.WARN, message=f"{count(found.calls, 'call')} in {folder}{since}", advice=advice)
    return Finding(name="spool", state=State.OK, message=f"{folder} is empty")


def _moesif(app: App, given: Settings) -> Iterator[Finding]:
    try:
        collector = app.collector()
    except SettingsError as error:
        yield _fault("key", str(error), "until then everything is kept and owed, and nothing is sent", error)
        return
    yield Finding(name="key", state=State.OK, message="set; only an update that is sent shows whether Moesif knows it")
    with collector:
        probe = collector.probe()
    where = f"{given.moesif_url} answers {probe.reason}"
    if probe.ok:
        yield Finding(name="moesif", state=State.OK, message=where)
        return
    advice = "look at SYNC_MOESIF_URL, and whether this machine may reach it; everything stays owed until then"
    message = f"{given.moesif_url}: {probe.reason}"
    yield Finding(name="moesif", state=State.FAULT, message=message, advice=advice, exit_code=Unreachable.exit_code)


def looked_at_clock(app: App) -> Finding:
    """Compare the clock with what the store has seen, before which it must not be, and with its server's if it has one."""
    from sync.store import lookup

    with app.store.snapshot() as connection:
        latest, now, server = lookup.latest_arrival(connection), app.clock(), lookup.server_clock(connection)
    if latest is not None and latest > now + SLACK:
        advice = "set this machine's clock by NTP; calls that arrive meanwhile get a wrong time"
        message = f"it is {shown_at(now)} here, but a call arrived at {shown_at(latest)}"
        return Finding(name="clock", state=State.WARN, message=message, advice=advice)
    if server is not None and abs(server - now) > APART:
        advice = "set both by NTP; of processes whose clocks are more than some seconds apart two may send about the same user"
        message = f"{abs(server - now).total_seconds():.0f} s {'behind' if server > now else 'ahead of'} the database's"
        return Finding(name="clock", state=State.WARN, message=message, advice=advice)
    return Finding(name="clock", state=State.OK, message=f"it is {shown_at(now)}")


def _fault(name: str, message: str, advice: str, error: SyncError) -> Finding:
    return Finding(name=name, state=State.FAULT, message=message, advice=advice, exit_code=error.exit_code)
