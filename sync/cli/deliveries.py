"""The commands about what was done and what is owed: runs, deliveries list, deliveries show, deliveries retry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sync.cli.options import JsonFlag, limit_option, since_option, until_option
from sync.cli.output import clean, count, facts, in_table, iso, note, say, say_json, shown_at, table
from sync.cli.reports import COLUMNS, NUMBERS, optional_iso, past_run_report, run_row
from sync.cli.session import opened_app
from sync.errors import InputError, NotFound

if TYPE_CHECKING:
    from sync.app import App
    from sync.delivery import Lane, State
    from sync.json_value import Json
    from sync.membership import Run
    from sync.store.leases import Pause
    from sync.store.lookup import Connection, LedgerRow
    from sync.store.queue import Listed

_ORDER = ("rejected", "unknown", "sending", "owed")
"""What a person must look at first, then what takes care of itself."""

_CALL = re.compile(r"call-([0-9]{1,18})")
_LEDGER = re.compile(r"ledger-([0-9]{1,18})-([0-9]{1,18})")


def runs(
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="Only of this audience or computed trait.")] = None,
    limit: Annotated[int, limit_option("How many, the latest first. Default: 20.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List recent runs, the latest first, and what became of what each had to tell."""
    from sync.store import audiences
    from sync.store import runs as store_runs

    with opened_app() as app, app.store.reading() as connection:
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
        Literal["owed", "unknown", "sending", "rejected"] | None,
        typer.Option("--state", metavar="STATE", help="Only those that are owed, unknown, sending or rejected."),
    ] = None,
    limit: Annotated[int, limit_option("How many to list; the counts are of all. Default: 20.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List what is owed to Moesif, what is unknown and what was rejected: forwarded calls and memberships alike."""
    from sync.delivery import State
    from sync.store import leases, ledger, queue

    with opened_app() as app, app.store.reading() as connection:
        counts = [*queue.states(connection).items(), *ledger.states(connection).items()]
        totals = {one: sum(number for (_, state), number in counts if state == one.value) for one in State}
        pauses = leases.pauses(connection)
        items = _items(connection, [State(one) for one in ([state] if state else _ORDER)], limit, pauses)
    totals[State.OWED] += totals[State.SENDING]
    if json:
        sums: dict[str, Json] = {one.value: totals[one] for one in (State.OWED, State.UNKNOWN, State.REJECTED)}
        say_json({**sums, "lanes": [_lane_report(pause) for pause in pauses.values()], "items": items})
        return
    say(f"{totals[State.OWED]:,} owed, {totals[State.UNKNOWN]:,} unknown, {totals[State.REJECTED]:,} rejected")
    for pause in pauses.values():
        say(f"lane {pause.lane} waits until {shown_at(pause.until)}: {clean(pause.reason)}")
    if items:
        shown = ("id", "state", "attempts", "what", "reason")
        table(shown, [[_cell(item[name]) for name in shown] for item in items], right=("attempts",), fold=("what", "reason"))


def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="As `deliveries` lists it, such as call-17 or ledger-3-42.")],
    json: JsonFlag = False,
) -> None:
    """Show one delivery: what it is, what would be sent, and why it was not accepted."""
    with opened_app() as app, app.store.reading() as connection:
        kind, numbers = _parsed(id)
        report = _call_report(app, connection, numbers[0]) if kind == "call" else _ledger_report(connection, *numbers)
    if json:
        say_json(report)
        return
    from sync.json_value import encode

    facts({name: value if isinstance(value, str) else encode(value) for name, value in report.items() if value is not None})


def retry(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="As `deliveries` lists them.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Whose reason contains this.")] = None,
    since: Annotated[datetime | None, since_option("Queued, or their run started, at this time or later; no zone is UTC.")] = None,
    until: Annotated[datetime | None, until_option("Queued, or their run started, before this time.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that was rejected.")] = False,
    json: JsonFlag = False,
) -> None:
    """Owe rejected deliveries again: by id, by reason, by time range, or all.

    `serve`, or the next `sync`, sends them.
    """
    from sync.store.retry import Selection
    from sync.store.retry import retry as retry_rejected

    by_condition = reason is not None or since is not None or until is not None
    if (bool(ids), by_condition, everything).count(True) != 1:
        raise InputError("say what to retry: either ids, or --reason, --since and --until, or --all")
    parsed = [_parsed(id) for id in ids or []]
    calls = tuple(numbers[0] for kind, numbers in parsed if kind == "call") if ids else None
    memberships = tuple((numbers[0], numbers[1]) for kind, numbers in parsed if kind == "ledger") if ids else None
    selection = Selection(calls=calls, memberships=memberships, reason=reason, since=since, until=until)
    with opened_app() as app:
        _require_known(app, parsed)
        done = app.store.write(lambda connection: retry_rejected(connection, selection))
    if json:
        say_json({"retried": done.calls + done.memberships, "calls": done.calls, "memberships": done.memberships})
        return
    say(f"owed again: {count(done.calls, 'call')} and {count(done.memberships, 'membership')}")
    if ids and done.calls + done.memberships < len(set(ids)):
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


def _items(connection: Connection, states: Sequence[State], limit: int, pauses: dict[Lane, Pause]) -> list[dict[str, Json]]:
    from sync.delivery import Lane
    from sync.store import lookup, queue

    found: list[dict[str, Json]] = []
    for state in states:
        users = pauses.get(Lane.USERS)
        rows = lookup.ledger_rows(connection, state, limit - len(found)) if len(found) < limit else []
        found += [_ledger_item(row, users) for row in rows]
        calls = queue.listed(connection, state, limit - len(found)) if len(found) < limit else []
        found += [_call_item(one, pauses.get(Lane(one.lane))) for one in calls]
    return found


def _ledger_item(row: LedgerRow, pause: Pause | None) -> dict[str, Json]:
    from sync.json_value import decode

    value = None if row.value is None else decode(row.value)
    return {
        "id": f"ledger-{row.audience_id}-{row.profile_id}",
        "lane": "users",
        "state": row.state,
        "attempts": row.attempts,
        "next_try_at": _next_try(row.state, pause),
        "reason": row.reason,
        "what": f"{row.key} = {row.value} for {row.user_id}",
        "audience": row.key,
        "user_id": row.user_id,
        "value": value,
        "since": iso(row.since),
    }


def _call_item(one: Listed, pause: Pause | None) -> dict[str, Json]:
    about = f" for {one.subject}" if one.subject else ""
    return {
        "id": f"call-{one.id}",
        "lane": one.lane,
        "state": one.state,
        "attempts": one.attempts,
        "next_try_at": _next_try(one.state, pause),
        "reason": one.reason,
        "what": f"{one.call_type}{f' {one.event}' if one.event else ''}{about}",
        "message_id": one.message_id,
        "created_at": iso(one.created_at),
    }


def _next_try(state: str, pause: Pause | None) -> str | None:
    """Return when it is tried again; null where nothing stands in the way, or nobody will."""
    return iso(pause.until) if pause is not None and state in ("owed", "unknown") else None


def _lane_report(pause: Pause) -> dict[str, Json]:
    return {
        "lane": pause.lane.value,
        "paused_until": iso(pause.until),
        "reason": pause.reason,
        "failures": pause.failures,
        "key_refused": pause.key_refused,
    }


def _cell(value: Json) -> str | int:
    return value if isinstance(value, str | int) else "-"


def _parsed(id: str) -> tuple[str, list[int]]:
    for kind, pattern in (("call", _CALL), ("ledger", _LEDGER)):
        if found := pattern.fullmatch(id):
            return kind, [int(number) for number in found.groups()]
    raise InputError(f"{id!r} is no id of a delivery; they look like call-17 and ledger-3-42, and `deliveries` lists them")


def _require_known(app: App, parsed: Sequence[tuple[str, list[int]]]) -> None:
    with app.store.reading() as connection:
        for kind, numbers in parsed:
            _call_report(app, connection, numbers[0]) if kind == "call" else _ledger_report(connection, *numbers)


def _call_report(app: App, connection: Connection, number: int) -> dict[str, Json]:
    from sync.call import dump
    from sync.delivery import Lane
    from sync.payload import bodies
    from sync.store import leases, queue

    found = queue.find(connection, number)
    if found is None:
        raise NotFound(f"there is no delivery call-{number}: it was accepted, or never was; `personas-sync deliveries` lists them")
    row, call = found
    item = _call_item(row, leases.pauses(connection).get(Lane(row.lane)))
    return {
        **item,
        "bodies": [body.document for body in bodies(call, app.mapping) if body.lane.value == row.lane],
        "call": dump(call),
    }


def _ledger_report(connection: Connection, audience_id: int, profile_id: int) -> dict[str, Json]:
    from sync.delivery import Lane
    from sync.json_value import decode
    from sync.store import leases, lookup

    row = lookup.ledger_row(connection, audience_id, profile_id)
    item = _ledger_item(row, leases.pauses(connection).get(Lane.USERS))
    return {
        **item,
        "accepted": None if row.accepted is None else decode(row.accepted),
        "accepted_at": optional_iso(row.accepted_at),
        "run": row.run_id,
    }
