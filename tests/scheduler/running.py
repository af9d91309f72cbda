"""A scheduler in a test: with a clock that the test turns, and what came of its runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select

from sync.apply import apply
from sync.audience import Definition
from sync.scheduler import Scheduler
from sync.store import Store
from sync.store.audiences import by_key
from sync.store.schema import runs
from tests.make import NOW


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Watch:
    """The instants as of which an audience was computed, of which a run that found nothing new leaves no row."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.seen: list[datetime] = []

    def look(self) -> list[datetime]:
        with self.store.reading() as connection:
            at = by_key(connection, "buyers").computed_at
        if at is not None and at not in self.seen:
            self.seen.append(at)
        return self.seen


def scheduler(store: Store, clock: Callable[[], datetime]) -> Scheduler:
    return Scheduler(store, clock, lambda: None)


def defined(store: Store, *definitions: Definition) -> None:
    apply(store, definitions, NOW)


def run_instants(store: Store) -> list[datetime]:
    with store.reading() as connection:
        return list(connection.scalars(select(runs.c.at).order_by(runs.c.id)))


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)
