"""What is asked about the types of metadata keys; and to give one up."""

from __future__ import annotations

from sync.delivery import Lane
from sync.json_value import Json
from sync.reports import types as reports
from sync.web.api.program import Program


def types(program: Program, *, lane: str, after: str | None, limit: int) -> Json:
    """List the JSON type that each metadata key of a lane was accepted with first."""
    with program.store.snapshot() as connection:
        return reports.page(connection, Lane(lane), after, limit)


def forget_type(program: Program, *, lane: str, metadata_key: str) -> Json:
    """Hold a metadata key, and what lies within it, to no type any more."""
    return {**program.store.write(lambda connection: reports.forgotten(connection, Lane(lane), metadata_key))}
