"""The commands that compute and send: compute, sync."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sync.cli.options import At, JsonFlag, Keys, Wait, whole
from sync.cli.output import count, note, progress, say, say_json, shown_at, table
from sync.cli.reports import COLUMNS, NUMBERS, run_row
from sync.cli.session import follow_definitions, opened_app, require_key

SLACK: Final = timedelta(minutes=1)
"""So far ahead of the clock an instant is no slip."""

if TYPE_CHECKING:
    from sync.app import App
    from sync.json_value import Json
    from sync.membership import Run
    from sync.store.audiences import Stored


def compute(
    keys: Keys = None,
    at: At = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Look at everyone, and not only at users about whom something arrived or time passed.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Work out who is in the audiences, and owe what changed; send nothing.

    Puts the definitions file in force first, if there is one. Without KEY all audiences and computed traits that are enabled.
    Exit 4 if a guard stopped one of them, 1 if one took longer than SYNC_RUN_TIMEOUT; the others are computed all the same.
    """
    from sync.compute import compute as compute_one
    from sync.errors import GuardTripped
    from sync.membership import Outcome

    started = time.monotonic()
    with opened_app() as app:
        follow_definitions(app)
        now = at or app.clock()
        stored = _chosen(app, keys or [], at)
        runs = []
        with progress("computing", len(stored)) as bar:
            for one in stored:
                runs.append(compute_one(app.store, one, at, app.clock, rebuild=rebuild))
                bar(len(runs), one.key)
    if json:
        from sync.reports.runs import run_report

        say_json({"runs": [run_report(run) for run in runs], "seconds": round(time.monotonic() - started, 3)})
    else:
        _say_runs(runs, now)
    outcomes = {run.outcome for run in runs}
    raise typer.Exit(GuardTripped.exit_code if Outcome.GUARDED in outcomes else int(Outcome.FAILED in outcomes))


def sync(
    keys: Keys = None,
    at: At = None,
    resync: Annotated[
        bool,
        typer.Option("--resync", help="Send `true` to every member again, and `false` to everyone ever sent `true` who is out."),
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Do exactly what a plan that `plan --out` wrote says, or refuse."),
    ] = None,
    accept: Annotated[
        int | None,
        typer.Option(
            "--accept",
            parser=whole(1, 2**63 - 1),
            metavar="RUN",
            help="Let a run through that a guard holds; `runs` shows its number.",
        ),
    ] = None,
    wait: Wait = 30.0,
    json: JsonFlag = False,
) -> None:
    """Compute, then tell Moesif about the users whose membership changed, until nothing is due.

    Puts the definitions file in force first, if there is one. Without KEY all audiences and computed traits that are enabled;
    forwarded calls that are due are sent, too. Exit 1 if something was rejected or is still owed, or an audience took longer than
    SYNC_RUN_TIMEOUT (the others go on), 2 if a plan no longer holds, 3 if the key was refused, 4 if a guard stopped an audience
    (the others go on), 5 if Moesif cannot be reached.
    """
    from sync.cli.draining import counting, due, exit_code, forwarded
    from sync.synchronise import deliver

    _require_one_way(keys or [], at, resync, plan, accept)
    with opened_app() as app, ExitStack() as stack:
        require_key(app)
        started, now = time.monotonic(), at or app.clock()
        computed = _planned(app, plan) if plan is not None else _computed(app, keys or [], at, resync, accept)
        sender = stack.enter_context(app.sender())
        with progress("sending", None) as bar:
            patience = timedelta(seconds=wait)
            report = deliver(app.store, sender, computed, started, patience=patience, progress=counting(bar))
        # What earlier runs, and audiences that are retired, left over was due as well.
        queued, left = forwarded(app), due(app)
        code = exit_code(
            app, report, left, rejected=sum(run.rejected for run in report.runs), guarded=report.guarded, failed=report.failed
        )
    if json:
        from sync.reports.runs import run_report

        runs: list[Json] = [run_report(run) for run in report.runs]
        waiting: Json = {"owed": queued.owed, "unknown": queued.unknown, "rejected": queued.rejected}
        summary: dict[str, Json] = {"requests": report.requests, "seconds": round(report.seconds, 3)}
        say_json({"runs": runs, **summary, "forwarded": waiting, "still_owed": left})
    else:
        _say_runs(report.runs, now)
        say(f"{count(report.requests, 'request')}, {report.seconds:.1f} s")
        if left:
            say(f"{left:,} still owed in all: personas-sync deliveries")
    raise typer.Exit(code)


def _require_one_way(keys: Sequence[str], at: datetime | None, resync: bool, plan: Path | None, accept: int | None) -> None:
    """Raise InputError where options are given together that say different things."""
    from sync.errors import InputError

    if plan is not None and (keys or at or resync or accept):
        raise InputError("--plan says which audiences and as of when: no KEY, --at, --resync or --accept goes with it")
    if accept is not None and (keys or at or resync):
        raise InputError("--accept lets one run through, of its audience and as of now: no KEY, --at or --resync goes with it")


def _computed(app: App, keys: Sequence[str], at: datetime | None, resync: bool, accept: int | None) -> list[Run]:
    from sync.compute import compute as compute_one
    from sync.compute import held

    follow_definitions(app)
    accepted = None if accept is None else held(app.store, accept)
    stored = _chosen(app, keys if accepted is None else [accepted.audience], at)
    return [compute_one(app.store, one, at, app.clock, resync=resync, accepted=accepted) for one in stored]


def _planned(app: App, file: Path) -> Sequence[Run]:
    from sync.cli.planning import read_plan
    from sync.plan import apply_plan

    sealed = read_plan(file)
    # In one transaction with the plan's: where it is refused, no definition has been put in force either.
    wanted = app.definitions() if app.settings.definitions.exists() else None
    return apply_plan(app.store, wanted, sealed, app.clock)


def _chosen(app: App, keys: Sequence[str], at: datetime | None) -> tuple[Stored, ...]:
    """Return what is to be computed, in order. Raises InputError, before anything is done, for what cannot be."""
    from sync.errors import InputError
    from sync.instant import iso
    from sync.synchronise import chosen

    found = chosen(app.store, keys)
    refused = [f"{one.key} is retired: it is no longer in the definitions" for one in found if one.retired]
    refused += [
        f"{one.key} was computed as of {iso(one.computed_at)} already, and its instants only move forward: {iso(at)} is earlier"
        for one in found
        if at is not None and one.computed_at is not None and at < one.computed_at
    ]
    if refused:
        raise InputError("\n".join(refused))
    if at is not None and at > app.clock() + SLACK:
        later = f"personas-sync: warning: {shown_at(at)} is later than now, and instants only move forward"
        note(f"{later}: until then schedules compute as of that time, and nothing changes by time")
    if not found:
        note("personas-sync: no audience is defined and enabled, so there is nothing to compute")
    for one in found:
        if not one.definition.enabled:
            note(f"personas-sync: {one.key} is not enabled; it is computed because it was named")
    return found


def _say_runs(runs: Sequence[Run], at: datetime) -> None:
    from sync.membership import Outcome

    if not runs:
        return
    say(f"as of {shown_at(at)}")
    table(COLUMNS, [run_row(run) for run in runs], right=NUMBERS, fold=("audience", "outcome"))
    for run in runs:
        if run.error:
            note(f"personas-sync: {run.audience}: {run.outcome}: {run.error}")
        if run.outcome is Outcome.GUARDED:
            note(f"  to let it through: personas-sync sync --accept {run.id}")
