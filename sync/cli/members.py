"""The commands about people: members, user."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.options import At, JsonFlag, limit_option
from sync.cli.output import clean, count, facts, note, say, shown_at, table
from sync.cli.session import opened_app

if TYPE_CHECKING:
    from sync.app import App
    from sync.json_value import Json
    from sync.reports.people import User
    from sync.store.audiences import Stored
    from sync.store.lookup import Change

PAGE = 2_000
"""Members read in one transaction: however slowly they are taken, nobody else waits."""


def members(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key of an audience or computed trait.")],
    at: At = None,
    json: JsonFlag = False,
) -> None:
    """List who is in an audience, or has a value of a computed trait, and since when.

    Prints a line for each, whatever their number: since when, the value of a computed trait, the user id. With --json each line is
    an object of its own. With --at it is who was in at that instant.
    """
    from sync.json_value import encode
    from sync.reports.people import member_report
    from sync.store import audiences

    with opened_app() as app:
        with app.store.snapshot() as connection:
            stored = audiences.by_key(connection, key)
        number = 0
        for user_id, since, value in _members(app, stored, at):
            number += 1
            if json:
                say(encode(member_report(stored, user_id, since, value)))
            else:
                say("  ".join([shown_at(since), *([] if stored.is_audience else [clean(value)]), clean(user_id)]))
    if not number:
        _say_why_nobody(stored, at)
    elif sys.stdout.isatty() and not json:
        note(count(number, "member"))
    if at is not None and stored.computed_at is not None and at > stored.computed_at:
        note(f"personas-sync: the last run of {stored.key} was as of {shown_at(stored.computed_at)}; nothing later is known")


def user(
    id: Annotated[str, typer.Argument(metavar="ID", help="The user id.")],
    limit: Annotated[int, limit_option("How many entries, exits and new values to show, the latest first. Default: 20.")] = 20,
    json: JsonFlag = False,
) -> None:
    """Show a user: traits, audiences, since when, what Moesif accepted, and the latest entries and exits."""
    from sync.cli.output import say_json
    from sync.reports.people import user as look_up

    with opened_app() as app, app.store.snapshot() as connection:
        found = look_up(connection, id, limit)
    if json:
        say_json(found.report())
    else:
        _show(found)
        _show_history(found.changes, more=found.more_changes)


def _members(app: App, stored: Stored, at: datetime | None) -> Iterator[tuple[str, datetime, str]]:
    from sync.store import ledger, purges

    if at is not None:
        with app.store.snapshot() as connection:
            purges.require_changes(connection, at)
            yield from ledger.members_at(connection, stored, at)
        return
    after = 0
    while True:
        with app.store.snapshot() as connection:
            page = ledger.members(connection, stored, after, PAGE)
        yield from ((user_id, since, value) for _, user_id, since, value in page)
        if len(page) < PAGE:
            return
        after = page[-1][0]


def _say_why_nobody(stored: Stored, at: datetime | None) -> None:
    if stored.computed_at is None:
        note(f"personas-sync: {stored.key} has not been computed yet")
    elif at is not None:
        note(f"personas-sync: nobody was in {stored.key} at {shown_at(at)}")


def _show(user: User) -> None:
    from sync.json_value import encode

    person = user.person
    facts(
        {
            "user": person.user_id,
            "anonymous ids": ", ".join(person.anonymous_ids) or "-",
            "calls": f"{person.calls:,}, {shown_at(person.first_seen_at)} to {shown_at(person.last_seen_at)}",
            **{f"trait {clean(name)}": encode(value) for name, value in person.traits.items()},
        }
    )
    rows = [(key, "in" if one["member"] else "out", one) for key, one in user.audiences.items()]
    rows += [(key, encode(one["value"]), one) for key, one in user.computed_traits.items()]
    if rows:
        say()
        table(
            ("audience or trait", "value", "since", "accepted", "state"),
            [(key, value, _since(one), encode(one["accepted"]), str(one["state"] or "-")) for key, value, one in rows],
            fold=("audience or trait", "value", "accepted"),
        )


def _show_history(history: Sequence[Change], *, more: bool) -> None:
    if not history:
        return
    rows = [(shown_at(one.at), one.key, _value(one), one.run_id) for one in history]
    say()
    table(("at", "audience or trait", "change", "run"), rows, right=("run",), fold=("audience or trait", "change"))
    if more:
        say("and earlier ones; --limit shows more")


def _value(change: Change) -> str:
    from sync.reports.people import turn

    told = turn(change)
    return f"to {change.value or 'null'}" if told == "changed" else told


def _since(standing: dict[str, Json]) -> str:
    since = standing["since"]
    return since[:19] + "Z" if isinstance(since, str) else "-"
