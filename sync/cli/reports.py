"""Runs as rows of a table. What programs are told of them is in `sync.reports`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sync.membership import Run


COLUMNS: Final = ("audience", "members", "changes", "owed", "outcome")
"""Of a table of runs for people; few, so that 80 characters do."""
NUMBERS: Final = ("members", "changes", "owed")


def run_row(run: Run) -> list[str | int]:
    """Write one run as a row of such a table."""
    changes = f"+{run.entered:,} -{run.exited:,}" if run.kind == "audience" else f"{run.changed:,}"
    return [run.audience, run.members, changes, run.owed, _outcome(run)]


def _outcome(run: Run) -> str:
    """Say how a run ended, and where what it owed has gone unless Moesif accepted it all."""
    if run.owed == run.accepted:
        return run.outcome.value
    parts = [(run.accepted, "accepted"), (run.rejected, "rejected"), (run.unknown, "unknown"), (run.held, "held")]
    return f"{run.outcome}: {', '.join(f'{number:,} {name}' for number, name in parts if number)}"
