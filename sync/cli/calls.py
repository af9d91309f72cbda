"""The commands about calls: import, replay, rejected-calls."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.options import JsonFlag, Wait, limit_option, since_option, until_option
from sync.cli.output import Bar, age, clean, count, note, progress, say, say_json, table
from sync.cli.session import opened_app, require_key

if TYPE_CHECKING:
    from sync.app import App
    from sync.importing import Origin, Tally


def import_(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="JSON lines, .gz too; - is standard input.")],
    forward: Annotated[bool, typer.Option("--forward", help="Forward the calls to Moesif as well.")] = False,
    json: JsonFlag = False,
) -> None:
    """Take in Segment calls from files: a call, or a batch object, a line.

    Timestamps are taken as they are. Repeating an import changes nothing, and one that was interrupted can be run again; a call
    without messageId is known by its text and the number of its line. Refused lines go to FILE.rejected.jsonl with the reason,
    and the exit code is 1 then.
    """
    from sync.importing import Tally, origin_of

    started = time.monotonic()
    origins = [origin_of(name, Path.cwd()) for name in dict.fromkeys(files)]
    done: list[tuple[Origin, Tally]] = []
    with opened_app() as app:
        for origin in origins:
            tally = Tally()
            with progress(origin.name, origin.size, is_bytes=True) as bar:
                tally = _imported(app, origin, bar, forward=forward)
            done.append((origin, tally))
            if not json:
                _say_tally(origin, tally)
    if json:
        _say_report(done, time.monotonic() - started)
    raise typer.Exit(1 if any(tally.rejected for _, tally in done) else 0)


def rejected(
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Only of this source.")] = None,
    code: Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only those refused for this reason.")] = None,
    limit: Annotated[int, limit_option("How many to list, the latest first; the counts are of all. Default: 20.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List the calls that came in and were refused, how many there are of each source, and why.

    With --json each has its body as it came, so that it can be mended, and taken in by `import`. They are kept for as long as
    SYNC_RETAIN_REJECTED_CALLS says.
    """
    from sync.reports.rejections import rejected_report
    from sync.store import rejections

    with opened_app() as app, app.store.snapshot() as connection:
        found = rejections.latest(connection, limit, source=source, code=code)
        numbers, now = rejections.numbers(connection), app.clock()
    if json:
        say_json(rejected_report(numbers, found))
        return
    say(f"{count(sum(one.calls for one in numbers), 'call')} rejected")
    if numbers:
        table(("source", "code", "calls"), [(clean(one.source), one.code, one.calls) for one in numbers], right=("calls",))
    if found:
        say("")
        rows = [(one.id, age(one.received_at, now), clean(one.source), one.code, clean(one.message)) for one in found]
        table(("id", "age", "source", "code", "reason"), rows, right=("id", "age"), fold=("reason",))


def replay(
    since: Annotated[datetime, since_option("The first instant, by the calls' own timestamps; without a zone it is UTC.")],
    until: Annotated[datetime | None, until_option("The instant before which to stop. Default: the end.")] = None,
    event: Annotated[str | None, typer.Option("--event", metavar="NAME", help="Only this event, spelt exactly so.")] = None,
    wait: Wait = 30.0,
    json: JsonFlag = False,
) -> None:
    """Forward stored calls to Moesif again, those whose `integrations` allow it.

    Each carries the transaction_id it had the first time, so that Moesif can tell. Interrupted, it has queued a part of them; run
    it again for the rest.
    """
    from sync.cli.draining import drained, due, exit_code, forwarded
    from sync.errors import InputError
    from sync.ingest import Span
    from sync.ingest import replay as owe_again

    if until is not None and until <= since:
        raise InputError("--until must be later than --since")
    started = time.monotonic()
    with opened_app() as app:
        require_key(app)
        calls = 0
        with progress("queueing", None) as bar:
            for step in owe_again(app.store, Span(since=since, until=until, event=event), app.mapping, app.clock):
                calls += step
                bar(calls, count(calls, "call"))
        sent = drained(app, wait)
        left = forwarded(app)
        code = exit_code(app, sent, due(app), rejected=0)
    seconds = round(time.monotonic() - started, 3)
    if json:
        report = {"calls": calls, "requests": sent.requests, "owed": left.owed, "unknown": left.unknown, "rejected": left.rejected}
        say_json({**report, "seconds": seconds})
    else:
        say(f"{count(calls, 'call')} queued again, {count(sent.requests, 'request')}, {seconds:.1f} s")
        if left.due or left.rejected:
            say(f"of all forwarded calls {left.due:,} are still owed and {left.rejected:,} rejected: personas-sync deliveries")
    raise typer.Exit(code)


def _imported(app: App, origin: Origin, bar: Bar, *, forward: bool) -> Tally:
    from sync.importing import Tally, import_calls

    tally = Tally()
    with closing(import_calls(app.store, origin, sys.stdin.buffer, app.mapping, app.clock, forward=forward)) as portions:
        for tally in portions:
            bar(tally.bytes_read, count(tally.accepted + tally.duplicate, "call"))
    return tally


def _say_tally(origin: Origin, tally: Tally) -> None:
    say(f"{origin.name}: {tally.accepted:,} accepted, {tally.duplicate:,} duplicate, {tally.rejected:,} rejected")
    if tally.suppressed:
        note(f"{tally.suppressed:,} not kept: they are about people who were forgotten")
    if tally.rejected:
        note(f"what was rejected, and why: {origin.rejects}")


def _say_report(done: list[tuple[Origin, Tally]], seconds: float) -> None:
    files = [
        {
            "file": origin.name,
            "accepted": tally.accepted,
            "duplicate": tally.duplicate,
            "suppressed": tally.suppressed,
            "rejected": tally.rejected,
            "rejects": str(origin.rejects) if tally.rejected else None,
        }
        for origin, tally in done
    ]
    names = ("accepted", "duplicate", "suppressed", "rejected")
    totals = {name: sum(getattr(tally, name) for _, tally in done) for name in names}
    say_json({**totals, "seconds": round(seconds, 3), "files": files})
