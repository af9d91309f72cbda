"""A road to Moesif's stand-in over real HTTP, and destinations that do as a test tells them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sync.delivery import Accepted, Lane, Outcome
from sync.json_value import Json
from sync.moesif import Collector, Limits
from sync.payload import Mapping
from sync.send import Desk, Drain, Sender
from sync.send.parcels import Destination
from sync.standin import StandIn
from sync.store import Store
from tests.make import NOW

KEY = "app-1"


@dataclass
class MovedClock:
    """A clock that a test moves, and that goes by itself otherwise, so that short pauses end."""

    start: datetime
    moved: timedelta = timedelta()
    begun: float = field(default_factory=time.monotonic)

    def __call__(self) -> datetime:
        return self.start + self.moved + timedelta(seconds=time.monotonic() - self.begun)

    def advance(self, **duration: float) -> None:
        self.moved += timedelta(**duration)


@dataclass
class Told:
    """A destination that keeps what it was sent, merged as Moesif merges, and answers as it is told."""

    answer: Callable[[Lane, list[dict[str, Json]]], Outcome] = lambda lane, documents: Accepted()
    posts: list[tuple[Lane, list[dict[str, Json]]]] = field(default_factory=list)
    users: dict[str, dict[str, Json]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, lane: Lane, documents: Sequence[dict[str, Json]], _may_send: object = None) -> Outcome:
        with self.lock:
            self.posts.append((lane, list(documents)))
        outcome = self.answer(lane, list(documents))
        if isinstance(outcome, Accepted):
            self.take(documents)
        return outcome

    def take(self, documents: Sequence[dict[str, Json]]) -> None:
        with self.lock:
            for document in documents:
                metadata: Any = document.get("metadata", {})
                self.users.setdefault(str(document.get("user_id")), {}).update(metadata)


@dataclass
class Road:
    """A sender with everything it needs; `other` makes another process that shares the store."""

    store: Store
    desk: Desk
    clock: MovedClock
    owner: str = "one"
    connections: int = 4

    @property
    def sender(self) -> Sender:
        return Sender(desk=self.desk, owner=self.owner, connections=self.connections)

    def drain(self, patience: float = 5.0) -> Drain:
        return self.sender.drain(timedelta(seconds=patience))

    def with_(self, **changed: Any) -> Road:
        return replace(self, **changed)

    def over(self, **changed: Any) -> Road:
        return replace(self, desk=replace(self.desk, **changed))


def road_to(destination: Destination, store: Store, clock: MovedClock) -> Road:
    """Waits are a fifth of their longest: never so short that a pause is over before a test has looked."""
    desk = Desk(store=store, destination=destination, mapping=Mapping(), space_id="space", clock=clock, draw=lambda: 0.2)
    return Road(store, desk, clock)


@pytest.fixture
def moved_clock() -> MovedClock:
    return MovedClock(NOW)


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn.start(application_id=KEY) as running:
        yield running


@pytest.fixture
def collector(standin: StandIn, moved_clock: MovedClock) -> Iterator[Collector]:
    limits = Limits(connect=2.0, read=1.5, total=4.0)
    with Collector(KEY, standin.url, clock=moved_clock, limits=limits) as made:
        yield made


@pytest.fixture
def road(store: Store, collector: Collector, moved_clock: MovedClock) -> Road:
    """Lead to the stand-in."""
    return road_to(collector, store, moved_clock)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def fake_road(store: Store, told: Told, moved_clock: MovedClock) -> Road:
    """Lead to a destination in this process."""
    return road_to(told, store, moved_clock)
