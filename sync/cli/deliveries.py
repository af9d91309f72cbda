"""The commands about what was done and what is owed: runs, deliveries list, deliveries show, deliveries retry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.options import JsonFlag, instant, limit_option, since_option, until_option, word
from sync.cli.output import age, clean, count, facts, in_table, note, say, say_json, shown_at, table
from sync.cli.reports import COLUMNS, NUMBERS, run_row
from sync.cli.session import opened_app

if TYPE_CHECKING:
    from sync.json_value import Json
    from sync.membership import Run


def runs(
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="Only of this audience or computed trait.")] = None,
    limit: Annotated[int, limit_option("How many, the latest first. Default: 20.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List recent runs, the latest first, and what became of what each had to tell."""
    from sync.reports.runs import past_run_report
    from sync.store import audiences
    from sync.store import runs as store_runs

    with opened_app() as app, app.store.snapshot() as connection:
        if key is not None:
            audiences.by_key(connection, key)
        found = store_runs.recent(connection, key, limit)
    if json:
        say_json({"runs": [past_run_report(run) for run in found]})
    elif not found:
        say("no runs yet")
    else:
        _say_runs(found)


def listing(
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            parser=word("owed", "unknown", "sending", "rejected"),
            metavar="STATE",
            help="Only those that are owed, unknown, sending or rejected.",
        ),
    ] = None,
    limit: Annotated[int, limit_option("How many to list; the counts are of all. Default: 20.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List what is owed to Moesif, what is unknown and what was rejected: forwarded calls and memberships alike."""
    from sync.delivery import State
    from sync.reports.deliveries import ORDER, deliveries

    with opened_app() as app, app.store.snapshot() as connection:
        found, now = deliveries(connection, [State(state)] if state else ORDER, limit), app.clock()
    if json:
        say_json(found.report())
        return
    say(f"{found.owed:,} owed, {found.unknown:,} unknown, {found.rejected:,} rejected")
    for pause in found.pauses.values():
        say(f"lane {pause.lane} waits until {shown_at(pause.until)}: {clean(pause.reason)}")
    if found.items:
        rows = [_row(item, now) for item in found.items]
        table(("id", "state", "tries", "age", "what", "reason"), rows, right=("tries", "age"), fold=("what", "reason"))


def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="As `deliveries` lists it, such as call-17 or ledger-3-42.")],
    json: JsonFlag = False,
) -> None:
    """Show one delivery: what it is, what would be sent, and why it was not accepted."""
    from sync.reports.deliveries import delivery, parsed

    with opened_app() as app, app.store.snapshot() as connection:
        report = delivery(connection, parsed(id), app.mapping)
    if json:
        say_json(report)
        return
    from sync.json_value import encode

    facts({name: value if isinstance(value, str) else encode(value) for name, value in report.items() if value is not None})


def retry(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="As `deliveries` lists them; call-17..42 is a range of them.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Whose reason contains this.")] = None,
    since: Annotated[datetime | None, since_option("Queued, or their run started, at this time or later; no zone is UTC.")] = None,
    until: Annotated[datetime | None, until_option("Queued, or their run started, before this time.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that was rejected.")] = False,
    json: JsonFlag = False,
) -> None:
    """Owe rejected deliveries again: by id or range of ids, by reason, by time range, or all.

    `serve`, or the next `sync`, sends them.
    """
    from sync.reports.deliveries import chosen, retried_report
    from sync.store.retry import retry as retry_rejected

    with opened_app() as app:
        with app.store.snapshot() as connection:
            meant = chosen(connection, ids or [], app.mapping, reason=reason, since=since, until=until, everything=everything)
        done = app.store.write(lambda connection: retry_rejected(connection, meant))
    if json:
        say_json(retried_report(done))
        return
    say(f"owed again: {count(done.calls, 'call')} and {count(done.memberships, 'membership')}")
    if done.calls + done.memberships == 0:
        note(
            "personas-sync: nothing of that is rejected, so there is nothing to retry; `deliveries --state rejected` lists what is"
        )
    elif ids and not any(".." in id for id in ids) and done.calls + done.memberships < len(set(ids)):
        note("personas-sync: the others are not rejected, so there is nothing to retry")


def _say_runs(found: Sequence[Run]) -> None:
    from sync.membership import Outcome

    rows = [[run.id, in_table(run.at), *run_row(run)] for run in found]
    table(("run", "as of", *COLUMNS), rows, right=("run", *NUMBERS), fold=("audience", "outcome"))
    for run in found:
        if run.error:
            say(f"run {run.id} of {run.audience}, {shown_at(run.at)}: {clean(run.error)}")
        if run.outcome is Outcome.GUARDED and run.error and "let through" not in run.error:
            say(f"  to let it through: personas-sync sync --accept {run.id}")


def _row(item: dict[str, Json], now: datetime) -> list[str | int]:
    first, last = ([_cell(item[name]) for name in names] for names in (("id", "state", "attempts"), ("what", "reason")))
    return [*first, _age(item["owed_since"], now), *last]


def _age(since: Json, now: datetime) -> str:
    return age(instant(since), now) if isinstance(since, str) else "-"


def _cell(value: Json) -> str | int:
    return value if isinstance(value, str | int) else "-"
