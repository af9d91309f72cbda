"""The commands about the definitions file: check, schema, apply."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.options import JsonFlag
from sync.cli.output import clean, count, say, say_json
from sync.cli.session import changed_lines, opened_app, settings

if TYPE_CHECKING:
    from sync.apply import Changes
    from sync.json_value import Json


def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A file, or a folder of *.yaml. Default: SYNC_DEFINITIONS.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Find every fault of a definitions file, each with its line and column; exit 2 if there is one.

    Asks no store.
    """
    from dataclasses import replace

    from sync.app import read_definitions
    from sync.definitions import Fault, InvalidDefinitions

    given = settings()
    faults: tuple[Fault, ...] = ()
    found = 0
    try:
        found = len(read_definitions(given if file is None else replace(given, definitions=file)))
    except InvalidDefinitions as error:
        faults = error.faults
    if json:
        members = [{"file": one.file, "line": one.line, "column": one.column, "message": one.message} for one in faults]
        say_json({"faults": members, "definitions": found})
    elif faults:
        for fault in faults:
            say(clean(str(fault)))
    else:
        say(f"no faults in {count(found, 'definition')}")
    raise typer.Exit(2 if faults else 0)


def schema() -> None:
    """Print the JSON Schema of definitions files, with which editors complete and check them."""
    import json

    from sync.definitions import schema as schema_of_definitions

    say(json.dumps(schema_of_definitions(), indent=2, ensure_ascii=False))


def apply(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonFlag = False,
) -> None:
    """Make the store agree with the definitions file, after showing what would change.

    On a terminal it asks; in a pipe, or with --yes, it goes ahead. What has gone from the file is retired: its members are owed
    `false`. Nothing is sent yet.
    """
    from sync.apply import apply as apply_definitions
    from sync.apply import compare

    with opened_app() as app:
        wanted = app.definitions()
        changes = compare(app.store, wanted)
        if not json:
            for line in changed_lines(changes) or ["nothing to change"]:
                say(line)
        if changes and _agreed(ask=not yes and not json):
            changes = apply_definitions(app.store, wanted, app.clock())
            if not json:
                say("applied")
        if json:
            say_json(_report(changes))


def _agreed(*, ask: bool) -> bool:
    if not ask or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    if typer.confirm("Apply?", default=False):
        return True
    say("nothing was changed")
    raise typer.Exit(1)


def _report(changes: Changes) -> dict[str, Json]:
    return {
        "added": [definition.key for definition in changes.added],
        "changed": [{"key": change.definition.key, "fields": list(change.fields)} for change in changes.changed],
        "retired": [stored.key for stored in changes.retired],
    }
