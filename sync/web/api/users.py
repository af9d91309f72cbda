"""What is asked about one user."""

from __future__ import annotations

from datetime import datetime

from sync import explain as explaining
from sync.json_value import Json
from sync.reports import people
from sync.web.api.program import Program


def user(program: Program, *, id: str, limit: int) -> Json:
    """Show a user: traits, audiences, since when, what Moesif accepted, the latest entries and exits."""
    with program.store.snapshot() as connection:
        return people.user(connection, id, limit).report()


def explain(program: Program, *, id: str, key: str, at: datetime | None, events: int) -> Json:
    """Say why a user is in an audience or not, or has a computed trait's value."""
    found = explaining.explain(program.store, key, id, at, program.clock())
    return explaining.report(found, events)
