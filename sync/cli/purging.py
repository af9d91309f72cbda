"""The command that throws away history that is no longer kept."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.options import JsonFlag
from sync.cli.output import note, progress, say, say_json, shown_at
from sync.cli.session import opened_app
from sync.instant import iso

if TYPE_CHECKING:
    from sync.purge import Outlook


def purge(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and throw nothing away.")] = False,
    json: JsonFlag = False,
) -> None:
    """Throw away history that is older than SYNC_RETAIN_EVENTS, _CHANGES and _REJECTED_CALLS say.

    What any definition still looks at stays, and a setting that would take it away is refused; so does what is still owed to
    Moesif, and who is in which audience. It goes in small steps that nobody need wait for; interrupted, run it again for the rest.
    A running `serve` does the same every hour.
    """
    from sync.purge import Retention, outlook
    from sync.purge import purge as throw_away

    with opened_app() as app:
        retention, now = Retention.of(app.settings), app.clock()
        expected = outlook(app.store, retention, now)
        gone: Counter[str] = Counter()
        if not dry_run:
            with progress("purging", sum(one.rows for one in expected)) as bar:
                for step in throw_away(app.store, retention, now):
                    gone[step.table] += step.rows
                    bar(gone.total())
    rows = {one.table: one.rows if dry_run else gone[one.table] for one in expected}
    if json:
        until = {one.table: iso(one.until) for one in expected}
        say_json({"dry_run": dry_run, "purged": rows, "until": until})
    else:
        _show(expected, rows, dry_run=dry_run)


def _show(expected: list[Outlook], rows: dict[str, int], *, dry_run: bool) -> None:
    if not expected:
        note("personas-sync: everything is kept for ever; SYNC_RETAIN_EVENTS, _CHANGES and _REJECTED_CALLS change that")
    for one in expected:
        verb = "would go" if dry_run else "purged"
        say(f"{one.table}: {rows[one.table]:,} {verb}, from before {shown_at(one.until)}")
