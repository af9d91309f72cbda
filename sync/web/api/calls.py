"""What is asked about calls that were taken in."""

from __future__ import annotations

from sync.json_value import Json
from sync.reports.rejections import rejected_report
from sync.store import rejections
from sync.web.api.program import Program


def rejected(program: Program, *, source: str | None, code: str | None, before: int | None, limit: int) -> Json:
    """Count the calls that were refused, and list the latest of them."""
    with program.store.snapshot() as connection:
        found = rejections.latest(connection, limit, source=source, code=code, before=before)
        return rejected_report(rejections.numbers(connection), found)
