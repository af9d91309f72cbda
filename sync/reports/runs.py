"""Runs, as programs are told."""

from __future__ import annotations

from sync.instant import iso, optional_iso
from sync.json_value import Json
from sync.membership import Run


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
