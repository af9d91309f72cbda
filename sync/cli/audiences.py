"""The commands that look at audiences and computed traits: audiences, audience show, preview."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli import depends
from sync.cli.options import At, JsonFlag, limit_option
from sync.cli.output import clean, count, facts, in_table, say, say_json, shown_at, table
from sync.cli.reports import definition_report, optional_iso, past_run_report
from sync.cli.session import opened_app

if TYPE_CHECKING:
    from sync.json_value import Json
    from sync.language.tree import Query
    from sync.store.audiences import Stored
    from sync.store.lookup import Connection


def audiences(
    retired: Annotated[bool, typer.Option("--all", help="Retired ones too.")] = False,
    json: JsonFlag = False,
) -> None:
    """List audiences and computed traits, with their sizes and what is owed."""
    with opened_app() as app, app.store.reading() as connection:
        now = app.clock()
        found = _stored(connection, retired=retired)
        owed = _owed(connection)
        reports = [_listed(connection, one, now, owed.get(one.key, 0)) for one in found]
    if json:
        say_json({"audiences": reports})
    elif not found:
        say("no audiences yet: personas-sync definitions apply puts the definitions file in force")
    else:
        cells = [
            [one.key, _size(report), _state(one), in_table(one.computed_at)] for one, report in zip(found, reports, strict=True)
        ]
        rows = [[*row, owed.get(str(row[0]), 0)] for row in cells]
        table(("key", "members", "schedule", "last run as of", "owed"), rows, right=("members", "owed"), fold=("key",))


def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its key.")],
    limit: Annotated[int, limit_option("How many sizes to show, of the latest runs. Default: 10.")] = 10,
    json: JsonFlag = False,
) -> None:
    """Show one audience or computed trait: definition, size over time, schedule, runs, and what its query reads.

    Beside what it reads stands when time alone can change its answer for a user: at an event's or a date's instant, or so long
    after or before it.
    """
    from sync.store import audiences as stored_audiences
    from sync.store import runs

    with opened_app() as app, app.store.reading() as connection:
        stored = stored_audiences.by_key(connection, key)
        report = _listed(connection, stored, app.clock(), _owed(connection).get(key, 0))
        latest = runs.recent(connection, key, 1)
        history = runs.size_history(connection, stored.id, limit)
        kinds = {one.key: one.definition.kind.value for one in stored_audiences.standing(connection)}
    query = _parsed(stored)
    if json:
        sizes: list[Json] = [{"at": optional_iso(at), "members": members} for at, members in history]
        last = past_run_report(latest[0]) if latest else None
        say_json({**report, "last_run": last, "reads": depends.report(query, kinds), "history": sizes})
        return
    facts(_facts(stored, report, depends.read_lines(query, kinds), depends.time_lines(query)))
    if history:
        say()
        table(("as of", "members"), [(shown_at(at), members) for at, members in history], right=("members",))


def preview(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="An audience's query.")],
    at: At = None,
    sample: Annotated[int, limit_option("How many user ids to show. Default: 10.")] = 10,
    json: JsonFlag = False,
) -> None:
    """Work out how many users a query gives, and show some; nothing is saved or sent."""
    from sync.compute import preview as preview_query

    with opened_app() as app:
        found = preview_query(app.store, query, at or app.clock(), sample)
    if json:
        say_json({"size": found.size, "sample": list(found.sample)})
        return
    say(count(found.size, "user"))
    for user_id in found.sample:
        say(f"  {clean(user_id)}")
    if found.size > len(found.sample):
        say("  …")


def _stored(connection: Connection, *, retired: bool) -> tuple[Stored, ...]:
    from sync.store import audiences as stored_audiences

    return stored_audiences.all_stored(connection) if retired else stored_audiences.standing(connection)


def _owed(connection: Connection) -> dict[str, int]:
    from sync.store import ledger

    owed: dict[str, int] = {}
    for (key, state), number in ledger.states(connection).items():
        owed[key] = owed.get(key, 0) + (number if state != "rejected" else 0)
    return owed


def _listed(connection: Connection, stored: Stored, now: datetime, owed: int) -> dict[str, Json]:
    from sync.scheduler import next_slot
    from sync.store import runs

    sizes = runs.size_history(connection, stored.id, 1)
    runs_on_schedule = stored.definition.enabled and not stored.retired
    return {
        **definition_report(stored),
        "members": sizes[-1][1] if sizes else None,
        "next_run_at": optional_iso(next_slot(stored.definition.schedule, now)) if runs_on_schedule else None,
        "owed": owed,
    }


def _state(stored: Stored) -> str:
    if stored.retired:
        return "retired"
    return str(stored.definition.schedule) if stored.definition.enabled else "not enabled"


def _size(report: dict[str, Json]) -> str | int:
    members = report["members"]
    return members if isinstance(members, int) else "-"


def _facts(stored: Stored, report: dict[str, Json], read: list[str], moments: list[str]) -> dict[str, str]:
    definition = stored.definition
    following = report["next_run_at"]
    found = {
        "key": stored.key,
        "name": definition.name,
        "kind": str(definition.kind).replace("_", " "),
        "description": definition.description,
        "query": definition.query,
        "reads": "\n".join(read),
        "time changes it": "\n".join(moments) or "never",
        "guard": "" if definition.guard is None else str(definition.guard),
        "members": str(report["members"] if report["members"] is not None else "not computed yet"),
        "owed": str(report["owed"]),
        "schedule": _state(stored),
        "last run as of": shown_at(stored.computed_at),
        "next run": following[:19] + "Z" if isinstance(following, str) else "-",
    }
    return {name: value for name, value in found.items() if value}


def _parsed(stored: Stored) -> Query:
    from sync.language.parse import parse_audience, parse_computed_trait

    return parse_audience(stored.definition.query) if stored.is_audience else parse_computed_trait(stored.definition.query)
