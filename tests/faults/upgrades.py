"""Upgrades of a store with many rows: killed without warning, again and again, and under traffic, also back (rows 42 and 53).

Used by a test with a few thousand rows, and by `python -m tests.night upgrade` with as many as you like.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Self

from sqlalchemy import func, select, text

from sync.call import Call
from sync.store import Store, migrate, runs
from sync.store import schema as t
from tests.crash.kills import wait_until
from tests.crash.life import Folder
from tests.make import NOW, audience, keep, track

TABLES = (t.profiles, t.identifiers, t.calls, t.dates, t.deliveries, t.audiences, t.runs, t.memberships, t.changes)
AT_A_TIME = 1000
FIRST_LIFE = 0.1
"""Seconds until the first kill; each one after it comes half as late again, so that all parts of a long migration are met."""
BEFORE = "0002"
"""With that one it began; each migration since has to let calls come in."""
CALL = """\
INSERT INTO calls (message_id, source, type, profile_id, event, timestamp, received_at, properties, context, integrations)
VALUES (:id, 'web', 'track', :profile, 'Order Completed', 0, 0, '{}', '{}', '{}') RETURNING id"""
DELIVERY = """\
INSERT INTO deliveries (call_id, lane, subject, state, attempts, created_at) VALUES (:call, 'actions', '', 'owed', 0, 0)"""
CHANGES = """\
INSERT INTO changes (audience_id, profile_id, run_id, value, at) SELECT :audience, id, :run, :value, 0 FROM profiles"""
MEMBERSHIPS = """\
INSERT INTO memberships (audience_id, profile_id, value, since, state, attempts, run_id)
SELECT audience_id, profile_id, value, at, 'owed', 0, run_id FROM changes WHERE run_id = :run"""


def fill(store: Store, rows: int) -> dict[str, int]:
    """Take in so many calls, each with a date and something to forward; return how much is in which table.

    There are four of each user, who has a device, entered an audience and left it.
    """
    users = rows // 4
    for first in range(0, rows, AT_A_TIME):
        numbers = range(first, min(first + AT_A_TIME, rows))
        keep(store, *(_call(f"before-{n}", n % users) for n in numbers), forward=True)
    buyers = audience(store)
    with store.writing() as connection:
        for value in ("true", "false"):
            run = runs.open_run(connection, buyers.id, NOW, NOW, members=0)
            connection.execute(text(CHANGES), {"audience": buyers.id, "run": run, "value": value})
        connection.execute(text(MEMBERSHIPS), {"run": run})
    return numbers_of(store)


def _call(message_id: str, user: int) -> Call:
    return track(f"user-{user}", anonymous_id=f"device-{user}", message_id=message_id, properties={"when": "2026-03-04"})


def numbers_of(store: Store) -> dict[str, int]:
    with store.reading() as connection:
        return {table.name: int(connection.scalar(select(func.count()).select_from(table)) or 0) for table in TABLES}


def kill_while_upgrading(folder: Folder, store: Store, seed: int) -> int:
    """Kill an upgrade from the first schema at later and later moments, until one lives to its end; return how often."""
    migrate.downgrade(store.engine, "0001")
    dice, life, killed = random.Random(seed), FIRST_LIFE, 0
    while True:
        process = folder.start("db", "upgrade")
        process.join(life * (1 + dice.random()))
        if not process.is_alive():
            break
        process.kill()
        process.join()
        killed += 1
        life *= 1.5
        with store.reading() as connection:
            assert migrate.revision(connection) in ("0001", migrate.head())
    assert process.exitcode == 0, folder.log()[-2000:]
    store.require_current_schema()
    return killed


@dataclass(frozen=True)
class UnderTraffic:
    """How an upgrade went while another release took calls in."""

    seconds: float
    slowest: float
    """Of the other release's transactions."""
    taken: int

    def __str__(self) -> str:
        return f"upgraded in {self.seconds:.1f} s while {self.taken} calls were taken in, the slowest in {self.slowest:.2f} s"


def upgrade_under_traffic(folder: Folder, store: Store) -> UnderTraffic:
    """Upgrade while another release goes on taking calls in; each of them has to be there."""
    before = numbers_of(store)["calls"]
    migrate.downgrade(store.engine, BEFORE)
    with OtherRelease(store) as other:
        wait_until(lambda: other.taken > 20, "nothing was taken")
        began = time.monotonic()
        assert folder.run("db", "upgrade", seconds=600) == 0, folder.log()[-2000:]
        seconds, taken = time.monotonic() - began, other.taken
        wait_until(lambda: other.taken > taken + 20, "nothing more was taken")
    store.require_current_schema()
    assert numbers_of(store)["calls"] == before + other.taken
    return UnderTraffic(seconds, other.slowest, other.taken)


def there_and_back_under_traffic(folder: Folder, store: Store) -> UnderTraffic:
    """Take the store back by one revision after the other, and up again, while another release takes calls in; each is there."""
    before = numbers_of(store)["calls"]
    steps = [revision for revision in migrate.revisions() if revision >= BEFORE]
    # A migration lets go of all connections at its end, and those of the other release are in use.
    moved = Store.at(store.engine.url.render_as_string(hide_password=False))
    with OtherRelease(store) as other:
        wait_until(lambda: other.taken > 20, "nothing was taken")
        began = time.monotonic()
        assert folder.run("db", "downgrade", seconds=600) == 0, folder.log()[-2000:]
        with store.reading() as connection:
            assert migrate.revision(connection) == steps[-2]
        for revision in reversed(steps[:-2]):
            migrate.downgrade(moved.engine, revision)
        for revision in steps[1:]:
            migrate.upgrade(moved.engine, revision)
        seconds, taken = time.monotonic() - began, other.taken
        wait_until(lambda: other.taken > taken + 20, "nothing more was taken")
    store.require_current_schema()
    assert numbers_of(store)["calls"] == before + other.taken
    return UnderTraffic(seconds, other.slowest, other.taken)


@dataclass
class OtherRelease:
    """Writes calls as the first release did, whose columns every later schema has; remembers how long the slowest one took."""

    store: Store
    taken: int = 0
    slowest: float = 0.0
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Which of several that write to one store, one after another."""

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._take)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _take(self) -> None:
        while not self._stop.wait(0.01):
            began = time.monotonic()
            with self.store.writing() as connection:
                profile = connection.execute(text("SELECT max(id) FROM profiles")).scalar_one()
                call = connection.execute(text(CALL), {"id": f"{self.name}-{self.taken}", "profile": profile}).scalar_one()
                connection.execute(text(DELIVERY), {"call": call})
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.taken += 1
