"""The commands about people: members, user."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.options import At, JsonFlag, limit_option
from sync.cli.output import clean, count, facts, iso, note, say, shown_at, table
from sync.cli.reports import optional_iso
from sync.cli.session import opened_app

if TYPE_CHECKING:
    from sync.app import App
    from sync.json_value import Json
    from sync.store.audiences import Stored
    from sync.store.lookup import Change, Person

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
    from sync.json_value import decode, encode
    from sync.store import audiences

    with opened_app() as app:
        with app.store.reading() as connection:
            stored = audiences.by_key(connection, key)
        number = 0
        for user_id, since, value in _members(app, stored, at):
            number += 1
            told: dict[str, Json] = {"user_id": user_id, "since": iso(since)}
            if json:
                say(encode(told if stored.is_audience else told | {"value": decode(value)}))
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
    from sync.store import audiences, ledger, lookup

    with opened_app() as app, app.store.reading() as connection:
        person = lookup.person(connection, id)
        rows = {row.key: row for row in ledger.of_user(connection, person.profile_id)}
        known = [one for one in audiences.all_stored(connection) if not one.retired or one.key in rows]
        history = lookup.changes_of(connection, person.profile_id, limit + 1)
    parts = {one.key: _standing(one, rows.get(one.key)) for one in known}
    in_audiences = {one.key: parts[one.key] for one in known if one.is_audience}
    computed = {one.key: parts[one.key] for one in known if not one.is_audience}
    if json:
        turns: list[Json] = [_change_report(change) for change in history[:limit]]
        report = {**_person(person), "audiences": in_audiences, "computed_traits": computed}
        say_json({**report, "changes": turns, "more_changes": len(history) > limit})
    else:
        _show(person, in_audiences, computed)
        _show_history(history[:limit], more=len(history) > limit)


def _members(app: App, stored: Stored, at: datetime | None) -> Iterator[tuple[str, datetime, str]]:
    from sync.store import ledger, purges

    if at is not None:
        with app.store.reading() as connection:
            purges.require_changes(connection, at)
            yield from ledger.members_at(connection, stored, at)
        return
    after = 0
    while True:
        with app.store.reading() as connection:
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


def _standing(stored: Stored, row: object) -> dict[str, Json]:
    """Say how a user stands to an audience or computed trait; `row` is the ledger's, None where it has none."""
    from sync.json_value import decode

    value, since, accepted, accepted_at, state, reason = (
        (getattr(row, name, None)) for name in ("value", "since", "accepted", "accepted_at", "state", "reason")
    )
    now: Json = None if value is None else decode(value)
    told: dict[str, Json] = {"member": now is True} if stored.is_audience else {"value": now}
    return {
        **told,
        "since": optional_iso(since),
        "accepted": None if accepted is None else decode(accepted),
        "accepted_at": optional_iso(accepted_at),
        "state": state,
        "reason": reason,
    }


def _person(person: Person) -> dict[str, Json]:
    return {
        "user_id": person.user_id,
        "traits": person.traits,
        "anonymous_ids": list(person.anonymous_ids),
        "calls": person.calls,
        "first_seen_at": optional_iso(person.first_seen_at),
        "last_seen_at": optional_iso(person.last_seen_at),
    }


def _change_report(change: Change) -> dict[str, Json]:
    from sync.json_value import decode

    return {
        "key": change.key,
        "kind": change.kind,
        "change": _turn(change),
        "value": None if change.value is None else decode(change.value),
        "at": iso(change.at),
        "run": change.run_id,
    }


def _turn(change: Change) -> str:
    """Name what a change was: of an audience one of two, of a computed trait always the same."""
    if change.kind != "audience":
        return "changed"
    return "entered" if change.value == "true" else "exited"


def _show(person: Person, in_audiences: dict[str, dict[str, Json]], computed: dict[str, dict[str, Json]]) -> None:
    from sync.json_value import encode

    facts(
        {
            "user": person.user_id,
            "anonymous ids": ", ".join(person.anonymous_ids) or "-",
            "calls": f"{person.calls:,}, {shown_at(person.first_seen_at)} to {shown_at(person.last_seen_at)}",
            **{f"trait {clean(name)}": encode(value) for name, value in person.traits.items()},
        }
    )
    rows = [(key, "in" if one["member"] else "out", one) for key, one in in_audiences.items()]
    rows += [(key, encode(one["value"]), one) for key, one in computed.items()]
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
    turn = _turn(change)
    return f"to {change.value or 'null'}" if turn == "changed" else turn


def _since(standing: dict[str, Json]) -> str:
    since = standing["since"]
    return since[:19] + "Z" if isinstance(since, str) else "-"
