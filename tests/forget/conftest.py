"""What forgetting needs beside a store: a sender that a test stops in the middle, and a look into every table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from sync.delivery import Accepted, Lane, Outcome
from sync.forget import Forgotten, forget
from sync.json_value import Json
from sync.payload import Mapping
from sync.send import LEASE, Desk, Sender
from sync.send.parcels import Busy, Parcel
from sync.send.right import names
from sync.store import Store, leases
from sync.store.leases import Lease
from sync.store.schema import metadata
from tests.make import NOW


@dataclass
class Told:
    """A destination that answers as it is told."""

    answer: Callable[[Sequence[dict[str, Json]]], Outcome] = lambda documents: Accepted()
    sent: list[dict[str, Json]] = field(default_factory=list)

    def post(self, lane: Lane, documents: Sequence[dict[str, Json]], _may_send: object = None) -> Outcome:
        self.sent += documents
        return self.answer(documents)


@dataclass
class Post:
    """A sender of which a test takes each step apart."""

    store: Store
    told: Told
    clock: Callable[[], datetime]

    @property
    def desk(self) -> Desk:
        return Desk(store=self.store, destination=self.told, mapping=Mapping(), space_id="space", clock=self.clock)

    def drain(self) -> None:
        Sender(desk=self.desk, owner="one").drain(timedelta(seconds=5))

    def take_right(self, owner: str = "one", until: timedelta = LEASE) -> Lease:
        with self.store.writing() as connection:
            lease, *_ = leases.take_some(connection, names(self.store), owner, self.clock(), until, 99)
        return lease

    def claim(self, lane: Lane = Lane.USERS, busy: Sequence[Parcel] = ()) -> list[Parcel]:
        with self.store.writing() as connection:
            return self.desk.claim(connection, lane, Busy(busy))

    def settle(self, parcels: Sequence[Parcel], outcome: Outcome) -> None:
        with self.store.writing() as connection:
            self.desk.settle(connection, [(parcels, outcome)])


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def post(store: Store, told: Told) -> Post:
    return Post(store, told, lambda: NOW)


@pytest.fixture
def forgotten(store: Store) -> Callable[..., Forgotten]:
    """Forget a user, without any patience for what is on its way unless it is asked for."""

    def done(user_id: str, patience: float = 0.0, **more: Any) -> Forgotten:
        return forget(store, user_id, more.pop("moesif", None), lambda: NOW, patience=timedelta(seconds=patience), **more)

    return done


def everything(store: Store) -> dict[str, list[str]]:
    """Return what every table holds, as text."""
    with store.reading() as connection:
        return {table.name: [repr(tuple(row)) for row in connection.execute(select(table))] for table in metadata.sorted_tables}


def tables_that_name(store: Store, *texts: str) -> list[str]:
    return [name for name, rows in everything(store).items() if any(text in row for row in rows for text in texts)]
