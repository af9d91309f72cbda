"""What is asked about what is owed and what was rejected; and to owe it again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sync.delivery import State
from sync.json_value import Json
from sync.reports import deliveries as reports
from sync.store.retry import retry as retry_rejected
from sync.web.api.program import Program


def deliveries(program: Program, *, state: str | None, limit: int) -> Json:
    """Count what is owed, unknown and rejected, and list some of it."""
    with program.store.snapshot() as connection:
        return reports.deliveries(connection, [State(state)] if state else reports.ORDER, limit).report()


def delivery(program: Program, *, id: str) -> Json:
    """Show one delivery: what would be sent, and why it was not accepted."""
    with program.store.snapshot() as connection:
        return reports.delivery(connection, reports.parsed(id), program.mapping)


def retry(
    program: Program, *, ids: Sequence[str], reason: str | None, since: datetime | None, until: datetime | None, all: bool
) -> Json:
    """Owe rejected deliveries again: by id, by condition, or all."""
    with program.store.snapshot() as connection:
        meant = reports.chosen(connection, ids, program.mapping, reason=reason, since=since, until=until, everything=all)
    done = program.store.write(lambda connection: retry_rejected(connection, meant))
    program.wake()
    return reports.retried_report(done)
