"""The objects that `--json` prints. Their names and shapes are fixed; more members may come, none may go."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from sync.cli.output import iso

if TYPE_CHECKING:
    from sync.json_value import Json
    from sync.membership import Run
    from sync.store.audiences import Stored


def optional_iso(at: datetime | None) -> str | None:
    """Write an instant, or null."""
    return None if at is None else iso(at)


def run_report(run: Run) -> dict[str, Json]:
    """Write one run; `owed` is always the sum of the four after it."""
    moved: dict[str, Json] = {"entered": run.entered, "exited": run.exited}
    report: dict[str, Json] = {
        "id": run.id,
        "audience": run.audience,
        "kind": run.kind,
        "at": iso(run.at),
        "outcome": run.outcome.value,
        "members": run.members,
        **(moved if run.kind == "audience" else {"changed": run.changed}),
        "owed": run.owed,
        "accepted": run.accepted,
        "rejected": run.rejected,
        "unknown": run.unknown,
        "held": run.held,
    }
    return report | ({"error": run.error} if run.error else {})


def past_run_report(run: Run) -> dict[str, Json]:
    """Write one run of those that were."""
    when: dict[str, Json] = {"started_at": iso(run.started_at), "ended_at": optional_iso(run.ended_at)}
    return when | run_report(run)


def definition_report(stored: Stored) -> dict[str, Json]:
    """Write a definition as the store has it."""
    definition = stored.definition
    return {
        "key": stored.key,
        "kind": definition.kind.value,
        "name": definition.name,
        "description": definition.description,
        "query": definition.query,
        "schedule": str(definition.schedule),
        "guard": None if definition.guard is None else str(definition.guard),
        "enabled": definition.enabled,
        "version": stored.version,
        "retired_at": optional_iso(stored.retired_at),
        "computed_at": optional_iso(stored.computed_at),
    }


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
