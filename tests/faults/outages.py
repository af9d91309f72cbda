"""Moesif away for six hours, which take seconds here: what is owed meanwhile, and how it leaves when Moesif is back (row 19).

Used by the test with some thousand users, and by `python -m tests.night outage` with as many as you like.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update

from sync.audience.guard import Guard, Share
from sync.compute import compute
from sync.delivery import State
from sync.moesif import Collector
from sync.payload import Mapping
from sync.send import Desk, Sender
from sync.standin import Fault, StandIn
from sync.store import Store
from sync.store import schema as t
from tests.crash.kills import wait_until
from tests.crash.life import KEY, Folder
from tests.make import NOW, audience, people

HOURS = 6
FLIPS = 2 * HOURS + 1
"""How often everybody's membership changes meanwhile: it ends as `true`."""
AT_A_TIME = 2000

DEFINITIONS = "audiences: [{name: buyers, query: trait('in') = true, schedule: manual, guard: {max_exits: 100%}}]"


@dataclass
class HandClock:
    """A clock that goes only when it is told to."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Outage:
    """What was seen of one."""

    users: int
    asked: int = 0
    """Requests during the outage."""
    waits: list[timedelta] = field(default_factory=list)
    """Between one and the next, as the sender had them."""
    owed: int = 0
    """Values that were owed in the end."""
    sent: int = 0
    """Values that were then sent."""
    wrong: int = 0
    seconds: float = 0.0
    """Until nothing was owed."""
    grown: float = 0.0
    """By how many megabytes the process that sent them grew, at most."""


def outlast(folder: Folder, store: Store, standin: StandIn, users: int) -> Outage:
    """Let everybody's membership change every half an hour, while all that is sent is refused; then let a service send the rest."""
    seen, clock = Outage(users), HandClock()
    standin.misbehave(Fault(status=503, times=1_000_000))
    _change_and_send(store, standin, clock, seen)
    with store.reading() as connection:
        owed = t.memberships.c.state == State.OWED.value
        seen.owed = connection.scalar(select(func.count()).select_from(t.memberships).where(owed)) or 0
    standin.behave()
    _drain(folder, store, standin, seen)
    return seen


def _change_and_send(store: Store, standin: StandIn, clock: HandClock, seen: Outage) -> None:
    names = [f"u{number}" for number in range(seen.users)]
    for start in range(0, len(names), AT_A_TIME):
        people(store, *names[start : start + AT_A_TIME])
    buyers = audience(store, "buyers", guard=Guard(max_exits=Share(Decimal(100))))
    with Collector(KEY, standin.url, clock=clock) as collector:
        desk = Desk(store=store, destination=collector, mapping=Mapping(), space_id="space", clock=clock, draw=lambda: 0.5)
        sender = Sender(desk=desk, owner="one")
        for flip in range(FLIPS):
            with store.writing() as connection:
                connection.execute(update(t.profiles).values(traits={"in": flip % 2 == 0}))
            assert compute(store, buyers, None, clock, rebuild=True).changed == seen.users
            ends = clock() + timedelta(minutes=30)
            while clock() < ends and flip < FLIPS - 1:
                seen.asked += sender.drain(timedelta()).requests
                seen.waits.append(_until_next(store, clock))
                clock.now += max(seen.waits[-1], timedelta(milliseconds=100))


def _until_next(store: Store, clock: HandClock) -> timedelta:
    with store.reading() as connection:
        until: Any = connection.scalar(select(t.lanes.c.paused_until).where(t.lanes.c.lane == "users"))
    return until - clock()


def _drain(folder: Folder, store: Store, standin: StandIn, seen: Outage) -> None:
    (folder.path / "personas.yaml").write_text(DEFINITIONS, encoding="utf-8")
    folder.environ["SYNC_MOESIF_BATCH"] = "100"
    began = time.monotonic()
    service = folder.serve("--only", "worker")
    status = Path(f"/proc/{service.process.pid}/status")
    at_first = megabytes(status, "VmRSS")

    def is_over() -> bool:
        with store.reading() as connection:
            unsettled = select(t.memberships.c.profile_id).where(t.memberships.c.state != State.SETTLED.value).limit(1)
            return connection.execute(unsettled).first() is None

    wait_until(is_over, "something is owed", 300)
    seen.seconds = time.monotonic() - began
    seen.grown = megabytes(status, "VmHWM") - at_first
    assert service.stop() == 0
    seen.sent = standin.requests["users"].rows
    told = {user: held["metadata"].get("buyers") for user, held in standin.users().items()}
    seen.wrong = sum(told.get(f"u{number}") is not True for number in range(seen.users))


def megabytes(status: Path, what: str) -> float:
    [line] = [line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(what)]
    return int(line.split()[1]) / 1024
