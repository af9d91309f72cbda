"""What a query would give, were it saved: nothing is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sync.compute import references
from sync.language.parse import parse_audience
from sync.store import Store, audiences, ledger, purges
from sync.store.compiler import compile_audience


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What a query would give, were it saved."""

    size: int
    sample: tuple[str, ...]
    """The first user ids."""


def preview(store: Store, query: str, at: datetime, sample: int) -> Preview:
    """Work out a query that is not saved. Raises InvalidQuery, and InputError where calls that it looks at were thrown away."""
    condition = parse_audience(query)
    with store.reading() as connection:
        purges.require_calls(connection, condition, at)
        found = compile_audience(condition, at, references=references(audiences.standing(connection)))
        size, users = ledger.preview(connection, found, sample)
    return Preview(size=size, sample=users)
