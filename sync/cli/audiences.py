"""The commands that look at audiences and computed traits: audiences, audience show, preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.options import At, JsonFlag, limit_option
from sync.cli.output import clean, count, facts, in_table, say, say_json, shown_at, table
from sync.cli.session import opened_app

if TYPE_CHECKING:
    from sync.reports.audiences import Listed, Shown
    from sync.store.audiences import Stored


def audiences(
    retired: Annotated[bool, typer.Option("--all", help="Retired ones too.")] = False,
    json: JsonFlag = False,
) -> None:
    """List audiences and computed traits, with their sizes and what is owed."""
    from sync.reports.audiences import listed
    from sync.slots import next_slot

    with opened_app() as app, app.store.snapshot() as connection:
        found = listed(connection, app.clock(), next_slot, retired=retired)
    if json:
        say_json({"audiences": [one.report() for one in found]})
    elif not found:
        say("no audiences yet: personas-sync definitions apply puts the definitions file in force")
    else:
        rows = [[one.stored.key, _size(one), _state(one.stored), in_table(one.stored.computed_at), one.owed] for one in found]
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
    from sync.reports.audiences import shown
    from sync.slots import next_slot

    with opened_app() as app, app.store.snapshot() as connection:
        found = shown(connection, key, app.clock(), next_slot, limit)
    if json:
        say_json(found.report())
        return
    facts(_facts(found))
    if found.history:
        say()
        table(("as of", "members"), [(shown_at(at), members) for at, members in found.history], right=("members",))


def preview(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="An audience's query.")],
    at: At = None,
    sample: Annotated[int, limit_option("How many user ids to show. Default: 10.")] = 10,
    json: JsonFlag = False,
) -> None:
    """Work out how many users a query gives, and show some; nothing is saved or sent."""
    from sync.preview import preview as preview_query

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


def _state(stored: Stored) -> str:
    if stored.retired:
        return "retired"
    return str(stored.definition.schedule) if stored.definition.enabled else "not enabled"


def _size(listed: Listed) -> str | int:
    return "-" if listed.members is None else listed.members


def _facts(shown: Shown) -> dict[str, str]:
    from sync.reports import depends

    listed, stored = shown.listed, shown.listed.stored
    definition = stored.definition
    found = {
        "key": stored.key,
        "name": definition.name,
        "kind": str(definition.kind).replace("_", " "),
        "description": definition.description,
        "query": definition.query,
        "reads": "\n".join(depends.read_lines(shown.query, shown.kinds)),
        "time changes it": "\n".join(depends.time_lines(shown.query)) or "never",
        "guard": "" if definition.guard is None else str(definition.guard),
        "members": "not computed yet" if listed.members is None else str(listed.members),
        "owed": str(listed.owed),
        "schedule": _state(stored),
        "last run as of": shown_at(stored.computed_at),
        "next run": shown_at(listed.next_run_at),
        "slots skipped": "" if stored.slots_skipped == 0 else f"{stored.slots_skipped:,}",
    }
    return {name: value for name, value in found.items() if value}
