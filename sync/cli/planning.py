"""The command that says what a sync would do: plan; and how plan files are written and read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.options import At, JsonFlag, Keys, whole
from sync.cli.output import clean, count, note, say, say_json, shown_at, table
from sync.cli.session import changed_lines, opened_app
from sync.errors import InputError
from sync.instant import iso

if TYPE_CHECKING:
    from sync.app import App
    from sync.json_value import Json
    from sync.plan import Plan, Planned, Sealed

COLUMNS = ("audience", "members", "enter", "leave", "again", "requests", "seconds")
NUMBERS = COLUMNS[1:]


def plan(
    keys: Keys = None,
    at: At = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Seal the plan in a file, for `sync --plan FILE`. Never overwrites."),
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", parser=whole(0, 1_000), metavar="N", help="How many users to name of each kind. Default: 5.")
    ] = 5,
    json: JsonFlag = False,
) -> None:
    """Say what a sync would do, exactly, and change nothing.

    With the definitions file as it is now, in force or not. Without KEY of all audiences and computed traits that are enabled.
    Exit 4 if a guard would hold one of them.
    """
    from sync.errors import GuardTripped

    with opened_app() as app:
        found = _planned(app, keys or [], at, sample)
        if out is not None:
            _write(out, app, found)
    if json:
        say_json(_report(found))
    else:
        _say(found)
    raise typer.Exit(GuardTripped.exit_code if any(one.objection for one in found.plans) else 0)


def read_plan(file: Path) -> Sealed:
    """Read a plan file. Raises InputError."""
    from sync.plan import unseal

    try:
        return unseal(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no file {file}; `personas-sync plan --out {file}` makes one") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} cannot be read: it is not UTF-8") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {(error.strerror or type(error).__name__).lower()}") from None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _planned(app: App, keys: list[str], at: At, sample: int) -> Planned:
    from sync.plan import Pace
    from sync.plan import plan as make_plan

    wanted = app.definitions() if app.settings.definitions.exists() else None
    pace = Pace(batch=app.settings.moesif_batch, per_second=app.settings.moesif_rate)
    return make_plan(app.store, wanted, keys, at, app.clock, pace=pace, sample=sample)


def _write(out: Path, app: App, found: Planned) -> None:
    from sync.plan import seal

    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(seal(found, app.clock()))
    except FileExistsError:
        raise InputError(f"{out} exists; a plan is never overwritten, so name another file") from None
    except OSError as error:
        raise InputError(f"{out} cannot be written: {(error.strerror or type(error).__name__).lower()}") from None


def _report(found: Planned) -> dict[str, Json]:
    definitions: dict[str, Json] = {
        "added": [one.key for one in found.changes.added],
        "changed": [one.definition.key for one in found.changes.changed],
        "retired": [one.key for one in found.changes.retired],
    }
    return {"plans": [_step_report(one) for one in found.plans], "definitions": definitions}


def _step_report(one: Plan) -> dict[str, Json]:
    step = one.step
    return {
        "audience": step.audience,
        "kind": step.kind,
        "at": iso(step.at),
        "members": step.members,
        "entered": step.entered,
        "exited": step.exited,
        "changed": step.changed,
        "resent": step.resent,
        "owed": step.owed,
        "requests": one.requests,
        "seconds": one.seconds,
        "sample": {"entered": list(one.entering), "exited": list(one.leaving)},
        "guard": one.objection,
    }


def _say(found: Planned) -> None:
    for line in changed_lines(found.changes):
        say(f"definitions: {line}")
    for gone in found.changes.retired:
        if gone.is_audience:
            say(f"{gone.key}: {count(gone.members, 'member')} would be told false")
    if not found.plans:
        note("personas-sync: no audience is defined and enabled, so there is nothing to plan")
        return
    say(f"as of {shown_at(found.plans[0].step.at)}, nothing done yet")
    table(COLUMNS, [_row(one) for one in found.plans], right=NUMBERS, fold=("audience",))
    for one in found.plans:
        for verb, users in (("enter" if one.step.kind == "audience" else "change", one.entering), ("leave", one.leaving)):
            if users:
                say(f"{one.step.audience}: would {verb}: {clean(', '.join(users))}{_more(one, verb, len(users))}")
        if one.objection:
            note(f"personas-sync: {one.step.audience}: its guard would hold this: {one.objection}")


def _more(one: Plan, verb: str, shown: int) -> str:
    number = {"enter": one.step.entered, "leave": one.step.exited}.get(verb, one.step.changed) - shown
    return f" and {number:,} more" if number > 0 else ""


def _row(one: Plan) -> list[str | int]:
    step = one.step
    moved: list[str | int] = [step.entered, step.exited] if step.kind == "audience" else [f"~{step.changed:,}", "-"]
    return [step.audience, step.members, *moved, step.resent, one.requests, f"{one.seconds:g}"]
