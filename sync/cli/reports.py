"""The objects that `--json` prints. Their names and shapes are fixed; more members may come, none may go."""

from __future__ import annotations

from collections.abc import Sequence
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
    when: dict[str, Json] = {"id": run.id, "started_at": iso(run.started_at), "ended_at": optional_iso(run.ended_at)}
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


NUMBERS: Final = ("members", "entered", "exited", "changed", "owed")
"""The columns of `runs_table` that are numbers."""


def runs_table(runs: Sequence[Run]) -> tuple[list[str], list[list[str | int]]]:
    """Return headings and rows for people, in 80 characters: a column with nothing to see is left out."""
    columns: dict[str, list[str | int]] = {"audience": [run.audience for run in runs]}
    for name in NUMBERS:
        columns[name] = [getattr(run, name) if name != "changed" or run.kind != "audience" else 0 for run in runs]
    columns["outcome"] = [_outcome(run) for run in runs]
    shown = [name for name, cells in columns.items() if name != "changed" or any(cells)]
    return shown, [list(row) for row in zip(*(columns[name] for name in shown), strict=True)]


def _outcome(run: Run) -> str:
    """Say how a run ended, and where what it owed has gone unless Moesif accepted it all."""
    if run.owed == run.accepted:
        return run.outcome.value
    parts = [(run.accepted, "accepted"), (run.rejected, "rejected"), (run.unknown, "unknown"), (run.held, "held")]
    return f"{run.outcome}: {', '.join(f'{number:,} {name}' for number, name in parts if number)}"
